//! How rows come back from `SQLite`.
//!
//! A value that no flow writes is damage, and is said to be.

use serde_json::Value;
use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use super::rows::{ApprovalRow, AttemptRow, CacheRow, EventRow, LogRow, RunRow, StepRow};
use crate::content::ContentHash;
use crate::error::ErrorClass;
use crate::ids::{InstancePath, RunId};
use crate::units::Money;

pub(super) type Decoded<T> = Result<T, sqlx::Error>;

fn wrong(column: &str, what: impl std::fmt::Display) -> sqlx::Error {
    sqlx::Error::Decode(format!("column {column}: {what}").into())
}

/// Reads a column through the type that rules its spelling.
pub(super) fn parsed<T>(
    row: &SqliteRow,
    column: &str,
    parse: impl Fn(&str) -> Option<T>,
) -> Decoded<T> {
    let text: &str = row.try_get(column)?;
    parse(text).ok_or_else(|| wrong(column, format!("`{text}` is unknown")))
}

pub(super) fn run_id(row: &SqliteRow, column: &str) -> Decoded<RunId> {
    parsed(row, column, |text| text.parse().ok())
}

pub(super) fn maybe_run_id(row: &SqliteRow, column: &str) -> Decoded<Option<RunId>> {
    let text: Option<&str> = row.try_get(column)?;
    text.map(|_| run_id(row, column)).transpose()
}

pub(super) fn path(row: &SqliteRow, column: &str) -> Decoded<InstancePath> {
    row.try_get(column).map(InstancePath::from_stored)
}

pub(super) fn maybe_path(row: &SqliteRow, column: &str) -> Decoded<Option<InstancePath>> {
    let text: Option<&str> = row.try_get(column)?;
    Ok(text.map(InstancePath::from_stored))
}

pub(super) fn maybe_json(row: &SqliteRow, column: &str) -> Decoded<Option<Value>> {
    let text: Option<&str> = row.try_get(column)?;
    text.map(|text| serde_json::from_str(text).map_err(|error| wrong(column, error))).transpose()
}

pub(super) fn json(row: &SqliteRow, column: &str) -> Decoded<Value> {
    maybe_json(row, column)?.ok_or_else(|| wrong(column, "it is null"))
}

fn maybe_hash(row: &SqliteRow, column: &str) -> Decoded<Option<ContentHash>> {
    let bytes: Option<&[u8]> = row.try_get(column)?;
    bytes
        .map(|bytes| bytes.try_into().map(ContentHash::from_digest))
        .transpose()
        .map_err(|error| wrong(column, error))
}

pub(super) fn hash(row: &SqliteRow, column: &str) -> Decoded<ContentHash> {
    maybe_hash(row, column)?.ok_or_else(|| wrong(column, "it is null"))
}

pub(super) fn class(row: &SqliteRow) -> Decoded<Option<ErrorClass>> {
    match row.try_get::<Option<&str>, _>("error_class")? {
        Some(_) => parsed(row, "error_class", ErrorClass::from_name).map(Some),
        None => Ok(None),
    }
}

pub(super) fn money(row: &SqliteRow, column: &str) -> Decoded<Option<Money>> {
    let micros: Option<i64> = row.try_get(column)?;
    Ok(micros.map(Money::from_micros))
}

pub(super) fn unsigned(row: &SqliteRow, column: &str) -> Decoded<Option<u64>> {
    let number: Option<i64> = row.try_get(column)?;
    Ok(number.and_then(|number| u64::try_from(number).ok()))
}

pub(super) fn run(row: &SqliteRow) -> Decoded<RunRow> {
    Ok(RunRow {
        id: run_id(row, "id")?,
        workflow: row.try_get("workflow")?,
        definition: hash(row, "definition")?,
        status: parsed(row, "status", super::RunStatus::from_name)?,
        inputs: json(row, "inputs")?,
        outputs: maybe_json(row, "outputs")?,
        error: row.try_get("error")?,
        cost: money(row, "cost")?.unwrap_or_default(),
        cost_uncertain: row.try_get("cost_uncertain")?,
        started: row.try_get("started")?,
        ended: row.try_get("ended")?,
    })
}

pub(super) fn step(row: &SqliteRow) -> Decoded<StepRow> {
    Ok(StepRow {
        run: run_id(row, "run")?,
        path: path(row, "path")?,
        parent: maybe_path(row, "parent")?,
        step: row.try_get("step")?,
        ordinal: unsigned(row, "ordinal")?,
        status: parsed(row, "status", super::StepStatus::from_name)?,
        hash: maybe_hash(row, "hash")?,
        output: maybe_json(row, "output")?,
        meta: maybe_json(row, "meta")?,
        error_class: class(row)?,
        error: row.try_get("error")?,
        attempts: row.try_get("attempts")?,
        cached: row.try_get("cached")?,
        started: row.try_get("started")?,
        ended: row.try_get("ended")?,
    })
}

pub(super) fn attempt(row: &SqliteRow) -> Decoded<AttemptRow> {
    Ok(AttemptRow {
        run: run_id(row, "run")?,
        path: path(row, "path")?,
        number: row.try_get("number")?,
        status: parsed(row, "status", super::AttemptStatus::from_name)?,
        provider: row.try_get("provider")?,
        model: row.try_get("model")?,
        error_class: class(row)?,
        error: row.try_get("error")?,
        input_tokens: unsigned(row, "input_tokens")?,
        output_tokens: unsigned(row, "output_tokens")?,
        cost: money(row, "cost")?,
        reserved: money(row, "reserved")?,
        latency_ms: row.try_get("latency_ms")?,
        request_id: row.try_get("request_id")?,
        raw: maybe_json(row, "raw")?,
        started: row.try_get("started")?,
        ended: row.try_get("ended")?,
        batch: row.try_get("batch")?,
        speed: maybe_json(row, "speed")?.and_then(|speed| serde_json::from_value(speed).ok()),
        plugin: maybe_json(row, "plugin")?,
    })
}

pub(super) fn event(row: &SqliteRow) -> Decoded<EventRow> {
    Ok(EventRow {
        run: run_id(row, "run")?,
        seq: unsigned(row, "seq")?.unwrap_or_default(),
        at: row.try_get("at")?,
        path: maybe_path(row, "path")?,
        kind: row.try_get("kind")?,
        body: json(row, "body")?,
    })
}

pub(super) fn approval(row: &SqliteRow) -> Decoded<ApprovalRow> {
    Ok(ApprovalRow {
        run: run_id(row, "run")?,
        path: path(row, "path")?,
        show: json(row, "show")?,
        asked: row.try_get("asked")?,
        answered: row.try_get("answered")?,
        approved: row.try_get("approved")?,
        comment: row.try_get("comment")?,
        output: maybe_json(row, "output")?,
    })
}

pub(super) fn cache(row: &SqliteRow) -> Decoded<CacheRow> {
    Ok(CacheRow {
        hash: hash(row, "hash")?,
        output: json(row, "output")?,
        meta: maybe_json(row, "meta")?,
        run: maybe_run_id(row, "run")?,
        at: row.try_get("at")?,
    })
}

pub(super) fn log(row: &SqliteRow) -> Decoded<LogRow> {
    Ok(LogRow {
        run: run_id(row, "run")?,
        at: row.try_get("at")?,
        path: maybe_path(row, "path")?,
        attempt: row.try_get("attempt")?,
        line: row.try_get("line")?,
    })
}

pub(super) fn count(row: &SqliteRow) -> Decoded<(super::StepStatus, u64)> {
    let status = parsed(row, "status", super::StepStatus::from_name)?;
    Ok((status, unsigned(row, "steps")?.unwrap_or_default()))
}

pub(super) fn flag(row: &SqliteRow) -> Decoded<bool> {
    row.try_get(0)
}

pub(super) fn key(row: &SqliteRow) -> Decoded<i64> {
    row.try_get("key")
}
