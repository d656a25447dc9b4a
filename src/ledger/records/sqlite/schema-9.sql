-- Logins of which nothing is taken.
CREATE TABLE suspended (
    login   TEXT    NOT NULL COLLATE NOCASE PRIMARY KEY,
    created INTEGER NOT NULL,
    reason  TEXT    NOT NULL
) STRICT, WITHOUT ROWID;

-- Their packages that could be fetched, or restored, until then.
CREATE TABLE suspended_package (
    package BLOB NOT NULL PRIMARY KEY REFERENCES package (id) ON DELETE CASCADE,
    login   TEXT NOT NULL COLLATE NOCASE
) STRICT, WITHOUT ROWID;

CREATE INDEX suspended_package_by_login ON suspended_package (login);
