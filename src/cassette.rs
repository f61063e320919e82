//! What `--record` and `--replay` make of a run.
//!
//! Neither asks the step cache: a cassette that lacks what the cache knew could not be replayed
//! elsewhere, and what a cassette answers is not to be taken for what a service did. Where
//! nobody is asked, nobody is waited for between attempts.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use flow_core::engine::Clock;
use flow_providers::{Tape, TapeError};

use crate::cli;
use crate::output;
use crate::report::CommandError;

/// The cassette of a run, if it has one.
pub(crate) struct Cassette {
    tape: Tape,
    folder: Option<PathBuf>,
}

impl Cassette {
    /// The cassette that the command line names.
    pub(crate) fn of(args: cli::Cassette) -> Result<Self, CommandError> {
        let (tape, folder) = match (args.record, args.replay) {
            (Some(folder), _) => (Tape::recording(&folder)?, Some(folder)),
            (None, Some(folder)) => (Tape::replaying(&folder)?, Some(folder)),
            (None, None) => return Ok(Self::none()),
        };
        Ok(Self { tape, folder })
    }

    /// No cassette.
    pub(crate) fn none() -> Self {
        Self { tape: Tape::default(), folder: None }
    }

    /// What the providers are given.
    pub(crate) fn tape(&self) -> Tape {
        self.tape.clone()
    }

    /// Whether the step cache may be asked.
    pub(crate) fn allows_cache(&self) -> bool {
        self.folder.is_none()
    }

    /// The clock of the run.
    pub(crate) fn clock(&self, clock: Arc<dyn Clock>) -> Arc<dyn Clock> {
        match self.tape.is_replaying() {
            true => Arc::new(Unhurried(clock)),
            false => clock,
        }
    }

    /// Says what was recorded or replayed.
    pub(crate) fn say(&self) {
        let Some(folder) = self.folder.as_ref().map(|folder| folder.display()) else { return };
        let counts = self.tape.counts();
        let count = exchanges(counts.exchanges);
        if self.tape.is_replaying() {
            let by_hand = match counts.by_hand {
                0 => String::new(),
                all if all == counts.exchanges => {
                    ", written by hand: no real service answered".to_owned()
                }
                some => format!(", {some} of them written by hand, where no real service answered"),
            };
            output::note(&format!("replayed from {folder}: {count}{by_hand}\n"));
            return;
        }
        output::note(&format!("recorded in {folder}: {count}\n"));
        if let Some((lost, why)) = counts.lost {
            output::note(&format!("warning: {} could not be recorded: {why}\n", exchanges(lost)));
        }
    }
}

fn exchanges(count: u64) -> String {
    if count == 1 { "1 exchange".to_owned() } else { format!("{count} exchanges") }
}

impl From<TapeError> for CommandError {
    fn from(error: TapeError) -> Self {
        let refused = Self::invalid(error.to_string());
        match error.hint() {
            Some(hint) => refused.hint(hint),
            None => refused,
        }
    }
}

/// A clock on which there is no wait between attempts.
struct Unhurried(Arc<dyn Clock>);

#[async_trait]
impl Clock for Unhurried {
    fn now_ms(&self) -> i64 {
        self.0.now_ms()
    }

    fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }

    async fn sleep(&self, duration: Duration) {
        self.0.sleep(duration).await;
    }

    async fn sleep_between(&self, _duration: Duration) {}
}
