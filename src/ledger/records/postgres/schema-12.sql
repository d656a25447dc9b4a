-- All of what SQLite has after schema 12: a schema of one number says the same in both dialects.
-- Times are seconds since 1970-01-01 UTC; sizes are bytes before encryption. Texts are compared byte by byte.

CREATE TABLE package (
    id         bytea  NOT NULL PRIMARY KEY CHECK (length(id) = 16),
    created    bigint NOT NULL,
    expires    bigint NOT NULL,
    -- When and why it was ended before it expired; NULL when it was not.
    ended      bigint,
    cause      text COLLATE "C" CHECK ((cause IS NULL) = (ended IS NULL) AND cause IN ('revoked', 'blocked')),
    state      text COLLATE "C" NOT NULL DEFAULT 'live' CHECK (state IN ('live', 'destroyed')),
    manifest   bytea  CHECK ((manifest IS NULL) = (state = 'destroyed')),
    queue_id   text COLLATE "C" NOT NULL,
    sender     text COLLATE "C" NOT NULL,
    -- What of the sender is certain: an address, or a domain.
    verified   text COLLATE "C",
    login      text COLLATE "C",
    direction  text COLLATE "C" NOT NULL CHECK (direction IN ('incoming', 'outgoing')),
    recipients bigint NOT NULL,
    -- Of incoming mail: how many recipients each domain had, as JSON.
    domains    text   NOT NULL,
    client     text,
    uploader   text COLLATE "C",
    message_id text,
    files      bigint NOT NULL,
    bytes      bigint NOT NULL,
    -- What it costs the quotas.
    cost       bigint NOT NULL,
    downloads  bigint NOT NULL DEFAULT 0,
    unlock     text   NOT NULL CHECK (unlock IN ('server', 'browser')),
    -- Of files that lie at somebody else's store: when that ends them by itself, and what is needed to remove them there, sealed
    -- under drop.key and erased when that was done.
    kept_until bigint,
    locators   bytea
);

CREATE INDEX package_by_end ON package (state, coalesce(ended, expires));
CREATE INDEX package_by_creation ON package (created DESC, id);
CREATE INDEX package_by_queue_id ON package (queue_id);
-- A quota is added up from the index alone.
CREATE INDEX package_by_sender ON package (lower(sender), created) INCLUDE (uploader, login, direction, cost);
CREATE INDEX package_by_login ON package (lower(login), created) INCLUDE (uploader, cost) WHERE login IS NOT NULL;
CREATE INDEX package_by_uploader ON package (lower(uploader), created) WHERE uploader IS NOT NULL;
CREATE INDEX live_package ON package (id) WHERE state = 'live';
CREATE INDEX package_ended_for_cause ON package (cause, created DESC, id) WHERE cause IS NOT NULL;

CREATE TABLE file (
    package     bytea   NOT NULL REFERENCES package (id) ON DELETE CASCADE,
    position    bigint  NOT NULL, -- as shown, from 0
    number      bigint  NOT NULL, -- in the name of its blob
    size        bigint  NOT NULL,
    -- HMAC-SHA256 of the file's SHA-256 under the key in drop.key; NULL when the package is destroyed.
    fingerprint bytea,
    downloads   bigint  NOT NULL DEFAULT 0,
    PRIMARY KEY (package, position)
);
CREATE INDEX file_by_fingerprint ON file (fingerprint) WHERE fingerprint IS NOT NULL;
CREATE INDEX unknown_file ON file (package) WHERE fingerprint IS NULL;

-- Packages whose record is destroyed and whose blobs have yet to be removed, in the order in which that is tried.
CREATE SEQUENCE doomed_turn;
CREATE TABLE doomed (
    package bytea  NOT NULL PRIMARY KEY REFERENCES package (id) ON DELETE CASCADE,
    turn    bigint NOT NULL DEFAULT nextval('doomed_turn')
);
CREATE INDEX doomed_by_turn ON doomed (turn);

-- Files that are refused.
CREATE TABLE block (
    fingerprint bytea  NOT NULL PRIMARY KEY,
    sha256      bytea  NOT NULL CHECK (length(sha256) = 32),
    created     bigint NOT NULL,
    reason      text   NOT NULL
);

-- Logins of which nothing is taken, in lower case beside the form that they were given in.
CREATE TABLE suspended (
    login   text COLLATE "C" NOT NULL,
    created bigint NOT NULL,
    reason  text   NOT NULL
);
CREATE UNIQUE INDEX suspended_by_login ON suspended (lower(login));

-- Their packages that could be fetched, or restored, until then.
CREATE TABLE suspended_package (
    package bytea NOT NULL PRIMARY KEY REFERENCES package (id) ON DELETE CASCADE,
    login   text COLLATE "C" NOT NULL
);
CREATE INDEX suspended_package_by_login ON suspended_package (lower(login));

-- Packages that an admin keeps by order: neither their expiry nor a sweep destroys them, and nobody fetches them.
CREATE TABLE held (
    package bytea  NOT NULL PRIMARY KEY REFERENCES package (id) ON DELETE CASCADE,
    created bigint NOT NULL,
    reason  text   NOT NULL
);
CREATE FUNCTION refuse_held() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    IF EXISTS (SELECT FROM held WHERE package = OLD.id) THEN
        RAISE EXCEPTION 'this package is held by order';
    END IF;
    RETURN CASE TG_OP WHEN 'DELETE' THEN OLD ELSE NEW END;
END $$;
CREATE TRIGGER held_is_not_destroyed BEFORE UPDATE OF state ON package
    FOR EACH ROW WHEN (NEW.state = 'destroyed') EXECUTE FUNCTION refuse_held();
CREATE TRIGGER held_is_not_deleted BEFORE DELETE ON package FOR EACH ROW EXECUTE FUNCTION refuse_held();

-- What the drop remembers of itself; 'stored_bytes' and 'stored_cost' are those of all packages that are not destroyed.
CREATE TABLE note (
    name  text COLLATE "C" NOT NULL PRIMARY KEY,
    value bigint NOT NULL
);
INSERT INTO note VALUES ('stored_bytes', 0), ('stored_cost', 0);

-- What incoming mail cost, by the hour (since 1970-01-01 UTC), of the last two days; uploader '' is this host itself.
CREATE TABLE incoming_hour (
    uploader text COLLATE "C" NOT NULL,
    hour     bigint NOT NULL,
    cost     bigint NOT NULL,
    PRIMARY KEY (uploader, hour)
);
CREATE INDEX incoming_hour_by_hour ON incoming_hour (hour);

CREATE FUNCTION add_up_package() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    IF NEW.state = 'live' THEN
        UPDATE note SET value = value + CASE name WHEN 'stored_bytes' THEN NEW.bytes ELSE NEW.cost END
            WHERE name IN ('stored_bytes', 'stored_cost');
    END IF;
    IF NEW.direction = 'incoming' THEN
        INSERT INTO incoming_hour VALUES (coalesce(NEW.uploader, ''), NEW.created / 3600, NEW.cost)
            ON CONFLICT (uploader, hour) DO UPDATE SET cost = incoming_hour.cost + excluded.cost;
        DELETE FROM incoming_hour WHERE hour < NEW.created / 3600 - 48;
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER package_is_stored AFTER INSERT ON package FOR EACH ROW EXECUTE FUNCTION add_up_package();

CREATE FUNCTION take_off_package() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    IF OLD.state = 'live' THEN
        UPDATE note SET value = value - CASE name WHEN 'stored_bytes' THEN OLD.bytes ELSE OLD.cost END
            WHERE name IN ('stored_bytes', 'stored_cost');
    END IF;
    IF TG_OP = 'DELETE' AND OLD.direction = 'incoming' THEN
        UPDATE incoming_hour SET cost = cost - OLD.cost
            WHERE uploader = coalesce(OLD.uploader, '') AND hour = OLD.created / 3600;
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER package_is_destroyed AFTER UPDATE OF state ON package
    FOR EACH ROW WHEN (OLD.state = 'live' AND NEW.state = 'destroyed') EXECUTE FUNCTION take_off_package();
CREATE TRIGGER package_is_removed AFTER DELETE ON package FOR EACH ROW EXECUTE FUNCTION take_off_package();

-- What was done with packages: a chain of digests (ledger/audit/chain.rs). Numbers have no gap, so no sequence gives them.
-- Entries are added, never changed, and deleted only up to the anchor, which the retention moves first.
CREATE TABLE audit (
    number   bigint NOT NULL PRIMARY KEY,
    digest   bytea  NOT NULL CHECK (length(digest) = 32),
    time     bigint NOT NULL,
    action   text   NOT NULL,
    package  bytea,            -- the record's id; it may be gone
    queue_id text   NOT NULL,
    sender   text   NOT NULL,
    login    text,
    actor    text   NOT NULL,  -- mail, web, admin, sweep
    address  text,             -- of whoever did it over the web
    detail   text   NOT NULL
);
CREATE INDEX audit_by_time ON audit (time);
CREATE INDEX audit_by_package ON audit (package, number);

-- What the first entry of the chain follows, and its last entry.
CREATE TABLE audit_chain (
    place  text COLLATE "C" NOT NULL PRIMARY KEY CHECK (place IN ('anchor', 'head')),
    number bigint NOT NULL,
    digest bytea  NOT NULL CHECK (length(digest) = 32)
);
INSERT INTO audit_chain VALUES ('anchor', 0, decode(repeat('00', 32), 'hex')), ('head', 0, decode(repeat('00', 32), 'hex'));

CREATE FUNCTION refuse_audit_change() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    RAISE EXCEPTION 'entries of the audit log are not changed';
END $$;
CREATE TRIGGER audit_is_not_changed BEFORE UPDATE ON audit FOR EACH ROW EXECUTE FUNCTION refuse_audit_change();
CREATE TRIGGER audit_is_not_emptied BEFORE TRUNCATE ON audit FOR EACH STATEMENT EXECUTE FUNCTION refuse_audit_change();
CREATE FUNCTION keep_audit() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    IF OLD.number > (SELECT number FROM audit_chain WHERE place = 'anchor') THEN
        RAISE EXCEPTION 'entries of the audit log are kept';
    END IF;
    RETURN OLD;
END $$;
CREATE TRIGGER audit_is_kept BEFORE DELETE ON audit FOR EACH ROW EXECUTE FUNCTION keep_audit();

-- Who may deposit from another host.
CREATE TABLE uploader (
    id        bigint NOT NULL GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name      text COLLATE "C" NOT NULL UNIQUE,
    secret    bytea  NOT NULL UNIQUE CHECK (length(secret) = 32), -- SHA-256 of the bearer token
    rights    text   NOT NULL, -- words, separated by a space
    quota     bigint,          -- bytes a day, NULL: as many as there is room for
    created   bigint NOT NULL,
    expires   bigint,          -- NULL: never
    last_used bigint
);

-- What each deposited, by day (UTC).
CREATE TABLE uploader_day (
    uploader bigint NOT NULL REFERENCES uploader (id) ON DELETE CASCADE,
    day      bigint NOT NULL,  -- days since 1970-01-01
    packages bigint NOT NULL,
    bytes    bigint NOT NULL,
    PRIMARY KEY (uploader, day)
);

-- Whose a package is, from the moment it was begun: by name, which must outlive a token that was removed.
CREATE TABLE uploaded (
    package  bytea  NOT NULL PRIMARY KEY CHECK (length(package) = 16),
    uploader text   NOT NULL,
    begun    bigint NOT NULL
);
CREATE INDEX uploaded_by_time ON uploaded (begun);

-- What was kept out of mailboxes. These rows outlive the records of the packages that they count.
CREATE TABLE statistics (
    month      text COLLATE "C" NOT NULL CHECK (length(month) = 7), -- of the deposit, UTC: 2026-11
    direction  text COLLATE "C" NOT NULL CHECK (direction IN ('incoming', 'outgoing')),
    domain     text COLLATE "C" NOT NULL, -- of our own side; '' for those that are not named
    messages   bigint NOT NULL,
    files      bigint NOT NULL,
    bytes      bigint NOT NULL, -- of the files, once
    recipients bigint NOT NULL,
    spared     bigint NOT NULL, -- bytes, once for each recipient
    PRIMARY KEY (month, direction, domain)
);

-- Messages that somebody's choice kept as they came: HMAC-SHA256 of the Message-ID under drop.key, and until when this is
-- remembered.
CREATE TABLE kept_message (
    digest bytea  NOT NULL PRIMARY KEY CHECK (length(digest) = 32),
    until  bigint NOT NULL
);
CREATE INDEX kept_message_by_until ON kept_message (until);

-- Of incoming mail of the last day, from which networks it came: HMAC-SHA256 of each under drop.key.
CREATE TABLE client_network (
    package bytea  NOT NULL REFERENCES package (id) ON DELETE CASCADE,
    network bytea  NOT NULL CHECK (length(network) = 32),
    created bigint NOT NULL,
    cost    bigint NOT NULL,
    PRIMARY KEY (package, network)
);
CREATE INDEX client_network_by_network ON client_network (network, created) INCLUDE (cost);
CREATE INDEX client_network_by_time ON client_network (created);
