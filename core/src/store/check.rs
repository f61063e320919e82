//! Looking for damage: the database's own checks, and every file against its name.

use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use super::decode::{self, Decoded};
use super::{Store, StoreError};
use crate::content::ContentHash;

/// As much damage is told; one line more or less changes nothing.
const LINES: usize = 20;

/// As many artifacts are listed at a time.
const PAGE: i64 = 1_000;

impl Store {
    /// Checks the database and every artifact that a row points to, byte by byte.
    ///
    /// Fails with [`StoreError::Damaged`], a line for each damage up to a limit. Takes as
    /// long as reading the store. Dropping the future stops it.
    pub async fn integrity_check(&self) -> Result<(), StoreError> {
        let mut damage = self.damaged_pages().await?;
        if damage.is_empty() {
            damage = self.dangling_rows().await?;
        }
        if damage.is_empty() {
            damage = self.damaged_artifacts().await?;
        }
        if damage.is_empty() {
            return Ok(());
        }
        Err(StoreError::Damaged { file: self.file().to_path_buf(), detail: damage.join("\n") })
    }

    async fn damaged_pages(&self) -> Result<Vec<String>, StoreError> {
        let query = sqlx::query("PRAGMA integrity_check(20)");
        let lines = self.all(query, text).await?;
        Ok(lines.into_iter().filter(|line| line != "ok").collect())
    }

    async fn dangling_rows(&self) -> Result<Vec<String>, StoreError> {
        let query = sqlx::query(
            "SELECT \"table\" || ' points to a row that is not in ' || parent \
             FROM pragma_foreign_key_check LIMIT 20",
        );
        self.all(query, text).await
    }

    async fn damaged_artifacts(&self) -> Result<Vec<String>, StoreError> {
        let mut damage = Vec::new();
        let mut last = String::new();
        loop {
            let sql = "SELECT hash FROM artifacts WHERE hash > unhex(?) ORDER BY hash LIMIT ?";
            let query = sqlx::query(sql).bind(last).bind(PAGE);
            let hashes: Vec<ContentHash> = self.all(query, |row| decode::hash(row, "hash")).await?;
            let Some(end) = hashes.last() else {
                return Ok(damage);
            };
            last = end.hex();
            for hash in &hashes {
                if let Err(error) = self.artifacts().verify(hash).await {
                    damage.push(error.to_string());
                }
                if damage.len() >= LINES {
                    return Ok(damage);
                }
            }
        }
    }
}

fn text(row: &SqliteRow) -> Decoded<String> {
    row.try_get(0)
}
