-- Schedules of the workflows that a server found in its folder. `workflow` is the file without
-- its ending, `definition` a hash of when it ticks; `handled` is the last tick that needs no
-- look any more, and ticks up to `due` wait for an earlier run to end.
CREATE TABLE schedules (
    workflow   TEXT NOT NULL,
    definition BLOB NOT NULL,
    place      INTEGER NOT NULL,
    paused     INTEGER NOT NULL DEFAULT 0,
    seen       INTEGER NOT NULL,
    handled    INTEGER NOT NULL,
    due        INTEGER NOT NULL,
    last_run   TEXT,
    skipped    INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (workflow, definition)
) WITHOUT ROWID;

-- Files of watched folders. A row is written before its run is started, with the id that the
-- run will have; `open` says that there may be something left to do: to start it, to wait for
-- its end, or to move the file.
CREATE TABLE watched_files (
    watch    TEXT NOT NULL,
    path     TEXT NOT NULL,
    content  BLOB NOT NULL,
    size     INTEGER NOT NULL,
    modified INTEGER NOT NULL,
    run      TEXT NOT NULL,
    at       INTEGER NOT NULL,
    open     INTEGER NOT NULL DEFAULT 1,
    error    TEXT,
    PRIMARY KEY (watch, path, content)
) WITHOUT ROWID;
CREATE INDEX watched_files_open ON watched_files (watch, at) WHERE open = 1;

-- Deliveries to webhooks that said which they are: the same one once more gets the same run.
CREATE TABLE deliveries (
    hook    TEXT NOT NULL,
    key     TEXT NOT NULL,
    content BLOB NOT NULL,
    run     TEXT NOT NULL,
    at      INTEGER NOT NULL,
    PRIMARY KEY (hook, key)
) WITHOUT ROWID;
CREATE INDEX deliveries_by_time ON deliveries (at);

-- Up to when the ends of other runs were looked at, for each workflow that waits for some.
CREATE TABLE followers (
    follower TEXT PRIMARY KEY,
    until    INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX runs_by_end_time ON runs (ended) WHERE ended IS NOT NULL;

-- How far a run is from one that no other run started.
CREATE TABLE chained_runs (
    run   TEXT PRIMARY KEY,
    after TEXT NOT NULL,
    depth INTEGER NOT NULL
) WITHOUT ROWID;
