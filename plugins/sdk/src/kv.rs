//! A small memory of the plugin's own, from call to call. Needs the grant `kv`.

use std::time::Duration;

use crate::bindings::base::flow::plugin::kv;
use crate::{Error, Result};

/// What is under a key.
pub fn get(key: &str) -> Result<Option<Vec<u8>>> {
    kv::get(key).map_err(Error::of_host)
}

/// Puts something under a key, for this long or for good.
pub fn set(key: &str, value: &[u8], keep: Option<Duration>) -> Result<()> {
    let keep = keep.map(|keep| keep.as_millis() as u64);
    kv::set(key, value, keep).map_err(Error::of_host)
}

/// Forgets what is under a key.
pub fn delete(key: &str) -> Result<()> {
    kv::delete(key).map_err(Error::of_host)
}
