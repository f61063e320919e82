-- Runs by what people ask for. They are named by the end of their id as well as by its
-- beginning, so that it is kept backwards: a range of an index, as the beginning is.
ALTER TABLE runs ADD COLUMN backwards TEXT AS (
    substr(id, 26, 1) || substr(id, 25, 1) || substr(id, 24, 1) || substr(id, 23, 1) || substr(id,
    22, 1) || substr(id, 21, 1) || substr(id, 20, 1) || substr(id, 19, 1) || substr(id, 18, 1) ||
    substr(id, 17, 1) || substr(id, 16, 1) || substr(id, 15, 1) || substr(id, 14, 1) || substr(id,
    13, 1) || substr(id, 12, 1) || substr(id, 11, 1) || substr(id, 10, 1) || substr(id, 9, 1) ||
    substr(id, 8, 1) || substr(id, 7, 1) || substr(id, 6, 1) || substr(id, 5, 1) || substr(id, 4, 1)
    || substr(id, 3, 1) || substr(id, 2, 1) || substr(id, 1, 1)
) VIRTUAL;
CREATE INDEX runs_by_end ON runs (backwards);
CREATE INDEX runs_by_workflow ON runs (workflow, started, id);
CREATE INDEX runs_by_status ON runs (status, started, id);
CREATE INDEX runs_by_definition ON runs (definition);

-- A run that is being pruned is gone for everybody at once; its rows go in many small
-- transactions, and it last.
ALTER TABLE runs ADD COLUMN pruned INTEGER NOT NULL DEFAULT 0;
CREATE INDEX runs_pruned ON runs (key) WHERE pruned = 1;

-- What a step wrote, without a look at the lines of all the others.
CREATE INDEX logs_by_path ON logs (run, path);

-- An entry of the cache outlives its run; `at` is when it was last of use, to the day.
CREATE TABLE lasting_cache (
    key    INTEGER PRIMARY KEY,
    hash   BLOB NOT NULL UNIQUE,
    output TEXT NOT NULL,
    meta   TEXT,
    run    INTEGER REFERENCES runs (key) ON DELETE SET NULL,
    at     INTEGER NOT NULL
);
INSERT INTO lasting_cache (key, hash, output, meta, run, at)
SELECT key, hash, output, meta, run, at FROM cache;
DROP TABLE cache;
ALTER TABLE lasting_cache RENAME TO cache;
CREATE INDEX cache_by_run ON cache (run);
CREATE INDEX cache_by_time ON cache (at);

-- The views leave out what is being pruned. `run_summary` counts what failed on the index of
-- what did not succeed, instead of reading every step.
DROP VIEW cost_by_model;
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
WHERE a.model IS NOT NULL AND r.pruned = 0
GROUP BY 1, 2, 3, 4;

DROP VIEW run_summary;
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
       (SELECT count(*) FROM steps s WHERE s.run = r.key AND s.status <> 'succeeded'
           AND s.status = 'failed')                       AS failed_steps,
       r.error                                            AS error
FROM runs r
WHERE r.pruned = 0;

DROP VIEW failed_steps;
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
WHERE s.status = 'failed' AND s.status <> 'succeeded' AND r.pruned = 0;
