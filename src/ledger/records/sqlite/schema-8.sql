-- What of the sender is certain: his address, or a domain; NULL where nothing is, and of what was deposited before.
ALTER TABLE package ADD COLUMN verified TEXT;
