//! Names of things: runs, steps, instances.
//!
//! Each is a newtype, so that none is taken for another. Ids can only be built from a valid
//! spelling; a path is put together from ids and keys, or read as it was stored.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// Says that a text is not the id it was given as.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not {what}: {rule}")]
pub struct IdError {
    what: &'static str,
    text: String,
    rule: &'static str,
}

macro_rules! string_id {
    ($(#[$doc:meta])* $name:ident, $what:literal, $rule:literal, $valid:path) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(Arc<str>);

        impl $name {
            /// The id as it is written.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                if $valid(text) {
                    Ok(Self(text.into()))
                } else {
                    Err(IdError { what: $what, text: text.into(), rule: $rule })
                }
            }
        }

        impl TryFrom<String> for $name {
            type Error = IdError;

            fn try_from(text: String) -> Result<Self, IdError> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> Self {
                id.0.as_ref().into()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({})", stringify!($name), self.0)
            }
        }
    };
}

string_id!(
    /// Identifies a run: a ULID in lower case, so that ids sort by the time they were made.
    RunId,
    "a run id",
    "26 letters and digits",
    is_ulid
);

string_id!(
    /// Names a step within its block: a name that an expression can spell, as `steps.NAME`.
    StepId,
    "a step id",
    "a letter or `_`, then letters, digits or `_`, at most 64",
    is_identifier
);

impl RunId {
    /// Builds an id from a time in milliseconds since 1970 and 80 random bits.
    pub fn from_parts(millis: u64, random: u128) -> Self {
        let ulid = ulid::Ulid::from_parts(millis, random);
        Self(ulid.to_string().to_ascii_lowercase().into())
    }
}

fn is_ulid(text: &str) -> bool {
    text.len() == 26 && text.bytes().all(|b| b.is_ascii_digit() || b.is_ascii_lowercase())
}

pub(crate) fn is_identifier(text: &str) -> bool {
    text.len() <= 64
        && text.bytes().next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'_')
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

/// Where an instance stands in its run: `pages`, `pages[KEY]`, `pages[KEY]/read`.
///
/// The key is the identity of the item, not its position, so that inserting a page into a
/// document leaves the paths of the others as they were.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct InstancePath(Arc<str>);

impl InstancePath {
    /// The path of a step in the scope at `parent` (none for the workflow's own steps).
    pub fn step(parent: Option<&Self>, step: &StepId) -> Self {
        match parent {
            Some(parent) => Self(format!("{parent}/{step}").into()),
            None => Self(step.as_str().into()),
        }
    }

    /// The path of the instance of this `for_each` step that has the identity `key`.
    #[must_use]
    pub fn instance(&self, key: &str) -> Self {
        Self(format!("{self}[{key}]").into())
    }

    /// The step of the workflow itself that the path is of or below.
    pub fn root(&self) -> &str {
        self.0.split(['/', '[']).next().unwrap_or_default()
    }

    /// The step that the path is of.
    pub fn last_step(&self) -> Option<StepId> {
        let last = self.0.rsplit('/').next()?;
        last.split('[').next()?.parse().ok()
    }

    /// The path without the keys of items, as `pages/read`: where its step stands.
    pub fn without_keys(&self) -> String {
        let mut parts = self.0.split('[');
        let mut plain = parts.next().unwrap_or_default().to_owned();
        plain.extend(parts.map(|part| part.split_once(']').map_or("", |(_, behind)| behind)));
        plain
    }

    /// Reads a path that was written by `Display`.
    pub fn from_stored(text: &str) -> Self {
        Self(text.into())
    }

    /// The path as it is written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for InstancePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for InstancePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "InstancePath({})", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_id_must_be_spellable_in_an_expression() {
        assert_eq!("pages_2".parse::<StepId>().unwrap().as_str(), "pages_2");
        for bad in ["", "check-totals", "2nd", "ünïcode", "a b", &"x".repeat(65)] {
            assert!(bad.parse::<StepId>().is_err(), "{bad} was taken");
        }
    }

    #[test]
    fn run_ids_sort_by_time_and_read_back() {
        let (early, late) = (RunId::from_parts(1, u128::MAX >> 48), RunId::from_parts(2, 0));
        assert!(early < late);
        assert_eq!(early.as_str().parse::<RunId>().unwrap(), early);
    }

    #[test]
    fn paths_nest() {
        let pages = InstancePath::step(None, &"pages".parse().unwrap());
        let read = InstancePath::step(Some(&pages.instance("k")), &"read".parse().unwrap());
        assert_eq!(read.as_str(), "pages[k]/read");
        assert_eq!(read.instance("x").last_step(), "read".parse().ok());
        assert_eq!(read.instance("x").without_keys(), "pages/read");
    }
}
