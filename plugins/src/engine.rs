//! The one wasmtime engine of a process, and the ticks that let it interrupt a guest.
//!
//! ```text
//! ticker (a thread) ── every 2 ms, while a call is under way ──▶ epoch + 1
//! guest ── sees it at its next loop or call ──▶ gives its place back, or is out of time
//! ```

use std::hash::{DefaultHasher, Hash, Hasher};
use std::num::NonZeroUsize;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use wasmtime::{Config, Engine, OptLevel, PoolingAllocationConfig};

use crate::policy::limits::fixed;

/// How often a guest can be interrupted.
pub(crate) const TICK: Duration = Duration::from_millis(2);

/// Stack of a guest, in bytes. wasmtime's own limit; a deeper recursion is a trap.
const STACK: usize = 512 << 10;

/// Stack that host functions have beside the guest's.
const HOST_STACK: usize = 1 << 20;

/// What the compiler and the runtime must agree on.
fn config() -> Config {
    let mut config = Config::new();
    config
        .epoch_interruption(true)
        .cranelift_opt_level(OptLevel::Speed)
        .max_wasm_stack(STACK)
        .async_stack_size(STACK + HOST_STACK)
        .wasm_backtrace_max_frames(NonZeroUsize::new(20))
        .wasm_component_model(true)
        // A component with two memories makes wasmtime panic where this is off.
        .wasm_multi_memory(true)
        .wasm_simd(true);
    config
}

/// An engine that only compiles. It reserves no memory for guests.
pub(crate) fn compiling() -> wasmtime::Result<Engine> {
    Engine::new(&config())
}

/// An engine that runs guests, with room for so many calls at once.
///
/// Memory of guests is reserved beforehand where the machine allows that, so that a call costs
/// microseconds; compiled code is the same with and without.
pub(crate) fn running(calls: u32) -> wasmtime::Result<Engine> {
    let mut pool = PoolingAllocationConfig::new();
    let instances = calls.saturating_mul(4).max(fixed::INSTANCES as u32 * 2);
    pool.total_component_instances(calls)
        .total_stacks(calls)
        .total_core_instances(instances)
        .total_memories(calls.saturating_mul(2).max(fixed::MEMORIES as u32))
        .total_tables(calls.saturating_mul(4).max(fixed::TABLES as u32))
        .max_core_instances_per_component(fixed::INSTANCES as u32)
        .max_memories_per_component(fixed::MEMORIES as u32)
        .max_memories_per_module(fixed::MEMORIES as u32)
        .max_tables_per_component(fixed::TABLES as u32)
        .max_tables_per_module(fixed::TABLES as u32)
        .table_elements(fixed::TABLE_ELEMENTS)
        .max_component_instance_size(4 << 20)
        .max_core_instance_size(4 << 20)
        .max_unused_warm_slots(calls)
        // Pages that a call touched stay with its slot up to here: clearing them costs less
        // than asking the system for new ones.
        .linear_memory_keep_resident(2 << 20)
        .table_keep_resident(64 << 10);
    let mut pooled = config();
    pooled.allocation_strategy(pool);
    Engine::new(&pooled).or_else(|_| Engine::new(&config()))
}

/// What compiled code depends on besides the plugin, in hexadecimal digits: wasmtime, its
/// settings, this machine's processor.
pub(crate) fn fingerprint(engine: &Engine) -> String {
    let mut hasher = DefaultHasher::new();
    engine.precompile_compatibility_hash().hash(&mut hasher);
    format!("{:016x}", hasher.finish())
}

/// Ticks while somebody is under way.
pub(crate) struct Ticker {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    under_way: usize,
    closed: bool,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ticker {
    /// Starts the thread, which sleeps until the first call.
    pub(crate) fn start(engine: Engine) -> std::io::Result<Self> {
        let shared = Arc::new(Shared { state: Mutex::default(), changed: Condvar::new() });
        let ticking = Arc::clone(&shared);
        let thread = std::thread::Builder::new().name("flow-ticks".into()).spawn(move || {
            let mut state = ticking.state();
            while !state.closed {
                if state.under_way == 0 {
                    let woken = ticking.changed.wait(state);
                    state = woken.unwrap_or_else(PoisonError::into_inner);
                    continue;
                }
                let waited = ticking.changed.wait_timeout(state, TICK);
                state = waited.unwrap_or_else(PoisonError::into_inner).0;
                engine.increment_epoch();
            }
        })?;
        Ok(Self { shared, thread: Some(thread) })
    }

    /// Ticks for as long as what it returns lives.
    pub(crate) fn tick(&self) -> Ticking {
        let mut state = self.shared.state();
        state.under_way += 1;
        if state.under_way == 1 {
            self.shared.changed.notify_one();
        }
        Ticking(Arc::clone(&self.shared))
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.shared.state().closed = true;
        self.shared.changed.notify_one();
        if let Some(thread) = self.thread.take() {
            // It does nothing that could panic.
            let _ = thread.join();
        }
    }
}

/// Says that a call is under way.
pub(crate) struct Ticking(Arc<Shared>);

impl Drop for Ticking {
    fn drop(&mut self) {
        self.0.state().under_way -= 1;
    }
}
