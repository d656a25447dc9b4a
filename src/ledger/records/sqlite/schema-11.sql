-- The log is a chain of digests, packages are held by order, and messages are known by their Message-ID.

-- SHA-256 of the entry and of the digest before it (drop/audit/chain.rs); NULL in entries of schemas before, and in those that
-- an earlier version wrote beside this one, until the next entry takes them into the chain.
ALTER TABLE audit ADD COLUMN digest BLOB CHECK (length(digest) = 32);

-- What the first entry of the chain follows, and its last entry.
CREATE TABLE audit_chain (
    place  TEXT    NOT NULL PRIMARY KEY CHECK (place IN ('anchor', 'head')),
    number INTEGER NOT NULL,
    digest BLOB    NOT NULL CHECK (length(digest) = 32)
) STRICT, WITHOUT ROWID;
INSERT INTO audit_chain
SELECT place, coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'audit'), 0), zeroblob(32)
FROM (SELECT 'anchor' AS place UNION ALL SELECT 'head');

DROP TRIGGER audit_is_not_changed;
CREATE TRIGGER audit_is_not_changed BEFORE UPDATE ON audit
    WHEN OLD.digest IS NOT NULL OR NEW.digest IS NULL
        OR (NEW.number, NEW.time, NEW.action, NEW.package, NEW.queue_id, NEW.sender, NEW.login, NEW.actor, NEW.address, NEW.detail)
        IS NOT (OLD.number, OLD.time, OLD.action, OLD.package, OLD.queue_id, OLD.sender, OLD.login, OLD.actor, OLD.address, OLD.detail)
BEGIN
    SELECT raise(ABORT, 'entries of the audit log are not changed');
END;
-- Of the chain, only what stands before its anchor is deleted: the retention moves it first.
DROP TRIGGER audit_is_kept;
CREATE TRIGGER audit_is_kept BEFORE DELETE ON audit
    WHEN OLD.number > (SELECT number FROM audit_chain WHERE place = 'anchor')
        OR OLD.digest IS NULL AND OLD.time >= (SELECT value FROM note WHERE name = 'audit_begins')
BEGIN
    SELECT raise(ABORT, 'entries of the audit log are kept');
END;

-- Packages that an admin keeps by order: neither their expiry nor a sweep destroys them, and nobody fetches them.
CREATE TABLE held (
    package BLOB    NOT NULL PRIMARY KEY REFERENCES package (id) ON DELETE CASCADE,
    created INTEGER NOT NULL,
    reason  TEXT    NOT NULL
) STRICT, WITHOUT ROWID;

-- Also against an earlier version of the program that sweeps beside this one.
CREATE TRIGGER held_is_not_destroyed BEFORE UPDATE OF state ON package
    WHEN NEW.state = 'destroyed' AND OLD.id IN (SELECT package FROM held)
BEGIN
    SELECT raise(ABORT, 'this package is held by order');
END;
CREATE TRIGGER held_is_not_deleted BEFORE DELETE ON package WHEN OLD.id IN (SELECT package FROM held)
BEGIN
    SELECT raise(ABORT, 'this package is held by order');
END;

-- With its angle brackets; NULL when it had none, when it is not recorded (audit.message_ids), and of what was deposited before.
ALTER TABLE package ADD COLUMN message_id TEXT;
