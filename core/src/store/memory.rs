//! What plugins remember.

use std::sync::Arc;

use async_trait::async_trait;
use sqlx::Row as _;

use super::Store;
use super::encode::Encoded;
use crate::error::Failure;
use crate::plugin::{PluginMemories, PluginMemory};

const GET: &str = "SELECT value FROM plugin_memory WHERE plugin = ? AND key = ? \
AND coalesce(expires, ?) > ?";

/// What is left where one key is put anew: its old value does not count.
const SIZE: &str = "SELECT coalesce(sum(length(CAST(key AS BLOB)) + length(value)), 0) AS size \
FROM plugin_memory WHERE plugin = ? AND key <> ?";

/// Whether a key has this value.
const KEPT: &str = "SELECT value = ? AS kept FROM plugin_memory WHERE plugin = ? AND key = ?";

/// The memory of one plugin.
struct OfPlugin {
    store: Store,
    plugin: String,
}

impl PluginMemories for Store {
    fn of(&self, plugin: &str) -> Arc<dyn PluginMemory> {
        Arc::new(OfPlugin { store: self.clone(), plugin: plugin.to_owned() })
    }
}

#[async_trait]
impl PluginMemory for OfPlugin {
    async fn get(&self, key: &str, now: i64) -> Result<Option<Vec<u8>>, Failure> {
        let query = sqlx::query(GET).bind(&self.plugin).bind(key).bind(i64::MAX).bind(now);
        Ok(self.store.one(query, |row| row.try_get("value")).await?)
    }

    async fn set(
        &self,
        key: &str,
        value: Vec<u8>,
        expires: Option<i64>,
        most: u64,
        now: i64,
    ) -> Result<bool, Failure> {
        let size = (key.len() + value.len()) as u64;
        let fits = async || {
            let query = sqlx::query(SIZE).bind(&self.plugin).bind(key);
            let others: Option<i64> = self.store.one(query, |row| row.try_get("size")).await?;
            let others = u64::try_from(others.unwrap_or_default()).unwrap_or_default();
            Ok::<_, Failure>(others.saturating_add(size) <= most)
        };
        if !fits().await? {
            return Ok(false);
        }
        // Another call may fill what is left at the same time: the statement decides.
        let row = Encoded::remembered(&self.plugin, key, value.clone(), expires, most, now);
        self.store.write(row).await?;
        let query = sqlx::query(KEPT).bind(value).bind(&self.plugin).bind(key);
        let kept: Option<bool> = self.store.one(query, |row| row.try_get("kept")).await?;
        // One that is not there though it fits was put anew by another call since.
        Ok(kept == Some(true) || fits().await?)
    }

    async fn delete(&self, key: &str) -> Result<(), Failure> {
        Ok(self.store.write(Encoded::forgotten(&self.plugin, key)).await?)
    }
}
