-- Messages that somebody's choice kept as they came: HMAC-SHA256 of the Message-ID under drop.key, and until when this is
-- remembered.
CREATE TABLE kept_message (
    digest BLOB    NOT NULL PRIMARY KEY CHECK (length(digest) = 32),
    until  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX kept_message_by_until ON kept_message (until);
