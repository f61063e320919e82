//! Answers from a cassette.
//!
//! Equal requests are answered in the order in which they were recorded, those of the same
//! provider's name where there are any: a refusal that was followed by an answer is followed by
//! it again, and two steps that ask the same get an answer each. When all were given, the last
//! is given again if it is a success. What is held of an exchange is what it is found by; the
//! rest is read when it is given.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use flow_core::content::ContentHash;
use flow_core::error::{ErrorClass, Failure};

use crate::command;

use super::exchange::{Exchange, Origin, Played, Response};
use super::{Asked, Counts, TapeError, difference, folder, read};

/// A cassette that is played.
#[derive(Debug)]
pub(super) struct Player {
    folder: PathBuf,
    entries: Vec<Entry>,
    by_identity: HashMap<ContentHash, Vec<usize>>,
    state: Mutex<State>,
}

/// What is held of an exchange.
#[derive(Debug)]
struct Entry {
    file: PathBuf,
    kind: String,
    provider: String,
    /// Where it went; of a program, the model that it was asked for.
    url: String,
    succeeded: bool,
    by_hand: bool,
}

#[derive(Debug, Default)]
struct State {
    /// Which exchanges were given.
    given: Vec<bool>,
    counts: Counts,
}

impl Player {
    pub(super) fn open(folder: &Path) -> Result<Self, TapeError> {
        let mut player = Self {
            folder: folder.to_path_buf(),
            entries: Vec::new(),
            by_identity: HashMap::new(),
            state: Mutex::default(),
        };
        for (_, file) in folder::exchanges(folder)? {
            let exchange = read::exchange(&file)?;
            let equal = player.by_identity.entry(exchange.asked.identity()).or_default();
            equal.push(player.entries.len());
            player.entries.push(Entry {
                succeeded: exchange.is_success(),
                by_hand: exchange.origin == Origin::ByHand,
                kind: exchange.asked.kind,
                provider: exchange.asked.provider,
                url: exchange.asked.url,
                file,
            });
        }
        if player.entries.is_empty() {
            return Err(TapeError::Empty { folder: folder.to_path_buf() });
        }
        player.state = Mutex::new(State {
            given: vec![false; player.entries.len()],
            counts: Counts::default(),
        });
        Ok(player)
    }

    pub(super) fn counts(&self) -> Counts {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).counts.clone()
    }

    /// Whether there is an exchange with this kind of service.
    pub(super) fn holds(&self, kind: &str) -> bool {
        self.entries.iter().any(|entry| entry.kind == kind)
    }

    /// The model that a program of this name was first asked for.
    pub(super) fn model_of(&self, provider: &str) -> Option<&str> {
        let asked = |entry: &&Entry| entry.kind == command::KIND && entry.provider == provider;
        self.entries.iter().find(asked).map(|entry| entry.url.as_str())
    }

    /// The answer to a request, or what is there instead.
    pub(super) fn answer(&self, asked: &Asked) -> Result<Played, Failure> {
        let equal = self.by_identity.get(&asked.identity()).map_or(&[][..], Vec::as_slice);
        let of = |at: &usize| self.entries.get(*at).map(|entry| (*at, entry));
        let equal: Vec<_> = equal.iter().filter_map(of).collect();
        let same = |(_, entry): &&(usize, &Entry)| entry.provider == asked.provider;
        let named: Vec<_> = equal.iter().filter(same).copied().collect();
        let equal = if named.is_empty() { equal } else { named };
        let Some((_, last)) = equal.last() else { return Err(self.miss(asked)) };
        let entry = {
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            let is_left = |at: usize| state.given.get(at) == Some(&false);
            let left = equal.iter().find(|(at, _)| is_left(*at));
            let entry = match left {
                Some((at, entry)) => {
                    let at = *at;
                    state.given.get_mut(at).into_iter().for_each(|given| *given = true);
                    entry
                }
                None if last.succeeded => last,
                None => return Err(self.used_up(asked, equal.len(), last)),
            };
            state.counts.exchanges += 1;
            state.counts.by_hand += u64::from(entry.by_hand);
            entry
        };
        let Exchange { response, failure, .. } =
            read::exchange(&entry.file).map_err(|error| damaged(&error))?;
        match (response, failure) {
            (None, Some(failure)) => Err(failure),
            (response, failure) => {
                Ok(Played { heard: response.map(Response::heard).unwrap_or_default(), failure })
            }
        }
    }

    /// Nothing like this is there. Another model is asked only where there is nothing of this
    /// kind at all, as where a chain went on because the first had no key; else that would
    /// be another run than the one that was recorded.
    fn miss(&self, asked: &Asked) -> Failure {
        let Asked { provider, kind, .. } = asked;
        let folder = self.folder.display();
        if !self.holds(kind) {
            let message =
                format!("provider `{provider}`: the cassette `{folder}` holds nothing of `{kind}`");
            return self.hinted(Failure::new(ErrorClass::NotFound, message));
        }
        let what = asked.in_short();
        let mut message =
            format!("provider `{provider}`: the cassette `{folder}` has no answer to `{what}`");
        if let Some((entry, near)) = self.nearest(asked) {
            let name = folder::shown(&entry.file);
            let how = difference::first(&near.compared(), &asked.compared());
            message.push_str(&format!("; the nearest request is `{name}`, {how}"));
        }
        self.hinted(Failure::input(message))
    }

    fn used_up(&self, asked: &Asked, answers: usize, last: &Entry) -> Failure {
        let (provider, what) = (&asked.provider, asked.in_short());
        let folder = self.folder.display();
        let answers = match answers {
            1 => "its only answer was".to_owned(),
            answers => format!("all its {answers} answers were"),
        };
        let name = folder::shown(&last.file);
        self.hinted(Failure::input(format!(
            "provider `{provider}`: the cassette `{folder}` has no answer left to `{what}`: {answers} given, and the last, `{name}`, is no success"
        )))
    }

    fn hinted(&self, failure: Failure) -> Failure {
        failure.with_hint(format!("record it with `--record {}`", self.folder.display()))
    }

    /// The exchange whose request is most like this one, and that request.
    fn nearest(&self, asked: &Asked) -> Option<(&Entry, Asked)> {
        let compared = asked.compared();
        let mut nearest: Option<(f64, &Entry, Asked)> = None;
        for entry in self.entries.iter().filter(|entry| entry.kind == asked.kind) {
            let Ok(exchange) = read::exchange(&entry.file) else { continue };
            let likeness = difference::likeness(&exchange.asked.compared(), &compared);
            if nearest.as_ref().is_none_or(|(best, ..)| likeness > *best) {
                nearest = Some((likeness, entry, exchange.asked));
            }
        }
        nearest.map(|(_, entry, asked)| (entry, asked))
    }
}

/// A file that was whole when the run began.
fn damaged(error: &TapeError) -> Failure {
    let failure = Failure::new(ErrorClass::Input, error.to_string());
    match error.hint() {
        Some(hint) => failure.with_hint(hint),
        None => failure,
    }
}
