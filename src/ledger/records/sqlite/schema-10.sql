-- What packages cost the quotas: bytes before encryption, and of each file at least 4,096, since it takes a block and an inode.
ALTER TABLE package ADD COLUMN cost INTEGER NOT NULL DEFAULT 0;
UPDATE package SET cost = max(bytes, coalesce((SELECT sum(max(size, 4096)) FROM file WHERE package = package.id), 0));

-- A quota is added up from the index alone.
DROP INDEX package_by_sender;
CREATE INDEX package_by_sender ON package (sender COLLATE NOCASE, created, uploader, login, direction, cost);
DROP INDEX package_by_login;
CREATE INDEX package_by_login ON package (login COLLATE NOCASE, created, uploader, cost) WHERE login IS NOT NULL;

-- Beside 'stored_bytes', what they cost.
INSERT INTO note SELECT 'stored_cost', coalesce(sum(cost), 0) FROM package WHERE state = 'live';
CREATE TRIGGER package_costs AFTER INSERT ON package WHEN NEW.state = 'live' BEGIN
    UPDATE note SET value = value + NEW.cost WHERE name = 'stored_cost';
END;
CREATE TRIGGER destroyed_package_costs_nothing AFTER UPDATE OF state ON package
    WHEN OLD.state = 'live' AND NEW.state = 'destroyed' BEGIN
    UPDATE note SET value = value - OLD.cost WHERE name = 'stored_cost';
END;
CREATE TRIGGER removed_package_costs_nothing AFTER DELETE ON package WHEN OLD.state = 'live' BEGIN
    UPDATE note SET value = value - OLD.cost WHERE name = 'stored_cost';
END;

-- What incoming mail cost, by the hour (since 1970-01-01 UTC), of the last two days; uploader '' is this host itself.
CREATE TABLE incoming_hour (
    uploader TEXT    NOT NULL,
    hour     INTEGER NOT NULL,
    cost     INTEGER NOT NULL,
    PRIMARY KEY (uploader, hour)
) STRICT, WITHOUT ROWID;

INSERT INTO incoming_hour
SELECT coalesce(uploader, ''), created / 3600, sum(cost) FROM package
WHERE direction = 'incoming' AND created >= CAST(strftime('%s', 'now') AS INTEGER) - 2 * 86400 GROUP BY 1, 2;

CREATE TRIGGER incoming_package_costs AFTER INSERT ON package WHEN NEW.direction = 'incoming' BEGIN
    INSERT INTO incoming_hour VALUES (coalesce(NEW.uploader, ''), NEW.created / 3600, NEW.cost)
        ON CONFLICT DO UPDATE SET cost = cost + excluded.cost;
    DELETE FROM incoming_hour WHERE hour < NEW.created / 3600 - 48;
END;
CREATE TRIGGER removed_incoming_package_costs_nothing AFTER DELETE ON package WHEN OLD.direction = 'incoming' BEGIN
    UPDATE incoming_hour SET cost = cost - OLD.cost
        WHERE uploader = coalesce(OLD.uploader, '') AND hour = OLD.created / 3600;
END;

-- Of incoming mail of the last day, from which networks it came: HMAC-SHA256 of each under drop.key.
CREATE TABLE client_network (
    package BLOB    NOT NULL REFERENCES package (id) ON DELETE CASCADE,
    network BLOB    NOT NULL CHECK (length(network) = 32),
    created INTEGER NOT NULL,
    cost    INTEGER NOT NULL
) STRICT;

CREATE INDEX client_network_by_package ON client_network (package);
CREATE INDEX client_network_by_network ON client_network (network, created, cost);
CREATE INDEX client_network_by_time ON client_network (created);
