-- Where the client was that sent the message, and the name of the token with which another host deposited
-- it; NULL when there was none, when it is not recorded (audit.addresses), and of what was deposited before.
ALTER TABLE package ADD COLUMN client TEXT;
ALTER TABLE package ADD COLUMN uploader TEXT;

CREATE INDEX package_by_uploader ON package (uploader COLLATE NOCASE, created) WHERE uploader IS NOT NULL;
