//! Which files no row points to.
//!
//! Rows are read as text, and whatever looks like a hash in them counts as a reference, so
//! that a part of a reference which somebody took out of its object holds its file as well.

use std::collections::HashMap;
use std::time::SystemTime;

use futures::TryStreamExt;
use sqlx::Row;

use super::WHILE;
use crate::content::ContentHash;
use crate::store::queries::json_list;
use crate::store::spill::{HOLDS, SPILLED};
use crate::store::{Store, StoreError};

/// How a hash begins in a text, and how many bytes of it follow.
const PREFIX: &str = "sha256:";
const DIGITS: usize = 64;

/// Every text of a row that can point to a file: in one statement, so in one snapshot. Those
/// of runs in `?1` do not count, and entries of the cache that are older than `?2` neither.
pub(in crate::store) const REFERENCES: &str = "
SELECT output AS text FROM steps
WHERE instr(output, 'sha256:') AND run NOT IN (SELECT value FROM json_each(?1))
UNION ALL SELECT inputs FROM runs
WHERE instr(inputs, 'sha256:') AND key NOT IN (SELECT value FROM json_each(?1))
UNION ALL SELECT outputs FROM runs
WHERE instr(outputs, 'sha256:') AND key NOT IN (SELECT value FROM json_each(?1))
UNION ALL SELECT raw FROM attempts
WHERE instr(raw, 'sha256:') AND run NOT IN (SELECT value FROM json_each(?1))
UNION ALL SELECT show FROM approvals
WHERE instr(show, 'sha256:') AND run NOT IN (SELECT value FROM json_each(?1))
UNION ALL SELECT output FROM approvals
WHERE instr(output, 'sha256:') AND run NOT IN (SELECT value FROM json_each(?1))
UNION ALL SELECT results FROM batches WHERE instr(results, 'sha256:') AND EXISTS (
    SELECT 1 FROM batch_items WHERE batch = nonce AND run NOT IN (SELECT value FROM json_each(?1)))
UNION ALL SELECT output FROM cache WHERE instr(output, 'sha256:') AND at >= ?2";

impl Store {
    /// The time since which everything was taken in that somebody may be about to point to.
    pub(super) fn all_younger_since(&self, now: SystemTime) -> Result<SystemTime, StoreError> {
        let driven = self.driven()?;
        let earliest = driven.into_values().min().unwrap_or(now);
        Ok(earliest.min(now - WHILE))
    }

    /// The files that were last taken in before a time and that no row points to, with their
    /// sizes; rows of `doomed` runs and entries of the cache before `cached` do not count.
    pub(super) async fn unreferenced(
        &self,
        before: SystemTime,
        doomed: &[i64],
        cached: i64,
    ) -> Result<HashMap<ContentHash, u64>, StoreError> {
        let artifacts = self.artifacts().clone();
        let found = tokio::task::spawn_blocking(move || artifacts.older_than(before)).await;
        let mut found = found.expect("listing files does not panic")?;
        if found.is_empty() {
            return Ok(found);
        }
        let query = sqlx::query(REFERENCES).bind(json_list(doomed.iter())).bind(cached);
        let mut rows = query.fetch(self.readers());
        // Values of older versions do not say what they hold.
        let mut unread = Vec::new();
        while let Some(row) = rows.try_next().await.map_err(|error| self.failed(error))? {
            let text: &str = row.try_get(0).map_err(|error| self.failed(error))?;
            let silent = text.contains(SPILLED) && !text.contains(&format!("\"{HOLDS}\":["));
            for hash in hashes(text) {
                found.remove(&hash);
                if silent {
                    unread.push(hash);
                }
            }
        }
        drop(rows);
        for hash in unread {
            // What cannot be read cannot be used, and so holds nothing.
            let bytes = self.artifacts().get(&hash).await.unwrap_or_default();
            for held in hashes(&String::from_utf8_lossy(&bytes)) {
                found.remove(&held);
            }
        }
        Ok(found)
    }
}

/// Whatever looks like a hash in a text.
fn hashes(text: &str) -> impl Iterator<Item = ContentHash> {
    text.match_indices(PREFIX)
        .filter_map(|(at, _)| text.get(at..at + PREFIX.len() + DIGITS)?.parse().ok())
}
