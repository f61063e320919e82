//! The writer's SQL: one statement a table, compiled once, run for each row.

use super::encode::Statement;

/// Begins a group. Immediate, so that two processes wait for each other here and never
/// in the middle.
pub(super) const BEGIN: &str = "BEGIN IMMEDIATE";
/// Ends a group; durable when it returns.
pub(super) const COMMIT: &str = "COMMIT";

impl Statement {
    /// The SQL, with a parameter for each column of a row.
    pub(super) fn sql(self) -> &'static str {
        match self {
            Self::Definitions => DEFINITIONS,
            Self::Runs => RUNS,
            Self::Costs => COSTS,
            Self::Steps => STEPS,
            Self::Attempts => ATTEMPTS,
            Self::Events => EVENTS,
            Self::Approvals => APPROVALS,
            Self::Cache => CACHE,
            Self::UsedCache => USED_CACHE,
            Self::Logs => LOGS,
            Self::Artifacts => ARTIFACTS,
            Self::RemoteFiles => REMOTE_FILES,
            Self::UseRemoteFile => USE_REMOTE_FILE,
            Self::KeepRemoteFile => {
                "UPDATE remote_files SET keep = 'expiry' WHERE account = ?1 AND id = ?2"
            }
            Self::ForgetRemoteFile => "DELETE FROM remote_files WHERE account = ?1 AND id = ?2",
            Self::ForgetExpired => "DELETE FROM remote_files WHERE expires < ?1",
            Self::TakeUnneeded => TAKE_UNNEEDED,
            Self::RequestCancel => "UPDATE runs SET cancel_requested = 1 WHERE id = ?1",
            Self::ClearCancel => "UPDATE runs SET cancel_requested = 0 WHERE id = ?1",
            Self::Batches => BATCHES,
            Self::BatchItems => BATCH_ITEMS,
            Self::BatchSent => "UPDATE batches SET remote = ?2 WHERE nonce = ?1",
            Self::BatchRead => "UPDATE batches SET results = ?2 WHERE nonce = ?1",
            Self::BatchHanded => BATCH_HANDED,
            Self::BatchForgotten => "DELETE FROM batch_items WHERE batch = ?1",
            Self::ForgetMemory => {
                "DELETE FROM plugin_memory WHERE plugin = ?1 AND (key = ?2 OR expires <= ?3)"
            }
            Self::Remember => REMEMBER,
            Self::Schedules => SCHEDULES,
            Self::ScheduleGone => "DELETE FROM schedules WHERE workflow = ?1 AND definition = ?2",
            Self::ScheduleTold => SCHEDULE_TOLD,
            Self::ScheduleMoved => SCHEDULE_MOVED,
            Self::WatchedFiles => WATCHED_FILES,
            Self::WatchedFileClosed => WATCHED_FILE_CLOSED,
            Self::Deliveries => DELIVERIES,
            Self::ForgetDeliveries => "DELETE FROM deliveries WHERE at < ?1",
            Self::Followers => FOLLOWERS,
            Self::ChainedRuns => CHAINED_RUNS,
            Self::Starts => STARTS,
            Self::ForgetStart => "DELETE FROM starts WHERE run = ?1",
            Self::Tokens => TOKENS,
            Self::ForgetToken => "DELETE FROM tokens WHERE name = ?1",
        }
    }
}

const DEFINITIONS: &str = "
INSERT INTO definitions (hash, name, bundle)
VALUES (?1, ?2, ?3)
ON CONFLICT (hash) DO NOTHING";

const RUNS: &str = "
INSERT INTO runs (id, workflow, definition, status, inputs, outputs, error, cost,
    cost_uncertain, started, ended)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)
ON CONFLICT (id) DO UPDATE SET workflow = excluded.workflow, definition = excluded.definition,
    status = excluded.status, inputs = excluded.inputs, outputs = excluded.outputs,
    error = excluded.error, cost = excluded.cost, cost_uncertain = excluded.cost_uncertain,
    started = excluded.started, ended = excluded.ended";

const COSTS: &str = "UPDATE runs SET cost = ?2, cost_uncertain = ?3 WHERE id = ?1";

const STEPS: &str = "
INSERT INTO steps (run, path, parent, step, ordinal, status, hash, output, meta, error_class,
    error, attempts, cached, started, ended)
VALUES ((SELECT key FROM runs WHERE id = ?1), ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12,
    ?13, ?14, ?15)
ON CONFLICT (run, path) DO UPDATE SET parent = excluded.parent, step = excluded.step,
    ordinal = excluded.ordinal, status = excluded.status, hash = excluded.hash,
    output = excluded.output, meta = excluded.meta, error_class = excluded.error_class,
    error = excluded.error, attempts = excluded.attempts, cached = excluded.cached,
    started = excluded.started, ended = excluded.ended";

const ATTEMPTS: &str = "
INSERT INTO attempts (run, path, number, status, provider, model, error_class, error,
    input_tokens, output_tokens, cost, reserved, latency_ms, request_id, raw, started, ended, batch,
    speed, plugin)
VALUES ((SELECT key FROM runs WHERE id = ?1), ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12,
    ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20)
ON CONFLICT (run, path, number) DO UPDATE SET status = excluded.status,
    provider = excluded.provider, model = excluded.model, error_class = excluded.error_class,
    error = excluded.error, input_tokens = excluded.input_tokens,
    output_tokens = excluded.output_tokens, cost = excluded.cost, reserved = excluded.reserved,
    latency_ms = excluded.latency_ms, request_id = excluded.request_id, raw = excluded.raw,
    started = excluded.started, ended = excluded.ended, batch = excluded.batch,
    speed = excluded.speed, plugin = excluded.plugin";

const EVENTS: &str = "
INSERT INTO events (run, seq, at, path, kind, body)
VALUES ((SELECT key FROM runs WHERE id = ?1), ?2, ?3, ?4, ?5, ?6)";

const APPROVALS: &str = "
INSERT INTO approvals (run, path, show, asked, answered, approved, comment, output)
VALUES ((SELECT key FROM runs WHERE id = ?1), ?2, ?3, ?4, ?5, ?6, ?7, ?8)
ON CONFLICT (run, path) DO UPDATE SET show = excluded.show, asked = excluded.asked,
    answered = excluded.answered, approved = excluded.approved, comment = excluded.comment,
    output = excluded.output";

const CACHE: &str = "
INSERT INTO cache (hash, output, meta, run, at)
VALUES (?1, ?2, ?3, (SELECT key FROM runs WHERE id = ?4), ?5)
ON CONFLICT (hash) DO UPDATE SET output = excluded.output, meta = excluded.meta,
    run = excluded.run, at = excluded.at";

const USED_CACHE: &str = "UPDATE cache SET at = max(at, ?2) WHERE hash = ?1";

const LOGS: &str = "
INSERT INTO logs (run, at, path, attempt, line)
VALUES ((SELECT key FROM runs WHERE id = ?1), ?2, ?3, ?4, ?5)";

const ARTIFACTS: &str = "
INSERT INTO artifacts (hash, size, media_type, created)
VALUES (?1, ?2, ?3, ?4)
ON CONFLICT (hash) DO NOTHING";

const REMOTE_FILES: &str = "
INSERT INTO remote_files (account, content, provider, id, uri, name, media_type, size, state,
    keep, uploaded, expires)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)
ON CONFLICT (account, id) DO UPDATE SET uri = excluded.uri, media_type = excluded.media_type,
    state = iif(state = 'deleting', state, excluded.state), expires = excluded.expires";

const USE_REMOTE_FILE: &str = "
INSERT INTO remote_file_uses (file, run)
SELECT f.key, r.key FROM remote_files f CROSS JOIN runs r
WHERE f.account = ?1 AND f.id = ?2 AND f.state <> 'deleting' AND r.id = ?3
ON CONFLICT (file, run) DO NOTHING";

/// A file that no run uses any more has nobody who waits for it; one that a run which can go
/// on uses is left to that.
const TAKE_UNNEEDED: &str = "
UPDATE remote_files SET state = 'deleting'
WHERE account = ?1 AND keep = 'run' AND state <> 'deleting' AND NOT EXISTS (
    SELECT 1 FROM remote_file_uses u JOIN runs r ON r.key = u.run
    WHERE u.file = remote_files.key AND r.status IN ('running', 'waiting', 'interrupted'))";

const BATCHES: &str = "
INSERT INTO batches (nonce, provider, model, items, created)
VALUES (?1, ?2, ?3, ?4, ?5)";

const BATCH_ITEMS: &str = "
INSERT INTO batch_items (run, path, hash, batch, number)
VALUES ((SELECT key FROM runs WHERE id = ?1), ?2, ?3, ?4, ?5)";

const REMEMBER: &str = "
INSERT INTO plugin_memory (plugin, key, value, expires)
SELECT ?1, ?2, ?3, ?4
WHERE length(CAST(?2 AS BLOB)) + length(?3) + (
  SELECT coalesce(sum(length(CAST(key AS BLOB)) + length(value)), 0)
  FROM plugin_memory WHERE plugin = ?1 AND key <> ?2
) <= ?5
ON CONFLICT (plugin, key) DO UPDATE SET value = excluded.value, expires = excluded.expires";

const STARTS: &str = "
INSERT INTO starts (run, cause, at)
VALUES (?1, ?2, ?3)
ON CONFLICT (run) DO NOTHING";

const TOKENS: &str = "
INSERT INTO tokens (name, hash, scope, created, expires)
VALUES (?1, ?2, ?3, ?4, ?5)";

const BATCH_HANDED: &str = "
UPDATE batch_items SET handed = ?5
WHERE run = (SELECT key FROM runs WHERE id = ?2) AND path = ?3 AND hash = ?4 AND batch = ?1";

const SCHEDULES: &str = "
INSERT INTO schedules (workflow, definition, place, paused, seen, handled, due, last_run)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?6, ?7)
ON CONFLICT (workflow, definition) DO UPDATE SET place = excluded.place";

/// What ticked while nobody wanted it to is not made up for.
const SCHEDULE_TOLD: &str = "
UPDATE schedules SET paused = ?3, handled = iif(?3, handled, max(handled, ?4)),
    due = iif(?3, due, ?4)
WHERE workflow = ?1 AND definition = ?2 AND paused <> ?3";

/// Whoever sets the clock of a schedule back says so; else it only goes forward, for a person
/// may have resumed it meanwhile.
const SCHEDULE_MOVED: &str = "
UPDATE schedules SET handled = iif(?8, ?3, max(handled, ?3)), due = iif(?8, ?4, max(due, ?4)),
    last_run = coalesce(?5, last_run), skipped = skipped + ?6, place = coalesce(?7, place)
WHERE workflow = ?1 AND definition = ?2";

const WATCHED_FILES: &str = "
INSERT INTO watched_files (watch, path, content, size, modified, run, at)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
ON CONFLICT (watch, path, content) DO UPDATE SET size = excluded.size,
    modified = excluded.modified, open = 1";

const WATCHED_FILE_CLOSED: &str = "
UPDATE watched_files SET open = 0, error = coalesce(?4, error)
WHERE watch = ?1 AND path = ?2 AND content = ?3";

const DELIVERIES: &str = "
INSERT INTO deliveries (hook, key, content, run, at)
VALUES (?1, ?2, ?3, ?4, ?5)
ON CONFLICT (hook, key) DO NOTHING";

const FOLLOWERS: &str = "
INSERT INTO followers (follower, until)
VALUES (?1, ?2)
ON CONFLICT (follower) DO UPDATE SET until = max(until, excluded.until)";

const CHAINED_RUNS: &str = "
INSERT INTO chained_runs (run, after, depth)
VALUES (?1, ?2, ?3)
ON CONFLICT (run) DO NOTHING";
