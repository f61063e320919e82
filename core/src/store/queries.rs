//! How the store is asked: every list is paged or bounded by what was asked for.
//!
//! Readers see what was committed when their query began, and never wait for the writer.

use sqlx::sqlite::SqliteRow;

use super::decode::Decoded;
use super::{Store, StoreError};

type Query<'q> = sqlx::query::Query<'q, sqlx::Sqlite, sqlx::sqlite::SqliteArguments>;

/// A part of a list, and where it goes on.
#[derive(Clone, Debug)]
pub struct Page<T, C> {
    /// The rows.
    pub rows: Vec<T>,
    /// What to ask the next part with; none at the end.
    pub next: Option<C>,
}

impl Store {
    pub(super) async fn all<T>(
        &self,
        query: Query<'_>,
        read: impl Fn(&SqliteRow) -> Decoded<T>,
    ) -> Result<Vec<T>, StoreError> {
        let rows = self.noted(query).fetch_all(self.readers()).await;
        rows.and_then(|rows| rows.iter().map(read).collect())
            .map_err(|error| StoreError::database(self.file(), error))
    }

    pub(super) async fn one<T>(
        &self,
        query: Query<'_>,
        read: impl Fn(&SqliteRow) -> Decoded<T>,
    ) -> Result<Option<T>, StoreError> {
        let row = self.noted(query).fetch_optional(self.readers()).await;
        row.and_then(|row| row.as_ref().map(read).transpose())
            .map_err(|error| StoreError::database(self.file(), error))
    }

    /// Keeps the text of each query for the test of their plans.
    #[cfg(test)]
    fn noted<'q>(&self, mut query: Query<'q>) -> Query<'q> {
        use sqlx::Execute;
        let arguments = query.take_arguments().expect("arguments that encode");
        let sql = query.sql();
        self.inner.asked.lock().expect("no panic").push(sql.as_str().to_owned());
        sqlx::query_with(sql, arguments.unwrap_or_default())
    }

    #[cfg(not(test))]
    #[expect(clippy::unused_self, reason = "tests keep the query")]
    fn noted<'q>(&self, query: Query<'q>) -> Query<'q> {
        query
    }
}

/// The last row, if the list may go on behind it.
pub(super) fn full<T>(rows: &[T], limit: u32) -> Option<&T> {
    rows.last().filter(|_| rows.len() >= limit as usize)
}

pub(super) fn page<T, C: Copy>(found: Vec<(T, C)>, limit: u32) -> Page<T, C> {
    let next = full(&found, limit).map(|(_, cursor)| *cursor);
    let rows = found.into_iter().map(|(row, _)| row).collect();
    Page { rows, next }
}

pub(super) fn json_list<T: serde::Serialize>(items: impl Iterator<Item = T>) -> String {
    serde_json::to_string(&items.collect::<Vec<_>>()).expect("texts serialize")
}
