//! How much memory a model takes, and how much room it is therefore given.
//!
//! An estimate, made before anything is loaded: the files, two bytes for each number that a
//! token leaves in the context, and what computing needs. It is meant to be a little too high;
//! what it says no to, a smaller context may still allow.

use flow_core::error::{ErrorClass, Failure};
use flow_core::units::Size;

use crate::header::Header;
use crate::model::LocalModel;
use crate::protocol::Load;
use crate::settings::Room;

/// The tokens of a context where nobody says how many: a page as an image, and its answer,
/// several times over.
const CONTEXT: u32 = 8192;

/// The fewest tokens that a context shrinks to when there is little memory.
const LEAST_CONTEXT: u32 = 2048;

/// Requests that are answered together where nobody says how many.
const TOGETHER: u32 = 8;

/// Tokens that are computed in one go.
const AT_ONCE: u64 = 512;

/// What computing takes beside what depends on the model, and the most for looking at images.
const ANYWAY: u64 = 64 << 20;
const LOOKING: u64 = 512 << 20;

/// What this machine has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Machine {
    /// Memory, in bytes.
    pub memory: u64,
    /// How much of it models may take together.
    pub usable: u64,
    /// Its cores.
    pub cores: u32,
}

impl Machine {
    /// What this machine has now: a tenth of its memory is left to others, and what is taken.
    pub fn here() -> Self {
        let (total, free) = memory();
        let physical = sysinfo::System::physical_core_count().unwrap_or(1);
        let allowed = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Self {
            memory: total,
            usable: free.saturating_sub(total / 10),
            cores: u32::try_from(physical.min(allowed)).unwrap_or(1),
        }
    }

    /// Threads that compute where nobody says how many: one core is left to the rest.
    pub(crate) fn threads(&self) -> u32 {
        self.cores.saturating_sub(1).max(1)
    }
}

/// The memory of this machine, or of what this process may have of it, and what is free.
fn memory() -> (u64, u64) {
    let Ok(mut system) = sysinfo::System::new() else { return (0, 0) };
    system.refresh_memory();
    let (total, free) = (system.total_memory(), system.available_memory());
    match system.cgroup_limits() {
        Some(limits) => (total.min(limits.total_memory), free.min(limits.free_memory)),
        None => (total, free),
    }
}

/// What a model takes, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Need {
    weights: u64,
    projector: u64,
    /// What is remembered of tokens.
    context: u64,
    work: u64,
}

impl Need {
    pub(crate) fn total(&self) -> u64 {
        let Self { weights, projector, context, work } = self;
        [*projector, *context, *work].into_iter().fold(*weights, u64::saturating_add)
    }
}

/// The room that a model is given, and what that takes. A model that can never fit is a
/// failure with the numbers.
pub(crate) fn planned(
    model: &LocalModel,
    header: &Header,
    room: &Room,
    machine: &Machine,
) -> Result<(Load, Need), Failure> {
    let said = room.context.or(model.context);
    let trained = header.trained.max(16);
    let mut context = said.unwrap_or(trained.min(CONTEXT));
    let together = room.parallel.unwrap_or(TOGETHER);
    let need = |cells: u64| {
        let computed = header.vocabulary.saturating_add(header.embedding.saturating_mul(16));
        let work = AT_ONCE.saturating_mul(4).saturating_mul(computed);
        Need {
            weights: header.size,
            projector: header.projector,
            context: cells.saturating_mul(header.bytes_per_token),
            work: work.saturating_add(ANYWAY).saturating_add(header.projector.min(LOOKING)),
        }
    };
    let fits = |cells: u64| need(cells).total() <= machine.usable;
    while room.context.is_none() && !fits(u64::from(context)) && context / 2 >= LEAST_CONTEXT {
        context /= 2;
    }
    let cells = |times: u32| u64::from(context) * u64::from(times);
    if !fits(cells(1)) {
        return Err(never_fits(model, need(cells(1)), context, machine));
    }
    // A fourth of the memory may go into answering several at once, unless that was asked for.
    let worth = |times: u32| {
        let modest = need(cells(times)).context <= machine.usable / 4;
        times == 1 || (fits(cells(times)) && (modest || room.parallel.is_some()))
    };
    let mut times = together;
    while !worth(times) {
        times /= 2;
    }
    let load = Load {
        name: model.name.clone(),
        weights: model.weights.clone(),
        projector: model.projector.clone(),
        context,
        cells: u32::try_from(cells(times)).unwrap_or(u32::MAX),
        sequences: together,
        threads: room.threads.unwrap_or(machine.threads()),
        gpu_layers: room.gpu_layers,
        chat_template: room.chat_template.clone(),
    };
    Ok((load, need(cells(times))))
}

fn never_fits(model: &LocalModel, need: Need, context: u32, machine: &Machine) -> Failure {
    let parts = [
        (need.weights, "weights".to_owned()),
        (need.projector, "projector".to_owned()),
        (need.context, format!("a context of {context} tokens")),
        (need.work, "computing".to_owned()),
    ];
    let parts = parts.into_iter().filter(|(bytes, _)| *bytes > 0);
    let parts: Vec<_> = parts.map(|(bytes, what)| format!("{what} {}", Size(bytes))).collect();
    let message = format!(
        "model `{}` takes about {} of memory ({}), and {} of {} can be used",
        model.name,
        Size(need.total()),
        parts.join(", "),
        Size(machine.usable),
        Size(machine.memory),
    );
    Failure::new(ErrorClass::Limit, message).with_hint(
        "take a smaller model or quantisation, a smaller `context` in its `options`, or raise \
         the provider's `memory`",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Qwen2.5-VL-7B in four bits, as its file says.
    fn large() -> (LocalModel, Header) {
        let model = LocalModel {
            name: "qwen2.5-vl-7b".into(),
            weights: "weights.gguf".into(),
            projector: Some("mmproj.gguf".into()),
            context: None,
        };
        let header = Header {
            size: 4_700_000_000,
            projector: 1_350_000_000,
            trained: 128_000,
            bytes_per_token: 57_344,
            embedding: 3584,
            vocabulary: 152_064,
        };
        (model, header)
    }

    fn machine(usable: u64) -> Machine {
        Machine { memory: 16_000_000_000, usable, cores: 8 }
    }

    fn plan(usable: u64, room: &Room) -> Result<(Load, Need), Failure> {
        let (model, header) = large();
        planned(&model, &header, room, &machine(usable))
    }

    #[test]
    fn with_much_memory_eight_are_answered_together() {
        let (load, need) = plan(64_000_000_000, &Room::default()).unwrap();
        assert_eq!((load.context, load.cells, load.sequences), (8192, 8 * 8192, 8));
        assert_eq!(load.threads, 7);
        assert_eq!(need.context, 8 * 8192 * 57_344);
    }

    #[test]
    fn with_less_fewer_and_then_a_smaller_context() {
        let cells =
            |usable| plan(usable, &Room::default()).map(|(load, _)| (load.context, load.cells));
        assert_eq!(cells(12_000_000_000).unwrap(), (8192, 4 * 8192));
        assert_eq!(cells(8_000_000_000).unwrap(), (8192, 8192));
        assert_eq!(cells(7_400_000_000).unwrap(), (4096, 4096));
    }

    #[test]
    fn what_was_asked_for_is_not_made_smaller_but_refused_with_the_numbers() {
        let room = Room { context: Some(32_768), ..Room::default() };
        let failure = plan(7_500_000_000, &room).unwrap_err();
        assert_eq!(failure.class, ErrorClass::Limit);
        assert_eq!(
            failure.message,
            "model `qwen2.5-vl-7b` takes about 9.0 GB of memory (weights 4.7 GB, projector 1.4 GB, \
             a context of 32768 tokens 1.9 GB, computing 1.0 GB), and 7.5 GB of 16 GB can be used"
        );
        assert!(failure.hint.unwrap().contains("a smaller `context`"));
    }

    #[test]
    fn a_core_is_left_to_others_where_there_are_several() {
        let threads = |cores| Machine { cores, ..machine(0) }.threads();
        assert_eq!([0, 1, 2, 8].map(threads), [1, 1, 1, 7]);
    }

    #[test]
    fn this_machine_has_memory_and_cores() {
        let here = Machine::here();
        assert!(here.memory > 100 << 20 && here.usable < here.memory && here.cores > 0, "{here:?}");
    }
}
