//! WASI, for guests whose language's library wants it: there, and empty.
//!
//! No folder is opened but those that were granted, which are read; no variable is set, no socket
//! may be made. What is written to stdout and stderr is kept up to a bound, for tracebacks. Clocks
//! and randomness are real.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamResult};
use wasmtime_wasi::{FsPerms, WasiCtx, WasiCtxBuilder, WasiCtxView, WasiView};

use super::Guest;
use crate::policy::Granted;
use crate::policy::limits::fixed;

/// The most random bytes at once.
const RANDOM: u64 = 64 << 10;

/// What a guest writes to stdout and stderr.
#[derive(Clone, Default)]
pub(crate) struct Captured(Arc<Mutex<Vec<u8>>>);

impl Captured {
    fn bytes(&self) -> MutexGuard<'_, Vec<u8>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What was written, up to the bound; the rest is forgotten.
    fn write(&self, bytes: &[u8]) {
        let mut kept = self.bytes();
        let room = fixed::STDERR.saturating_sub(kept.len());
        kept.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }

    /// All of it as text.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes()).into_owned()
    }
}

impl IsTerminal for Captured {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for Captured {
    fn async_stream(&self) -> Box<dyn tokio::io::AsyncWrite + Send + Sync> {
        // WASI 0.2 asks for the other one.
        Box::new(tokio::io::sink())
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }
}

impl OutputStream for Captured {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        Self::write(self, &bytes);
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(fixed::STDERR)
    }
}

#[async_trait::async_trait]
impl Pollable for Captured {
    async fn ready(&mut self) {}
}

fn context(captured: &Captured, granted: &Granted) -> WasiCtx {
    // All that a builder does not name is closed.
    let mut builder = WasiCtxBuilder::new();
    for rule in &granted.may.dirs {
        // The check saw that it is there; one that has gone since is not found by the guest.
        if let Ok(place) = rule.place(&granted.folder) {
            let _ = builder.preopened_dir(place, format!("/{}", rule.path), FsPerms::ReadOnly);
        }
    }
    builder
        .stdout(captured.clone())
        .stderr(captured.clone())
        .allow_tcp(false)
        .allow_udp(false)
        .allow_ip_name_lookup(false)
        .max_random_size(RANDOM)
        .build()
}

impl WasiView for Guest {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        let (captured, granted) = (&self.captured, &self.granted);
        let ctx = self.wasi.get_or_insert_with(|| context(captured, granted));
        WasiCtxView { ctx, table: &mut self.table }
    }
}
