//! The seam to what differs between the batches of services.

use crate::http::Call;
use crate::service::{Endpoint, Fault};

/// How a service is spoken to about batches: pure functions between our words and its wire.
///
/// What is asked in a batch is what [`Dialect::generate`](crate::service::Dialect::generate)
/// writes for a single call, and what comes back is read by
/// [`Dialect::read`](crate::service::Dialect::read); here is only what is around it.
pub(crate) trait BatchDialect: Send + Sync {
    /// The most that the service takes in a batch.
    fn most(&self) -> Most;

    /// Writes a batch, or the file that it is made from.
    fn submit(&self, endpoint: &Endpoint, named: &Named, items: Vec<Item>) -> Submission;

    /// Writes a batch that is made from a file which was taken; `taken` is what the service
    /// said of it.
    fn begin(&self, _endpoint: &Endpoint, _named: &Named, _taken: &[u8]) -> Result<Call, Fault> {
        Err(Fault::new(flow_core::error::ErrorClass::Internal, "no batch is made from a file"))
    }

    /// Asks how a batch stands.
    fn look(&self, endpoint: &Endpoint, id: &str) -> Call;

    /// Reads how a batch stands, from the answer to its submission or to a look at it.
    fn read(&self, body: &[u8]) -> Result<State, Fault>;

    /// Asks for the batches there are, the last first; from where an earlier answer left off.
    fn list(&self, endpoint: &Endpoint, after: Option<&str>) -> Call;

    /// Reads the batches there are, and where the next answer goes on.
    fn read_list(&self, body: &[u8]) -> Result<(Vec<State>, Option<String>), Fault>;

    /// Asks for answers that are at this place.
    fn results(&self, endpoint: &Endpoint, place: &str) -> Call;

    /// Reads a line of the answers; none where it says nothing of a request.
    fn line(&self, line: &[u8]) -> Option<Line>;

    /// Asks the service to begin no more of a batch.
    fn cancel(&self, endpoint: &Endpoint, id: &str) -> Call;
}

/// The most that a service takes in a batch.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Most {
    /// Requests.
    pub(crate) items: usize,
    /// Bytes, all requests together.
    pub(crate) bytes: u64,
}

/// What a batch is named and made of.
#[derive(Clone, Debug)]
pub(crate) struct Named {
    /// Our name for it.
    pub(crate) nonce: String,
    /// The model that is asked.
    pub(crate) model: String,
}

impl Named {
    /// Our name for a request in it, which says in which batch it is.
    pub(crate) fn id_of(&self, number: u32) -> String {
        format!("{}-{number}", self.nonce)
    }

    /// The number of a request, by our name for it; none where it is of another batch.
    pub(crate) fn number_of(&self, id: &str) -> Option<u32> {
        id.strip_prefix(&self.nonce)?.strip_prefix('-')?.parse().ok()
    }
}

/// A request of a batch: the call that would ask it alone.
pub(crate) struct Item {
    /// Its number.
    pub(crate) number: u32,
    /// The call.
    pub(crate) call: Call,
}

/// How a batch is submitted.
pub(crate) enum Submission {
    /// By a call whose answer says how it stands.
    Whole(Call),
    /// By a file, from which it is then made.
    File(Call),
}

/// A batch as its service tells of it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct State {
    /// The service's name for it.
    pub(crate) id: String,
    /// Our name for it, where the service keeps one.
    pub(crate) nonce: Option<String>,
    /// How many requests are in it, where the service says so.
    pub(crate) items: Option<u64>,
    /// When it was made, in milliseconds since 1970, where the service says so.
    pub(crate) created: Option<i64>,
    /// How far it is.
    pub(crate) stage: Stage,
}

/// How far a batch is.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Stage {
    /// The service works on it, or has yet to begin.
    Working,
    /// It is over. `rest` is what became of requests of which the answers say nothing.
    Ended {
        /// Its answers.
        results: Results,
        /// What became of the others.
        rest: Rest,
    },
    /// The service did not take it: no request was asked.
    Failed(Fault),
}

/// Where answers are.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Results {
    /// At these places, a line each.
    At(Vec<String>),
    /// Here, a line each.
    Here(Vec<Vec<u8>>),
}

/// What became of requests of which the answers say nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rest {
    /// Nobody knows.
    Missing,
    /// Their time was over before they were begun.
    Expired,
    /// They were cancelled before they were begun.
    Cancelled,
}

impl Rest {
    const ALL: [Self; 3] = [Self::Missing, Self::Expired, Self::Cancelled];

    /// The word for it in what is kept.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Expired => "expired",
            Self::Cancelled => "cancelled",
        }
    }

    /// Reads the word.
    pub(crate) fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|rest| rest.as_str() == word)
    }
}

/// What a line of the answers says.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Line {
    /// Our name for the request.
    pub(crate) id: String,
    /// What became of it.
    pub(crate) became: Became,
}

/// What became of a request.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Became {
    /// It was answered, as a single call would have been.
    Answer {
        /// The status that a single call would have had.
        status: u16,
        /// The body.
        body: Vec<u8>,
        /// The service's id of the request.
        request_id: Option<String>,
    },
    /// It was not begun.
    Not(Rest),
}
