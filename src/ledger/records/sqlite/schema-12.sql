-- Packages whose files lie at somebody else's store, which ends them by itself at this time (seconds since 1970-01-01 UTC);
-- NULL of those whose files lie here.
ALTER TABLE package ADD COLUMN kept_until INTEGER;

-- What is needed to remove these files there, sealed under drop.key; erased when that was done.
ALTER TABLE package ADD COLUMN locators BLOB;
