//! Keeps count of what a guest takes of the host, and says no.
//!
//! wasmtime asks here before a memory or a table grows. What it reports afterwards is only that
//! the guest stopped (an allocation that fails ends in the same trap as a panic), so the no is
//! remembered here and names the fault.

use wasmtime::ResourceLimiter;

use crate::fault::Ceiling;
use crate::policy::limits::fixed;

/// What a guest has taken.
#[derive(Debug)]
pub(crate) struct Limiter {
    memory: u64,
    most_memory: u64,
    elements: usize,
    hit: Option<Ceiling>,
}

impl Limiter {
    pub(crate) fn new(most_memory: u64) -> Self {
        Self { memory: 0, most_memory, elements: 0, hit: None }
    }

    /// Bytes of all memories together. They never shrink, so that this is the most there was.
    pub(crate) fn memory(&self) -> u64 {
        self.memory
    }

    /// The first limit that was in the way.
    pub(crate) fn hit(&self) -> Option<&Ceiling> {
        self.hit.as_ref()
    }
}

impl ResourceLimiter for Limiter {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let more = (desired.saturating_sub(current)) as u64;
        let wanted = self.memory.saturating_add(more);
        if wanted > self.most_memory {
            self.hit.get_or_insert(Ceiling::Memory { limit: self.most_memory });
            return Ok(false);
        }
        self.memory = wanted;
        Ok(true)
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let wanted = self.elements.saturating_add(desired.saturating_sub(current));
        if wanted > fixed::TABLE_ELEMENTS {
            self.hit.get_or_insert(Ceiling::Table { limit: fixed::TABLE_ELEMENTS });
            return Ok(false);
        }
        self.elements = wanted;
        Ok(true)
    }

    fn instances(&self) -> usize {
        fixed::INSTANCES
    }

    fn tables(&self) -> usize {
        fixed::TABLES
    }

    fn memories(&self) -> usize {
        fixed::MEMORIES
    }
}
