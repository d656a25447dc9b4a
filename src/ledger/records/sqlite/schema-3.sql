-- Who may deposit from another host. Times are seconds since 1970-01-01 UTC.

CREATE TABLE uploader (
    id          INTEGER NOT NULL PRIMARY KEY,
    name        TEXT    NOT NULL UNIQUE,
    secret      BLOB    NOT NULL UNIQUE CHECK (length(secret) = 32), -- SHA-256 of the bearer token
    rights      TEXT    NOT NULL,            -- words, separated by a space
    quota       INTEGER,                     -- bytes a day, NULL: as many as there is room for
    created     INTEGER NOT NULL,
    expires     INTEGER,                     -- NULL: never
    last_used   INTEGER
) STRICT;

-- What each deposited, by day (UTC).
CREATE TABLE uploader_day (
    uploader    INTEGER NOT NULL REFERENCES uploader (id) ON DELETE CASCADE,
    day         INTEGER NOT NULL,            -- days since 1970-01-01
    packages    INTEGER NOT NULL,
    bytes       INTEGER NOT NULL,
    PRIMARY KEY (uploader, day)
) STRICT, WITHOUT ROWID;

-- Whose a package is, from the moment it was begun: nobody else can go on with it or give it up.
-- The name stands here and not the uploader's id, for it must outlive a token that was removed.
CREATE TABLE uploaded (
    package     BLOB    NOT NULL PRIMARY KEY CHECK (length(package) = 16),
    uploader    TEXT    NOT NULL,
    begun       INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX uploaded_by_time ON uploaded (begun);
