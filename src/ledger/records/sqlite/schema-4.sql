-- Who decrypts a package for its readers: the server, which is shown the token, or the browser.
ALTER TABLE package ADD COLUMN unlock TEXT NOT NULL DEFAULT 'server'
    CHECK (unlock IN ('server', 'browser'));
