-- Runs that a server drives: those that it started, with why, and those that it took up again
-- (`cause` is null). Written before the run is, so that a run that is there has its cause; by
-- the run's id, for the run has no key yet.
CREATE TABLE starts (
    run   TEXT PRIMARY KEY,
    cause TEXT,
    at    INTEGER NOT NULL
) WITHOUT ROWID;

-- What opens a server. A token is 256 random bits, of which only the SHA-256 is kept.
CREATE TABLE tokens (
    name    TEXT PRIMARY KEY,
    hash    BLOB NOT NULL UNIQUE,
    scope   TEXT NOT NULL,
    created INTEGER NOT NULL,
    expires INTEGER
) WITHOUT ROWID;

-- What calls cost since a day, without a look at those before.
CREATE INDEX attempts_by_start ON attempts (started) WHERE model IS NOT NULL;
