//! A sequence: what was evaluated of it, and the answer that is being written in it.

use std::time::Instant;

use flow_core::error::{ErrorClass, Failure};
use llama_cpp_2::token::LlamaToken;

use super::prompt::{Mark, Unit};
use super::sampler::Sampler;
use crate::protocol::{Finish, Took};
use crate::stream::{Stream, Told};
use crate::watch::{Repetition, Watch};

/// The tokens after which an answer without a limit of its own is taken for run-away.
pub(super) const RUNAWAY: u32 = 4096;

/// A sequence of the context.
pub(super) struct Slot {
    /// Its number there.
    pub(super) sequence: i32,
    /// What was evaluated, in order.
    pub(super) history: Vec<Mark>,
    /// The answer that is being written in it.
    pub(super) job: Option<Job>,
    /// When it was last used; the lowest is the longest ago.
    pub(super) used: u64,
}

/// An answer that is being written.
pub(super) struct Job {
    pub(super) id: u64,
    pub(super) prompt: Vec<Unit>,
    /// The token that was chosen last, and is not evaluated yet.
    pub(super) last: Option<LlamaToken>,
    /// Whether what is remembered of the prompt is not used.
    pub(super) anew: bool,
    /// Cells that it may take in all.
    pub(super) cells: u32,
    pub(super) limit: Limit,
    pub(super) sampler: Sampler,
    pub(super) took: Took,
    stream: Stream,
    watch: Watch,
    /// Whether something was told: what an answer begins with is no space.
    begun: bool,
}

/// What ends an answer that goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Limit {
    /// `max_tokens`.
    Asked(u32),
    /// The end of the context.
    Context(u32),
    /// Nobody writes so much.
    Runaway(u32),
}

/// What a token comes to.
pub(super) enum Next {
    /// More text, and the answer goes on.
    More(String),
    /// The last text.
    End(String, Finish),
    /// There is no answer; what was held back is told all the same.
    Wrong(String, Failure),
}

impl Limit {
    /// The limit of an answer with this much room.
    pub(super) fn of(asked: Option<u32>, room: u32) -> Self {
        match asked {
            Some(most) if most <= room => Self::Asked(most),
            None if RUNAWAY < room => Self::Runaway(RUNAWAY),
            Some(_) | None => Self::Context(room),
        }
    }

    pub(super) fn tokens(self) -> u32 {
        match self {
            Self::Asked(most) | Self::Context(most) | Self::Runaway(most) => most,
        }
    }
}

impl Slot {
    pub(super) fn new(sequence: i32) -> Self {
        Self { sequence, history: Vec::new(), job: None, used: 0 }
    }

    /// Cells that it holds or may come to hold.
    pub(super) fn cells(&self) -> u32 {
        match &self.job {
            Some(job) => job.cells,
            None => cells(&self.history),
        }
    }

    /// Where the next unit goes.
    pub(super) fn position(&self) -> u32 {
        positions(&self.history)
    }
}

/// Cells that units take.
pub(super) fn cells(marks: &[Mark]) -> u32 {
    marks.iter().map(Mark::tokens).sum()
}

/// Positions that units take.
pub(super) fn positions(marks: &[Mark]) -> u32 {
    marks.iter().map(Mark::positions).sum()
}

/// How many units at the beginning of a prompt were evaluated already.
pub(super) fn common(prompt: &[Unit], history: &[Mark]) -> usize {
    prompt.iter().zip(history).take_while(|(unit, mark)| unit.is(mark)).count()
}

impl Job {
    pub(super) fn new(
        id: u64,
        prompt: Vec<Unit>,
        limit: Limit,
        sampler: Sampler,
        (stop, anew): (Vec<String>, bool),
    ) -> Self {
        let input: u32 = prompt.iter().map(Unit::tokens).sum();
        Self {
            id,
            prompt,
            last: None,
            anew,
            cells: input + limit.tokens(),
            limit,
            sampler,
            took: Took { input: u64::from(input), ..Took::default() },
            stream: Stream::ending_at(stop),
            watch: Watch::default(),
            begun: false,
        }
    }

    /// Takes a token that ends nothing by itself, with its bytes.
    pub(super) fn take(&mut self, token: LlamaToken, bytes: &[u8]) -> Next {
        self.took.written.tokens += 1;
        let Told { text, ended } = self.stream.take(bytes);
        let text = self.shown(text);
        if ended {
            return Next::End(text, Finish::Stop);
        }
        if let Some(found) = self.watch.take(token.0, &String::from_utf8_lossy(bytes)) {
            return Next::Wrong(text, repeats(&found));
        }
        if self.took.written.tokens < u64::from(self.limit.tokens()) {
            self.last = Some(token);
            return Next::More(text);
        }
        let text = text + &self.rest();
        match self.limit {
            Limit::Asked(_) => Next::End(text, Finish::Length),
            Limit::Context(_) => Next::End(text, Finish::Context),
            Limit::Runaway(most) => Next::Wrong(text, runs_away(most)),
        }
    }

    /// What was held back, when nothing more comes.
    pub(super) fn rest(&mut self) -> String {
        let rest = self.stream.rest();
        self.shown(rest)
    }

    /// Text without the spaces that an answer begins with.
    fn shown(&mut self, text: String) -> String {
        if self.begun {
            return text;
        }
        let text = text.trim_start().to_owned();
        self.begun = !text.is_empty();
        text
    }

    /// Notes how long a step took that it had part in.
    pub(super) fn stepped(&mut self, since: Instant, read: u64, together: u32) {
        let seconds = since.elapsed().as_secs_f64();
        self.took.together = self.took.together.max(together);
        if read > 0 {
            self.took.read.tokens += read;
            self.took.read.seconds += seconds;
        } else {
            self.took.written.seconds += seconds;
        }
    }
}

fn repeats(found: &Repetition) -> Failure {
    let Repetition { unit, times } = found;
    let message = format!("the model repeats itself: it wrote `{unit}` {times} times in a row");
    Failure::new(ErrorClass::InvalidOutput, message).with_hint(
        "a `repeat_penalty` of 1.1 in `options`, some `temperature`, or a larger model may help",
    )
}

fn runs_away(tokens: u32) -> Failure {
    let message = format!("the model wrote {tokens} tokens and came to no end");
    Failure::new(ErrorClass::InvalidOutput, message)
        .with_hint("set `max_tokens` where an answer may be so long")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_ends_an_answer_is_what_comes_first() {
        for (asked, room, limit) in [
            (Some(10), 100, Limit::Asked(10)),
            (Some(100), 10, Limit::Context(10)),
            (None, 10, Limit::Context(10)),
            (None, 100_000, Limit::Runaway(RUNAWAY)),
            (Some(50_000), 100_000, Limit::Asked(50_000)),
        ] {
            assert_eq!(Limit::of(asked, room), limit);
        }
    }

    #[test]
    fn what_is_wrong_with_an_answer_is_said() {
        let repeats = repeats(&Repetition { unit: "the same".into(), times: 12 });
        assert_eq!(
            repeats.message,
            "the model repeats itself: it wrote `the same` 12 times in a row"
        );
        assert_eq!(runs_away(4096).message, "the model wrote 4096 tokens and came to no end");
    }
}
