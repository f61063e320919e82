-- Files that were uploaded to services: asking many questions of one uploads it once, a later
-- life of a run finds it, and what nobody needs any more is deleted there. `account` and
-- `content` are hashes: of the address and the key of whom it was uploaded to, and of its
-- bytes. `state` is `processing`, `ready` or `deleting`, `keep` is `run` or `expiry`.
CREATE TABLE remote_files (
    key        INTEGER PRIMARY KEY,
    account    BLOB NOT NULL,
    content    BLOB NOT NULL,
    provider   TEXT NOT NULL,
    id         TEXT NOT NULL,
    uri        TEXT NOT NULL,
    name       TEXT NOT NULL,
    media_type TEXT NOT NULL,
    size       INTEGER NOT NULL,
    state      TEXT NOT NULL,
    keep       TEXT NOT NULL,
    uploaded   INTEGER NOT NULL,
    expires    INTEGER,
    UNIQUE (account, id)
);
CREATE INDEX remote_files_by_content ON remote_files (account, content);
CREATE INDEX remote_files_by_expiry ON remote_files (expires) WHERE expires IS NOT NULL;

-- The runs that use them. A file that is kept for a run stays while a run that uses it has not
-- ended.
CREATE TABLE remote_file_uses (
    file INTEGER NOT NULL REFERENCES remote_files (key) ON DELETE CASCADE,
    run  INTEGER NOT NULL REFERENCES runs (key) ON DELETE CASCADE,
    PRIMARY KEY (file, run)
) WITHOUT ROWID;
CREATE INDEX remote_file_uses_by_run ON remote_file_uses (run);
