-- Times are seconds since 1970-01-01 UTC; sizes are bytes before encryption.

CREATE TABLE package (
    id         BLOB    NOT NULL PRIMARY KEY CHECK (length(id) = 16),
    created    INTEGER NOT NULL,
    expires    INTEGER NOT NULL,
    state      TEXT    NOT NULL DEFAULT 'live' CHECK (state IN ('live', 'destroyed')),
    manifest   BLOB    CHECK ((manifest IS NULL) = (state = 'destroyed')),
    queue_id   TEXT    NOT NULL,
    sender     TEXT    NOT NULL,
    login      TEXT,
    direction  TEXT    NOT NULL CHECK (direction IN ('incoming', 'outgoing')),
    recipients INTEGER NOT NULL,
    files      INTEGER NOT NULL,
    bytes      INTEGER NOT NULL,
    downloads  INTEGER NOT NULL DEFAULT 0
) STRICT;

CREATE INDEX package_by_expiry ON package (state, expires);
CREATE INDEX package_by_sender ON package (sender, created);
CREATE INDEX package_by_queue_id ON package (queue_id);

CREATE TABLE file (
    package   BLOB    NOT NULL REFERENCES package (id) ON DELETE CASCADE,
    position  INTEGER NOT NULL, -- as shown, from 0
    number    INTEGER NOT NULL, -- in the name of its blob
    size      INTEGER NOT NULL,
    downloads INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (package, position)
) STRICT, WITHOUT ROWID;
