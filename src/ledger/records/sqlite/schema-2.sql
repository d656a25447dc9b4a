-- Packages that were ended before their time, the log of what was done with each, files that are
-- refused, and how much is stored.

-- When and why a package was ended before it expired; NULL when it was not.
ALTER TABLE package ADD COLUMN ended INTEGER;
ALTER TABLE package ADD COLUMN cause TEXT
    CHECK ((cause IS NULL) = (ended IS NULL) AND cause IN ('revoked', 'blocked'));

DROP INDEX package_by_expiry;
CREATE INDEX package_by_end ON package (state, coalesce(ended, expires));
DROP INDEX package_by_sender;
CREATE INDEX package_by_sender ON package (sender COLLATE NOCASE, created);
CREATE INDEX package_by_login ON package (login COLLATE NOCASE, created) WHERE login IS NOT NULL;
CREATE INDEX package_by_creation ON package (created);

-- HMAC-SHA256 of the file's SHA-256 under the key in drop.key; NULL for files of schema 1, and when
-- the package is destroyed.
ALTER TABLE file ADD COLUMN fingerprint BLOB;
CREATE INDEX file_by_fingerprint ON file (fingerprint) WHERE fingerprint IS NOT NULL;

-- Packages whose record is destroyed and whose blobs have yet to be removed.
CREATE TABLE doomed (
    package BLOB NOT NULL PRIMARY KEY REFERENCES package (id) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;

-- Files that are refused.
CREATE TABLE block (
    fingerprint BLOB    NOT NULL PRIMARY KEY,
    sha256      BLOB    NOT NULL CHECK (length(sha256) = 32),
    created     INTEGER NOT NULL,
    reason      TEXT    NOT NULL
) STRICT, WITHOUT ROWID;

-- What the drop remembers of itself.
CREATE TABLE note (
    name  TEXT    NOT NULL PRIMARY KEY,
    value INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Bytes of all packages that are not destroyed.
INSERT INTO note SELECT 'stored_bytes', coalesce(sum(bytes), 0) FROM package WHERE state = 'live';
CREATE TRIGGER package_is_stored AFTER INSERT ON package WHEN NEW.state = 'live' BEGIN
    UPDATE note SET value = value + NEW.bytes WHERE name = 'stored_bytes';
END;
CREATE TRIGGER package_is_destroyed AFTER UPDATE OF state ON package
    WHEN OLD.state = 'live' AND NEW.state = 'destroyed' BEGIN
    UPDATE note SET value = value - OLD.bytes WHERE name = 'stored_bytes';
END;
CREATE TRIGGER package_is_removed AFTER DELETE ON package WHEN OLD.state = 'live' BEGIN
    UPDATE note SET value = value - OLD.bytes WHERE name = 'stored_bytes';
END;

-- What was done with packages. Entries are added, never changed, and deleted only when they are older
-- than the note 'audit_begins', which the retention moves.
CREATE TABLE audit (
    number   INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    time     INTEGER NOT NULL,
    action   TEXT    NOT NULL,
    package  BLOB,               -- the record's id; it may be gone
    queue_id TEXT    NOT NULL,
    sender   TEXT    NOT NULL,
    login    TEXT,
    actor    TEXT    NOT NULL,   -- mail, web, admin, sweep
    address  TEXT,               -- of whoever did it over the web
    detail   TEXT    NOT NULL
) STRICT;
CREATE INDEX audit_by_time ON audit (time);
CREATE INDEX audit_by_package ON audit (package);
INSERT INTO note VALUES ('audit_begins', -9223372036854775808);
CREATE TRIGGER audit_is_not_changed BEFORE UPDATE ON audit BEGIN
    SELECT raise(ABORT, 'entries of the audit log are not changed');
END;
CREATE TRIGGER audit_is_kept BEFORE DELETE ON audit
    WHEN OLD.time >= (SELECT value FROM note WHERE name = 'audit_begins') BEGIN
    SELECT raise(ABORT, 'entries of the audit log are kept');
END;
