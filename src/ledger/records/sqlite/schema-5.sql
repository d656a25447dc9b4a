-- What was kept out of mailboxes. These rows outlive the records of the packages that they count.

-- Of incoming mail: how many recipients each domain had, as JSON.
ALTER TABLE package ADD COLUMN domains TEXT NOT NULL DEFAULT '{}';

CREATE TABLE statistics (
    month      TEXT    NOT NULL CHECK (length(month) = 7), -- of the deposit, UTC: 2026-11
    direction  TEXT    NOT NULL CHECK (direction IN ('incoming', 'outgoing')),
    domain     TEXT    NOT NULL,   -- of our own side; '' for those that are not named
    messages   INTEGER NOT NULL,
    files      INTEGER NOT NULL,
    bytes      INTEGER NOT NULL,   -- of the files, once
    recipients INTEGER NOT NULL,
    spared     INTEGER NOT NULL,   -- bytes, once for each recipient
    PRIMARY KEY (month, direction, domain)
) STRICT, WITHOUT ROWID;

-- What was deposited before there were statistics. Of incoming mail no domain is known.
INSERT INTO statistics
SELECT strftime('%Y-%m', created, 'unixepoch'), direction,
       CASE WHEN direction = 'outgoing' AND sender LIKE '%_@_%' AND sender NOT LIKE '%@%@%'
            THEN lower(substr(sender, instr(sender, '@') + 1)) ELSE '' END AS domain_of_sender,
       count(*), sum(files), sum(bytes), sum(recipients), sum(bytes * recipients)
FROM package WHERE recipients > 0 AND created BETWEEN 0 AND 253402300799 GROUP BY 1, 2, 3;
