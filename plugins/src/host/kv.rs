//! A plugin's small memory, which outlives its calls.

use super::{Guest, error, told};
use crate::bindings::kv;
use crate::bindings::types::Error;
use crate::policy::{Denial, KvRule};

/// The most bytes of a key.
const KEY: usize = 256;

impl Guest {
    /// The rule and the memory, where both are there.
    fn remembers(
        &mut self,
    ) -> Result<(KvRule, std::sync::Arc<dyn flow_core::plugin::PluginMemory>), Error> {
        let Some(rule) = self.granted.may.kv else {
            let denial = Denial::kv(&self.granted);
            return Err(self.deny(denial));
        };
        match &self.memory {
            Some(memory) => Ok((rule, std::sync::Arc::clone(memory))),
            None => Err(error("unsupported", "nothing is remembered here")),
        }
    }

    fn now(&self) -> i64 {
        (self.services.now_ms)()
    }
}

impl kv::Host for Guest {
    async fn get(&mut self, key: String) -> wasmtime::Result<Result<Option<Vec<u8>>, Error>> {
        self.count()?;
        let (_, memory) = match self.remembers() {
            Ok(found) => found,
            Err(error) => return Ok(Err(error)),
        };
        Ok(memory.get(&key, self.now()).await.map_err(|failure| told(&failure)))
    }

    async fn set(
        &mut self,
        key: String,
        value: Vec<u8>,
        ttl_ms: Option<u64>,
    ) -> wasmtime::Result<Result<(), Error>> {
        self.count()?;
        let (rule, memory) = match self.remembers() {
            Ok(found) => found,
            Err(error) => return Ok(Err(error)),
        };
        if key.is_empty() || key.len() > KEY {
            return Ok(Err(error("invalid-input", format!("a key has 1 to {KEY} bytes"))));
        }
        let now = self.now();
        let expires = ttl_ms.map(|ttl| now.saturating_add(i64::try_from(ttl).unwrap_or(i64::MAX)));
        let kept = memory.set(&key, value, expires, rule.max_bytes, now).await;
        Ok(match kept {
            Ok(true) => Ok(()),
            Ok(false) => {
                let message = format!("more than {} bytes would be remembered", rule.max_bytes);
                Err(error("too-large", message))
            }
            Err(failure) => Err(told(&failure)),
        })
    }

    async fn delete(&mut self, key: String) -> wasmtime::Result<Result<(), Error>> {
        self.count()?;
        let (_, memory) = match self.remembers() {
            Ok(found) => found,
            Err(error) => return Ok(Err(error)),
        };
        Ok(memory.delete(&key).await.map_err(|failure| told(&failure)))
    }
}
