//! Cassettes: exchanges with model services that are kept, and answers that are given from them.
//!
//! ```text
//!  --record DIR   Call ─► asked ─► the wire ─► what comes ─► take ─► 0001-openai-….json
//!  --replay DIR   Call ─► asked ─► the cassette: equal? ─► what came then, and no wire
//!                                        └─ no: the nearest, and where it differs
//! ```
//!
//! A cassette is a folder, an exchange a file of JSON in it that people can read, compare and
//! write. What identifies a request is [`Asked`]: the kind of service, the method, the path
//! behind the service's address and the canonical body, in which a file stands by its hash.
//! Neither the address of a service nor the name that a workflow gives it counts.
//!
//! No secret gets in: whatever is written passes through the provider's
//! [`Redactor`](crate::redact::Redactor), and header fields that may hold one are left out.
//! Left out as well: what flow itself stops, because a step's time is over or somebody said so;
//! it goes on until another answer comes, and that is the one to give again.

mod asked;
mod difference;
mod exchange;
mod folder;
mod player;
mod read;
mod recorder;
mod replayed;
mod secrets;
mod take;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use flow_core::error::Failure;

pub(crate) use asked::{Asked, artifact};
pub(crate) use exchange::{Heard, Played};
pub(crate) use replayed::Replayed;
pub(crate) use take::Take;

use player::Player;
use recorder::Recorder;

/// What becomes of exchanges with model services: nothing, or they are kept in a cassette, or
/// answered from one.
#[derive(Clone, Debug, Default)]
pub struct Tape(Reel);

#[derive(Clone, Debug, Default)]
enum Reel {
    #[default]
    None,
    Recording(Arc<Recorder>),
    Replaying(Arc<Player>),
}

/// What a tape came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Exchanges that were kept, or answers that were given.
    pub exchanges: u64,
    /// Of the answers that were given, those that somebody wrote by hand.
    pub by_hand: u64,
    /// Why exchanges could not be kept, the first of them, and how many they are.
    pub lost: Option<(u64, String)>,
}

/// Why a cassette cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TapeError {
    /// The folder or a file of it cannot be read or written.
    #[error("cannot use the cassette `{}`: {source}", path.display())]
    Io {
        /// The folder, or the file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// There is no exchange in the folder.
    #[error("there is no cassette in `{}`", folder.display())]
    Empty {
        /// The folder.
        folder: PathBuf,
    },
    /// Another process records into the folder.
    #[error("another process records into `{}`", folder.display())]
    Busy {
        /// The folder.
        folder: PathBuf,
    },
    /// A file is no exchange.
    #[error("`{}`: {fault}", file.display())]
    Damaged {
        /// The file.
        file: PathBuf,
        /// What is wrong with it, by its field.
        fault: String,
    },
}

impl TapeError {
    /// What the reader can do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Io { .. } => None,
            Self::Empty { folder } => {
                Some(format!("record one with `--record {}`", folder.display()))
            }
            Self::Busy { .. } => Some("wait until it is done, or name another folder".into()),
            Self::Damaged { .. } => Some(
                "mend it, or remove it and record it again; docs/cassettes.md has the form".into(),
            ),
        }
    }
}

impl Tape {
    /// Keeps exchanges in a folder, which is made where it is missing. What is there already
    /// stays, and counting goes on.
    pub fn recording(folder: &Path) -> Result<Self, TapeError> {
        Ok(Self(Reel::Recording(Arc::new(Recorder::open(folder)?))))
    }

    /// Answers from a cassette, all of whose exchanges are read and checked now.
    pub fn replaying(folder: &Path) -> Result<Self, TapeError> {
        Ok(Self(Reel::Replaying(Arc::new(Player::open(folder)?))))
    }

    /// Whether answers come from a cassette.
    pub fn is_replaying(&self) -> bool {
        matches!(self.0, Reel::Replaying(_))
    }

    /// What it came to so far.
    pub fn counts(&self) -> Counts {
        match &self.0 {
            Reel::None => Counts::default(),
            Reel::Recording(recorder) => recorder.counts(),
            Reel::Replaying(player) => player.counts(),
        }
    }

    /// Whether it is of no concern to a call.
    pub(crate) fn is_off(&self) -> bool {
        matches!(self.0, Reel::None)
    }

    /// Whether a cassette answers for this kind of service; where there is none, everything does.
    pub(crate) fn may_answer(&self, kind: &str) -> bool {
        match &self.0 {
            Reel::Replaying(player) => player.holds(kind),
            Reel::None | Reel::Recording(_) => true,
        }
    }

    /// The model that a program of this name was asked for when the cassette was recorded, where
    /// answers come from one.
    pub(crate) fn model_of(&self, provider: &str) -> Option<&str> {
        match &self.0 {
            Reel::Replaying(player) => player.model_of(provider),
            Reel::None | Reel::Recording(_) => None,
        }
    }

    /// The answer that the cassette has, where answers come from one.
    pub(crate) fn answer(&self, asked: &Asked) -> Option<Result<Played, Failure>> {
        match &self.0 {
            Reel::Replaying(player) => Some(player.answer(asked)),
            Reel::None | Reel::Recording(_) => None,
        }
    }

    /// Begins to keep an exchange, where exchanges are kept.
    pub(crate) fn take(
        &self,
        asked: Asked,
        redactor: &crate::redact::Redactor,
        cancel: &tokio_util::sync::CancellationToken,
    ) -> Option<Take> {
        match &self.0 {
            Reel::Recording(recorder) => {
                Some(Take::new(Arc::clone(recorder), asked, redactor.clone(), cancel.clone()))
            }
            Reel::None | Reel::Replaying(_) => None,
        }
    }
}
