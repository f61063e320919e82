//! How rows travel to `SQLite`: as the values of their columns.
//!
//! Encoding is done by whoever commits, not by the writer, so that it uses every core. A
//! JSON column is a text, so that `SQLite` neither parses nor respells it.

use std::collections::BTreeMap;

use rusqlite::types::Value as Column;
use serde_json::{Value, json};

use super::rows::{
    ApprovalRow, AttemptRow, Batch, CacheRow, CostRow, EventRow, LogRow, RunRow, StepRow,
};
use super::server::TokenRow;
use crate::artifact::{ArtifactRef, for_each_artifact};
use crate::batches::{Asker, BatchItem, BatchRecord};
use crate::content::ContentHash;
use crate::error::ErrorClass;
use crate::ids::{InstancePath, RunId};
use crate::units::Money;
use crate::uploads::{Keep, Upload};

/// A group takes no more in once its texts have this size, in bytes.
pub(super) const GROUP: usize = 4 << 20;

/// A statement of the writer. Their order is the order of execution: what is referred to
/// comes before what refers to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Statement {
    Definitions,
    Runs,
    Costs,
    Steps,
    Attempts,
    Events,
    Approvals,
    Cache,
    UsedCache,
    Logs,
    Artifacts,
    RemoteFiles,
    UseRemoteFile,
    KeepRemoteFile,
    ForgetRemoteFile,
    ForgetExpired,
    TakeUnneeded,
    RequestCancel,
    ClearCancel,
    Batches,
    BatchItems,
    BatchSent,
    BatchRead,
    BatchHanded,
    BatchForgotten,
    ForgetMemory,
    Remember,
    Schedules,
    ScheduleGone,
    ScheduleTold,
    ScheduleMoved,
    WatchedFiles,
    WatchedFileClosed,
    Deliveries,
    ForgetDeliveries,
    Followers,
    ChainedRuns,
    Starts,
    ForgetStart,
    Tokens,
    ForgetToken,
}

/// Rows to write, by what is done with them.
#[derive(Debug, Default)]
pub(super) struct Encoded {
    pub(super) rows: BTreeMap<Statement, Vec<Row>>,
    size: usize,
}

impl Encoded {
    /// Encodes a batch.
    pub(super) fn batch(batch: &Batch) -> Self {
        let mut encoded = Self::default();
        for row in &batch.runs {
            encoded.push(Statement::Runs, run(row));
            encoded.artifacts(row.started, Some(&row.inputs));
            encoded.artifacts(row.started, row.outputs.as_ref());
        }
        for row in &batch.costs {
            encoded.push(Statement::Costs, cost(row));
        }
        for row in &batch.steps {
            encoded.push(Statement::Steps, step(row));
            let at = row.ended.or(row.started).unwrap_or_default();
            encoded.artifacts(at, row.output.as_ref());
        }
        for row in &batch.attempts {
            encoded.push(Statement::Attempts, attempt(row));
            encoded.artifacts(row.started, row.raw.as_ref());
        }
        for row in &batch.events {
            encoded.push(Statement::Events, event(row));
        }
        for row in &batch.approvals {
            encoded.push(Statement::Approvals, approval(row));
        }
        for row in &batch.cache {
            encoded.push(Statement::Cache, cache(row));
        }
        for row in &batch.logs {
            encoded.push(Statement::Logs, log(row));
        }
        encoded
    }

    /// Encodes a definition.
    pub(super) fn definition(hash: &ContentHash, name: &str, bundle: &Value) -> Self {
        let mut encoded = Self::default();
        let row = Row::new().hash(Some(hash)).text(name).json(Some(bundle));
        encoded.push(Statement::Definitions, row);
        encoded
    }

    /// Encodes a change of a run's wish to be cancelled.
    pub(super) fn cancel(run: &RunId, wanted: bool) -> Self {
        let mut encoded = Self::default();
        let statement = if wanted { Statement::RequestCancel } else { Statement::ClearCancel };
        encoded.push(statement, Row::new().text(run.as_str()));
        encoded
    }

    /// Encodes that an entry of the cache was of use.
    pub(super) fn used_cache(hash: &ContentHash, at: i64) -> Self {
        let mut encoded = Self::default();
        encoded.push(Statement::UsedCache, Row::new().hash(Some(hash)).int(at));
        encoded
    }

    /// Encodes a file that was uploaded, and that a run uses it.
    pub(super) fn upload(run: &RunId, upload: &Upload) -> Self {
        let mut encoded = Self::used_upload(run, upload, upload.keep);
        let row = Row::new()
            .hash(Some(&upload.key.account))
            .hash(Some(&upload.key.content))
            .text(&upload.provider)
            .text(&upload.id)
            .text(&upload.uri)
            .text(&upload.name)
            .text(&upload.media_type)
            .unsigned(Some(upload.size))
            .text(upload.state.as_str())
            .text(upload.keep.as_str())
            .int(upload.uploaded)
            .maybe_int(upload.expires);
        encoded.push(Statement::RemoteFiles, row);
        encoded
    }

    /// Encodes that a run uses a file that was uploaded, and how long it wants it kept.
    pub(super) fn used_upload(run: &RunId, upload: &Upload, keep: Keep) -> Self {
        let mut encoded = Self::default();
        let row = || Row::new().hash(Some(&upload.key.account)).text(&upload.id);
        encoded.push(Statement::UseRemoteFile, row().text(run.as_str()));
        if keep == Keep::Expiry {
            encoded.push(Statement::KeepRemoteFile, row());
        }
        encoded
    }

    /// Encodes that a file is at a service no more.
    pub(super) fn forgotten_upload(account: &ContentHash, id: &str) -> Self {
        let mut encoded = Self::default();
        encoded.push(Statement::ForgetRemoteFile, Row::new().hash(Some(account)).text(id));
        encoded
    }

    /// Encodes that what expired is forgotten, and that what no run needs is taken out.
    pub(super) fn unneeded_uploads(account: &ContentHash, now: i64) -> Self {
        let mut encoded = Self::default();
        encoded.push(Statement::ForgetExpired, Row::new().int(now));
        encoded.push(Statement::TakeUnneeded, Row::new().hash(Some(account)));
        encoded
    }

    /// Encodes a batch of a service that is about to be sent.
    pub(super) fn batch_begun(batch: &BatchRecord, items: &[BatchItem]) -> Self {
        let mut encoded = Self::default();
        let row = Row::new()
            .text(&batch.nonce)
            .text(&batch.provider)
            .text(&batch.model)
            .unsigned(Some(batch.items))
            .int(batch.created);
        encoded.push(Statement::Batches, row);
        for item in items {
            let row = Row::new()
                .text(item.asker.run.as_str())
                .text(item.asker.path.as_str())
                .hash(Some(&item.hash))
                .text(&batch.nonce)
                .int(item.number.into());
            encoded.push(Statement::BatchItems, row);
        }
        encoded
    }

    /// Encodes the id by which a service knows a batch.
    pub(super) fn batch_sent(nonce: &str, remote: &str) -> Self {
        let mut encoded = Self::default();
        encoded.push(Statement::BatchSent, Row::new().text(nonce).text(remote));
        encoded
    }

    /// Encodes where the answers of a batch are.
    pub(super) fn batch_read(nonce: &str, results: &ArtifactRef) -> Self {
        let mut encoded = Self::default();
        let value = results.to_value();
        encoded.push(Statement::BatchRead, Row::new().text(nonce).json(Some(&value)));
        encoded
    }

    /// Encodes that an answer was handed to an attempt.
    pub(super) fn batch_handed(nonce: &str, asker: &Asker, hash: &ContentHash) -> Self {
        let mut encoded = Self::default();
        let row = Row::new()
            .text(nonce)
            .text(asker.run.as_str())
            .text(asker.path.as_str())
            .hash(Some(hash))
            .int(asker.attempt.into());
        encoded.push(Statement::BatchHanded, row);
        encoded
    }

    /// Encodes what a plugin remembers from now on, if all of it is at most `most` bytes then;
    /// what has expired by now is forgotten.
    pub(super) fn remembered(
        plugin: &str,
        key: &str,
        value: Vec<u8>,
        expires: Option<i64>,
        most: u64,
        now: i64,
    ) -> Self {
        let mut encoded = Self::default();
        let expired = Row::new().text(plugin).text("").int(now);
        encoded.push(Statement::ForgetMemory, expired);
        let most = i64::try_from(most).unwrap_or(i64::MAX);
        let row = Row::new().text(plugin).text(key).bytes(value).maybe_int(expires).int(most);
        encoded.push(Statement::Remember, row);
        encoded
    }

    /// Encodes what a plugin does not remember any more.
    pub(super) fn forgotten(plugin: &str, key: &str) -> Self {
        let mut encoded = Self::default();
        encoded.push(Statement::ForgetMemory, Row::new().text(plugin).text(key).int(i64::MIN));
        encoded
    }

    /// Encodes that a batch is to be forgotten, with all that is in it.
    pub(super) fn batch_forgotten(nonce: &str) -> Self {
        let mut encoded = Self::default();
        encoded.push(Statement::BatchForgotten, Row::new().text(nonce));
        encoded
    }

    /// Encodes that a run is a server's, and why.
    pub(super) fn start(run: &RunId, cause: Option<&Value>, at: i64) -> Self {
        let mut encoded = Self::default();
        encoded.push(Statement::Starts, Row::new().text(run.as_str()).json(cause).int(at));
        encoded
    }

    /// Encodes that a run is no server's.
    pub(super) fn no_start(run: &RunId) -> Self {
        let mut encoded = Self::default();
        encoded.push(Statement::ForgetStart, Row::new().text(run.as_str()));
        encoded
    }

    /// Encodes a token.
    pub(super) fn token(token: &TokenRow) -> Self {
        let mut encoded = Self::default();
        let row = Row::new()
            .text(&token.name)
            .hash(Some(&token.hash))
            .text(&token.scope)
            .int(token.created)
            .maybe_int(token.expires);
        encoded.push(Statement::Tokens, row);
        encoded
    }

    /// Encodes that there is no token of a name.
    pub(super) fn no_token(name: &str) -> Self {
        let mut encoded = Self::default();
        encoded.push(Statement::ForgetToken, Row::new().text(name));
        encoded
    }

    /// The size of its texts, in bytes.
    pub(super) fn size(&self) -> usize {
        self.size
    }

    /// Adds the rows of another, which stay behind those that are here.
    pub(super) fn append(&mut self, other: &Self) {
        self.size += other.size;
        for (statement, rows) in &other.rows {
            self.rows.entry(*statement).or_default().extend_from_slice(rows);
        }
    }

    pub(super) fn push(&mut self, statement: Statement, row: Row) {
        self.size += row.size();
        self.rows.entry(statement).or_default().push(row);
    }

    fn artifacts(&mut self, at: i64, value: Option<&Value>) {
        let Some(value) = value else { return };
        for_each_artifact(value, &mut |artifact: ArtifactRef| {
            let row = Row::new()
                .hash(Some(&artifact.hash))
                .unsigned(Some(artifact.size))
                .text(&artifact.media_type)
                .int(at);
            self.push(Statement::Artifacts, row);
        });
    }
}

fn run(row: &RunRow) -> Row {
    Row::new()
        .text(row.id.as_str())
        .text(&row.workflow)
        .hash(Some(&row.definition))
        .text(row.status.as_str())
        .json(Some(&row.inputs))
        .json(row.outputs.as_ref())
        .maybe_text(row.error.as_deref())
        .money(Some(row.cost))
        .flag(Some(row.cost_uncertain))
        .int(row.started)
        .maybe_int(row.ended)
}

fn cost(row: &CostRow) -> Row {
    Row::new().text(row.run.as_str()).money(Some(row.cost)).flag(Some(row.uncertain))
}

fn step(row: &StepRow) -> Row {
    Row::new()
        .text(row.run.as_str())
        .text(row.path.as_str())
        .maybe_text(row.parent.as_ref().map(InstancePath::as_str))
        .text(&row.step)
        .int(row.ordinal.map_or(-1, signed))
        .text(row.status.as_str())
        .hash(row.hash.as_ref())
        .json(row.output.as_ref())
        .json(row.meta.as_ref())
        .maybe_text(row.error_class.map(ErrorClass::as_str))
        .maybe_text(row.error.as_deref())
        .int(row.attempts.into())
        .flag(Some(row.cached))
        .maybe_int(row.started)
        .maybe_int(row.ended)
}

fn attempt(row: &AttemptRow) -> Row {
    Row::new()
        .text(row.run.as_str())
        .text(row.path.as_str())
        .int(row.number.into())
        .text(row.status.as_str())
        .maybe_text(row.provider.as_deref())
        .maybe_text(row.model.as_deref())
        .maybe_text(row.error_class.map(ErrorClass::as_str))
        .maybe_text(row.error.as_deref())
        .unsigned(row.input_tokens)
        .unsigned(row.output_tokens)
        .money(row.cost)
        .money(row.reserved)
        .maybe_int(row.latency_ms)
        .maybe_text(row.request_id.as_deref())
        .json(row.raw.as_ref())
        .int(row.started)
        .maybe_int(row.ended)
        .flag(Some(row.batch))
        .json(row.speed.as_ref().map(|speed| json!(speed)).as_ref())
        .json(row.plugin.as_ref())
}

fn event(row: &EventRow) -> Row {
    Row::new()
        .text(row.run.as_str())
        .unsigned(Some(row.seq))
        .int(row.at)
        .maybe_text(row.path.as_ref().map(InstancePath::as_str))
        .text(&row.kind)
        .json(Some(&row.body))
}

fn approval(row: &ApprovalRow) -> Row {
    Row::new()
        .text(row.run.as_str())
        .text(row.path.as_str())
        .json(Some(&row.show))
        .int(row.asked)
        .maybe_int(row.answered)
        .flag(row.approved)
        .maybe_text(row.comment.as_deref())
        .json(row.output.as_ref())
}

fn cache(row: &CacheRow) -> Row {
    Row::new()
        .hash(Some(&row.hash))
        .json(Some(&row.output))
        .json(row.meta.as_ref())
        .maybe_text(row.run.as_ref().map(RunId::as_str))
        .int(row.at)
}

fn log(row: &LogRow) -> Row {
    Row::new()
        .text(row.run.as_str())
        .int(row.at)
        .maybe_text(row.path.as_ref().map(InstancePath::as_str))
        .maybe_int(row.attempt.map(i64::from))
        .text(&row.line)
}

/// `SQLite` has no unsigned integers; no count here comes near the end of the signed ones.
pub(super) fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// The columns of a row, in the order of its statement's parameters.
#[derive(Clone, Debug)]
pub(super) struct Row(Vec<Column>);

impl Row {
    pub(super) fn new() -> Self {
        Self(Vec::with_capacity(18))
    }

    /// The columns.
    pub(super) fn columns(&self) -> &[Column] {
        &self.0
    }

    fn size(&self) -> usize {
        let length = |column: &Column| match column {
            Column::Text(text) => text.len(),
            Column::Blob(bytes) => bytes.len(),
            Column::Null | Column::Integer(_) | Column::Real(_) => 0,
        };
        self.0.iter().map(length).sum()
    }

    fn push(mut self, column: impl Into<Column>) -> Self {
        self.0.push(column.into());
        self
    }

    pub(super) fn text(self, text: &str) -> Self {
        self.push(text.to_owned())
    }

    fn bytes(self, bytes: Vec<u8>) -> Self {
        self.push(bytes)
    }

    pub(super) fn maybe_text(self, text: Option<&str>) -> Self {
        self.push(text.map(str::to_owned))
    }

    pub(super) fn int(self, number: i64) -> Self {
        self.push(number)
    }

    fn maybe_int(self, number: Option<i64>) -> Self {
        self.push(number)
    }

    pub(super) fn unsigned(self, number: Option<u64>) -> Self {
        self.push(number.map(signed))
    }

    pub(super) fn flag(self, flag: Option<bool>) -> Self {
        self.push(flag.map(i64::from))
    }

    fn money(self, money: Option<Money>) -> Self {
        self.push(money.map(Money::micros))
    }

    pub(super) fn hash(self, hash: Option<&ContentHash>) -> Self {
        self.push(hash.map(|hash| hash.bytes().to_vec()))
    }

    fn json(self, value: Option<&Value>) -> Self {
        self.push(value.map(Value::to_string))
    }
}
