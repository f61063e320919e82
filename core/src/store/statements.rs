//! The writer's SQL: one statement a table, its rows as one JSON parameter.

use super::encode::Statement;

/// Begins a group. Immediate, so that two processes wait for each other here and never
/// in the middle.
pub(super) const BEGIN: &str = "BEGIN IMMEDIATE;";
/// Ends a group; durable when it returns.
pub(super) const COMMIT: &str = "COMMIT;";

impl Statement {
    /// The SQL, with one parameter.
    pub(super) fn sql(self) -> &'static str {
        match self {
            Self::Definitions => DEFINITIONS,
            Self::Runs => RUNS,
            Self::Steps => STEPS,
            Self::Attempts => ATTEMPTS,
            Self::Events => EVENTS,
            Self::Approvals => APPROVALS,
            Self::Cache => CACHE,
            Self::UsedCache => USED_CACHE,
            Self::Logs => LOGS,
            Self::Artifacts => ARTIFACTS,
            Self::RequestCancel => {
                "UPDATE runs SET cancel_requested = 1 WHERE id IN (SELECT value->>0 FROM jsonb_each(?));"
            }
            Self::ClearCancel => {
                "UPDATE runs SET cancel_requested = 0 WHERE id IN (SELECT value->>0 FROM jsonb_each(?));"
            }
        }
    }
}

const DEFINITIONS: &str = "
INSERT INTO definitions (hash, name, bundle)
SELECT unhex(value->>0), value->>1, value->>2 FROM jsonb_each(?) WHERE true
ON CONFLICT (hash) DO NOTHING;";

const RUNS: &str = "
INSERT INTO runs (id, workflow, definition, status, inputs, outputs, error, cost,
    cost_uncertain, started, ended)
SELECT value->>0, value->>1, unhex(value->>2), value->>3, value->>4, value->>5, value->>6,
    value->>7, value->>8, value->>9, value->>10
FROM jsonb_each(?) WHERE true
ON CONFLICT (id) DO UPDATE SET workflow = excluded.workflow, definition = excluded.definition,
    status = excluded.status, inputs = excluded.inputs, outputs = excluded.outputs,
    error = excluded.error, cost = excluded.cost, cost_uncertain = excluded.cost_uncertain,
    started = excluded.started, ended = excluded.ended;";

const STEPS: &str = "
INSERT INTO steps (run, path, parent, step, ordinal, status, hash, output, meta, error_class,
    error, attempts, cached, started, ended)
SELECT (SELECT key FROM runs WHERE id = value->>0), value->>1, value->>2, value->>3, value->>4,
    value->>5, unhex(value->>6), value->>7, value->>8, value->>9, value->>10, value->>11,
    value->>12, value->>13, value->>14
FROM jsonb_each(?) WHERE true
ON CONFLICT (run, path) DO UPDATE SET parent = excluded.parent, step = excluded.step,
    ordinal = excluded.ordinal, status = excluded.status, hash = excluded.hash,
    output = excluded.output, meta = excluded.meta, error_class = excluded.error_class,
    error = excluded.error, attempts = excluded.attempts, cached = excluded.cached,
    started = excluded.started, ended = excluded.ended;";

const ATTEMPTS: &str = "
INSERT INTO attempts (run, path, number, status, provider, model, error_class, error,
    input_tokens, output_tokens, cost, reserved, latency_ms, request_id, raw, started, ended)
SELECT (SELECT key FROM runs WHERE id = value->>0), value->>1, value->>2, value->>3, value->>4,
    value->>5, value->>6, value->>7, value->>8, value->>9, value->>10, value->>11, value->>12,
    value->>13, value->>14, value->>15, value->>16
FROM jsonb_each(?) WHERE true
ON CONFLICT (run, path, number) DO UPDATE SET status = excluded.status,
    provider = excluded.provider, model = excluded.model, error_class = excluded.error_class,
    error = excluded.error, input_tokens = excluded.input_tokens,
    output_tokens = excluded.output_tokens, cost = excluded.cost, reserved = excluded.reserved,
    latency_ms = excluded.latency_ms, request_id = excluded.request_id, raw = excluded.raw,
    started = excluded.started, ended = excluded.ended;";

const EVENTS: &str = "
INSERT INTO events (run, seq, at, path, kind, body)
SELECT (SELECT key FROM runs WHERE id = value->>0), value->>1, value->>2, value->>3, value->>4,
    value->>5
FROM jsonb_each(?);";

const APPROVALS: &str = "
INSERT INTO approvals (run, path, show, asked, answered, approved, comment)
SELECT (SELECT key FROM runs WHERE id = value->>0), value->>1, value->>2, value->>3, value->>4,
    value->>5, value->>6
FROM jsonb_each(?) WHERE true
ON CONFLICT (run, path) DO UPDATE SET show = excluded.show, asked = excluded.asked,
    answered = excluded.answered, approved = excluded.approved, comment = excluded.comment;";

const CACHE: &str = "
INSERT INTO cache (hash, output, meta, run, at)
SELECT unhex(value->>0), value->>1, value->>2, (SELECT key FROM runs WHERE id = value->>3),
    value->>4
FROM jsonb_each(?) WHERE true
ON CONFLICT (hash) DO UPDATE SET output = excluded.output, meta = excluded.meta,
    run = excluded.run, at = excluded.at;";

const USED_CACHE: &str = "
UPDATE cache SET at = value->>1 FROM jsonb_each(?) WHERE hash = unhex(value->>0);";

const LOGS: &str = "
INSERT INTO logs (run, at, path, attempt, line)
SELECT (SELECT key FROM runs WHERE id = value->>0), value->>1, value->>2, value->>3, value->>4
FROM jsonb_each(?);";

const ARTIFACTS: &str = "
INSERT INTO artifacts (hash, size, media_type, created)
SELECT unhex(value->>0), value->>1, value->>2, value->>3 FROM jsonb_each(?) WHERE true
ON CONFLICT (hash) DO NOTHING;";
