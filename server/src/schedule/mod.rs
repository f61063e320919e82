//! Schedules: workflows that start at times.
//!
//! ```text
//!   Folder ── triggers ──▶ Spec ──┐
//!   store ─── how far ───▶ row ───┼─▶ decide (pure) ──▶ Next ──▶ Runs, and the row moves on
//!   clock ────────────────────────┘
//! ```
//!
//! A tick is run once, whatever dies and when: the id of its run follows from the file, the
//! schedule and the tick. A run is started first and the schedule moved on then, so that who
//! comes after a crash asks for the same run, and hears that it is there.

mod book;
mod decide;
mod keeper;
mod ticks;
mod wall;
#[cfg(test)]
mod year;

use std::time::Duration;

use flow_core::content::ContentHash;
use flow_core::ids::RunId;
use flow_core::language::{Cron, MissedTicks, Overlap, Trigger, Workflow};
use jiff::Timestamp;
use serde_json::{Value, json};

pub use book::{Known, known};
pub use decide::{Next, decide};
pub use keeper::{Keeper, inputs_of, remember};
pub use ticks::{Ticks, TicksError};

/// A schedule as its file says it.
#[derive(Clone, Debug)]
pub struct Spec {
    /// The file of its workflow, without the ending.
    pub workflow: String,
    /// Its place among the triggers, from 0.
    pub place: u32,
    /// What makes it this schedule: when it ticks and what it gives. How it treats ticks that
    /// were missed may change without making it another.
    pub definition: ContentHash,
    /// When, for people.
    pub text: String,
    /// Name of the time zone.
    pub zone: String,
    /// When.
    pub ticks: Ticks,
    /// What happens to ticks that were missed.
    pub catch_up: MissedTicks,
    /// What happens while an earlier run goes on.
    pub overlap: Overlap,
    /// A tick is run up to this much later.
    pub jitter: Duration,
    /// Inputs of the run.
    pub inputs: Value,
}

impl Spec {
    /// The schedules of a workflow, in the order of its file.
    ///
    /// What cannot tick on this machine is an error, and the others are there.
    pub fn all(slug: &str, workflow: &Workflow) -> (Vec<Self>, Vec<TicksError>) {
        let (mut specs, mut errors) = (Vec::<Self>::new(), Vec::new());
        for (place, trigger) in (0..).zip(&workflow.triggers) {
            let Trigger::Schedule { cron, timezone, catch_up, overlap, jitter, inputs } = trigger
            else {
                continue;
            };
            let text = written(cron);
            let zone = timezone.clone().unwrap_or_else(|| "UTC".to_owned());
            let hash = |nth: usize| {
                ContentHash::of_json(&json!([text.as_str(), zone.as_str(), inputs, nth]))
            };
            // Two that say the same are two.
            let known = |hash: &ContentHash| specs.iter().any(|spec| spec.definition == *hash);
            let definition = (0..=specs.len())
                .map(hash)
                .find(|hash| !known(hash))
                .expect("one more than there are");
            match Ticks::new(cron, timezone.as_deref()) {
                Ok(ticks) => specs.push(Self {
                    workflow: slug.to_owned(),
                    place,
                    definition,
                    text,
                    zone,
                    ticks,
                    catch_up: *catch_up,
                    overlap: *overlap,
                    jitter: *jitter,
                    inputs: inputs.clone(),
                }),
                Err(error) => errors.push(error),
            }
        }
        (specs, errors)
    }

    /// The id of a tick's run.
    pub fn run_id(&self, tick: i64) -> RunId {
        let hash = self.hash_of(tick);
        RunId::from_parts(tick.unsigned_abs(), low_bits(&hash))
    }

    /// When a tick is run: up to the jitter later, and always the same for it.
    pub fn fires_at(&self, tick: i64) -> i64 {
        let jitter = self.jitter.as_millis();
        if jitter == 0 {
            return tick;
        }
        // Other digits of the hash than the id has.
        let part = low_bits(&self.hash_of(tick)) >> 16;
        tick.saturating_add((part % jitter) as i64)
    }

    /// The next ticks after a time, at most so many.
    pub fn upcoming(&self, now: i64, count: usize) -> Vec<i64> {
        let ticks = std::iter::successors(self.ticks.next(now), |tick| self.ticks.next(*tick));
        ticks.take(count).collect()
    }

    /// A tick as people of its zone read it.
    pub fn shown(&self, tick: i64) -> String {
        match Timestamp::from_millisecond(tick) {
            Ok(at) => {
                let local = at.to_zoned_datetime(self.ticks.zone().clone());
                format!("{} {}", local.strftime("%a %Y-%m-%d %H:%M:%S %z"), self.zone)
            }
            Err(_) => tick.to_string(),
        }
    }

    /// Its name for people: the file, and its place where the file has several.
    pub fn name(&self, among: usize) -> String {
        match among {
            1 => self.workflow.clone(),
            _ => format!("{}:{}", self.workflow, self.place + 1),
        }
    }

    fn hash_of(&self, tick: i64) -> ContentHash {
        ContentHash::of_json(&json!([self.workflow, self.definition.hex(), tick]))
    }
}

/// A schedule's time as it is written.
fn written(cron: &Cron) -> String {
    match cron {
        Cron::Expression(text) => text.clone(),
        Cron::Every(distance) => {
            let mut rest = distance.as_millis();
            let mut text = String::from("@every ");
            for (unit, size) in [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000)] {
                if rest >= size {
                    text.push_str(&format!("{}{unit}", rest / size));
                    rest %= size;
                }
            }
            if rest > 0 {
                text.push_str(&format!("{rest}ms"));
            }
            text
        }
    }
}

/// 128 bits of a hash.
pub(crate) fn low_bits(hash: &ContentHash) -> u128 {
    u128::from_str_radix(&hash.hex()[..32], 16).expect("32 hexadecimal digits")
}
