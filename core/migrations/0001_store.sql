-- The store of flow. Money is in micro-USD, times are milliseconds since 1970 (UTC),
-- hashes are the 32 bytes of SHA-256, JSON is text.

PRAGMA application_id = 0x666c6f77; -- 'flow'

-- What a run executes: the workflow and all it refers to.
CREATE TABLE definitions (
    key    INTEGER PRIMARY KEY,
    hash   BLOB NOT NULL UNIQUE,
    name   TEXT NOT NULL,
    bundle TEXT NOT NULL
);

-- `key` stands for the id in all other tables, so that a row of a million costs two bytes
-- for its run and not twenty-six.
CREATE TABLE runs (
    key              INTEGER PRIMARY KEY,
    id               TEXT NOT NULL UNIQUE,
    workflow         TEXT NOT NULL,
    definition       BLOB NOT NULL REFERENCES definitions (hash),
    status           TEXT NOT NULL,
    inputs           TEXT NOT NULL,
    outputs          TEXT,
    error            TEXT,
    cost             INTEGER NOT NULL,
    cost_uncertain   INTEGER NOT NULL,
    started          INTEGER NOT NULL,
    ended            INTEGER,
    cancel_requested INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX runs_by_start ON runs (started, id);

-- Steps and instances. A rowid table: outputs of many sizes are appended, and only the
-- narrow indexes see paths in random order. `ordinal` is -1 for what is not an instance,
-- so that (ordinal, key) is a total order to page by.
CREATE TABLE steps (
    key         INTEGER PRIMARY KEY,
    run         INTEGER NOT NULL REFERENCES runs (key),
    path        TEXT NOT NULL,
    parent      TEXT,
    step        TEXT NOT NULL,
    ordinal     INTEGER NOT NULL,
    status      TEXT NOT NULL,
    hash        BLOB,
    output      TEXT,
    meta        TEXT,
    error_class TEXT,
    error       TEXT,
    attempts    INTEGER NOT NULL,
    cached      INTEGER NOT NULL,
    started     INTEGER,
    ended       INTEGER,
    UNIQUE (run, path)
);
CREATE INDEX steps_by_parent ON steps (run, parent, ordinal);

CREATE TABLE attempts (
    run           INTEGER NOT NULL REFERENCES runs (key),
    path          TEXT NOT NULL,
    number        INTEGER NOT NULL,
    status        TEXT NOT NULL,
    provider      TEXT,
    model         TEXT,
    error_class   TEXT,
    error         TEXT,
    input_tokens  INTEGER,
    output_tokens INTEGER,
    cost          INTEGER,
    reserved      INTEGER,
    latency_ms    INTEGER,
    request_id    TEXT,
    raw           TEXT,
    started       INTEGER NOT NULL,
    ended         INTEGER,
    PRIMARY KEY (run, path, number)
) WITHOUT ROWID;

CREATE TABLE events (
    run  INTEGER NOT NULL REFERENCES runs (key),
    seq  INTEGER NOT NULL,
    at   INTEGER NOT NULL,
    path TEXT,
    kind TEXT NOT NULL,
    body TEXT NOT NULL,
    PRIMARY KEY (run, seq)
) WITHOUT ROWID;

CREATE TABLE approvals (
    run      INTEGER NOT NULL REFERENCES runs (key),
    path     TEXT NOT NULL,
    show     TEXT NOT NULL,
    asked    INTEGER NOT NULL,
    answered INTEGER,
    approved INTEGER,
    comment  TEXT,
    PRIMARY KEY (run, path)
) WITHOUT ROWID;

-- Outputs that later runs may use again.
CREATE TABLE cache (
    key    INTEGER PRIMARY KEY,
    hash   BLOB NOT NULL UNIQUE,
    output TEXT NOT NULL,
    meta   TEXT,
    run    INTEGER NOT NULL REFERENCES runs (key),
    at     INTEGER NOT NULL
);

CREATE TABLE logs (
    key     INTEGER PRIMARY KEY,
    run     INTEGER NOT NULL REFERENCES runs (key),
    at      INTEGER NOT NULL,
    path    TEXT,
    attempt INTEGER,
    line    TEXT NOT NULL
);
CREATE INDEX logs_by_run ON logs (run);

-- Every file that a committed row points to; the bytes are in the folder `artifacts/`.
CREATE TABLE artifacts (
    hash       BLOB PRIMARY KEY,
    size       INTEGER NOT NULL,
    media_type TEXT NOT NULL,
    created    INTEGER NOT NULL
) WITHOUT ROWID;

-- What calls of models cost, by UTC day of their start. `unknown_cost_calls` counts those
-- whose price nobody knows; `cost_usd` is the sum of the others.
CREATE VIEW cost_by_model AS
SELECT date(a.started / 1000, 'unixepoch')                AS day,
       r.workflow                                         AS workflow,
       a.provider                                         AS provider,
       a.model                                            AS model,
       count(*)                                           AS calls,
       coalesce(sum(a.input_tokens), 0)                   AS input_tokens,
       coalesce(sum(a.output_tokens), 0)                  AS output_tokens,
       coalesce(sum(a.cost), 0) / 1e6                     AS cost_usd,
       sum(a.cost IS NULL)                                AS unknown_cost_calls
FROM attempts a JOIN runs r ON r.key = a.run
WHERE a.model IS NOT NULL
GROUP BY 1, 2, 3, 4;

-- A line a run, with times as people read them.
CREATE VIEW run_summary AS
SELECT r.id                                               AS run,
       r.workflow                                         AS workflow,
       r.status                                           AS status,
       datetime(r.started / 1000, 'unixepoch')            AS started,
       datetime(r.ended / 1000, 'unixepoch')              AS ended,
       (r.ended - r.started) / 1000.0                     AS seconds,
       r.cost / 1e6                                       AS cost_usd,
       r.cost_uncertain                                   AS cost_uncertain,
       (SELECT count(*) FROM steps s WHERE s.run = r.key) AS steps,
       (SELECT count(*) FROM steps s WHERE s.run = r.key AND s.status = 'failed') AS failed_steps,
       r.error                                            AS error
FROM runs r;

-- What failed for good, and why.
CREATE VIEW failed_steps AS
SELECT r.id                                               AS run,
       r.workflow                                         AS workflow,
       s.path                                             AS path,
       s.step                                             AS step,
       s.error_class                                      AS error_class,
       s.error                                            AS error,
       s.attempts                                         AS attempts,
       datetime(s.ended / 1000, 'unixepoch')              AS ended
FROM steps s JOIN runs r ON r.key = s.run
WHERE s.status = 'failed';
