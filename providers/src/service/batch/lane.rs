//! Who waits for which batch, in this process.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use flow_core::batches::{BatchItem, BatchPlace, BatchRecord};
use flow_core::error::Failure;
use tokio::sync::{Notify, watch};
use tokio_util::task::AbortOnDropHandle;

use super::course::Course;
use super::dialect::{Most, Named};
use super::results::Kept;
use crate::http::Call;

/// The batches of a service that somebody in this process waits for.
#[derive(Default)]
pub(crate) struct Batches(Mutex<Known>);

#[derive(Default)]
struct Known {
    /// Those that are being gathered, by what may go together.
    gathering: BTreeMap<String, Weak<Batch>>,
    /// All, by our name for them.
    named: BTreeMap<String, Weak<Batch>>,
    /// The answers that were asked for last, by our name for their batch: who comes later need
    /// not look through them again.
    last: Option<(String, Arc<Kept>)>,
}

/// A request that wants to join.
pub(super) struct Joining {
    pub(super) item: BatchItem,
    pub(super) call: Call,
    /// Its size, in bytes.
    pub(super) bytes: u64,
}

/// What joined a batch that is being gathered.
#[derive(Default)]
pub(super) struct Gathered {
    pub(super) requests: BTreeMap<u32, Joining>,
    next: u32,
    bytes: u64,
}

/// How a batch stands.
#[derive(Clone, Debug)]
pub(super) enum News {
    /// It is not at the service yet, as far as is known.
    Waiting,
    /// It is at the service, which has this name for it.
    Sent {
        /// The service's name for it.
        remote: String,
        /// How many requests are in it.
        items: u64,
    },
    /// Its answers are here.
    Ended(Arc<Kept>),
    /// The service never had it.
    NotSent,
    /// It came to nothing.
    Failed(Failure),
}

/// What the task of a batch and those who wait for it share.
pub(super) struct Board {
    pub(super) named: Named,
    pub(super) news: watch::Sender<News>,
    /// None once nobody can join any more.
    pub(super) gathered: Mutex<Option<Gathered>>,
    pub(super) joined: Notify,
    pub(super) most: Most,
}

impl Board {
    fn gathered(&self) -> MutexGuard<'_, Option<Gathered>> {
        self.gathered.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether no request more fits.
    pub(super) fn is_full(&self) -> bool {
        let gathered = self.gathered();
        gathered.as_ref().is_none_or(|gathered| gathered.requests.len() >= self.most.items)
    }

    /// Takes what was gathered; nobody can join any more.
    pub(super) fn close(&self) -> BTreeMap<u32, Joining> {
        self.gathered().take().map(|gathered| gathered.requests).unwrap_or_default()
    }
}

/// A batch that somebody waits for. Its task ends with the last of them.
pub(super) struct Batch {
    pub(super) board: Arc<Board>,
    waiting: AtomicUsize,
    _course: AbortOnDropHandle<()>,
}

/// A request's place in a batch; dropping it gives it up.
pub(super) struct Place {
    pub(super) batch: Arc<Batch>,
    pub(super) number: u32,
    /// Whether it was the first in this process to wait for the batch, and so speaks of it.
    pub(super) first: bool,
    left: bool,
}

impl Place {
    fn new(batch: Arc<Batch>, number: u32, first: bool) -> Self {
        batch.waiting.fetch_add(1, Ordering::SeqCst);
        Self { batch, number, first, left: false }
    }

    /// Leaves, and says whether nobody else in this process waits for the batch.
    pub(super) fn leave(&mut self) -> bool {
        if std::mem::replace(&mut self.left, true) {
            return false;
        }
        // What nobody waits for need not be asked, as long as it was not.
        if let Some(gathered) = &mut *self.batch.board.gathered()
            && let Some(gone) = gathered.requests.remove(&self.number)
        {
            gathered.bytes -= gone.bytes;
        }
        self.batch.waiting.fetch_sub(1, Ordering::SeqCst) == 1
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.leave();
    }
}

impl Batches {
    /// Joins the batch that is being gathered of what may go together, or begins one.
    pub(super) fn join(
        &self,
        together: &str,
        joining: Joining,
        named: impl FnOnce() -> Named,
        course: impl FnOnce() -> Course,
    ) -> Place {
        let mut known = self.known();
        let open = known.gathering.get(together).and_then(Weak::upgrade);
        let joining = match open {
            Some(batch) => match batch.take(joining) {
                Ok(number) => return Place::new(batch, number, false),
                Err(joining) => *joining,
            },
            None => joining,
        };
        let course = course();
        let bytes = joining.bytes;
        let requests = BTreeMap::from([(0, joining)]);
        let gathered = Gathered { requests, next: 1, bytes };
        let board = course.board(named(), Some(gathered));
        let running = course.gather(Arc::clone(&board));
        let batch = Batch::spawn(board, running);
        known.gathering.insert(together.to_owned(), Arc::downgrade(&batch));
        known.keep(&batch);
        Place::new(batch, 0, true)
    }

    /// Waits for a batch that an earlier life of the process, or of the request, gave to the
    /// service.
    pub(super) fn again(&self, place: BatchPlace, course: impl FnOnce() -> Course) -> Place {
        let BatchPlace { batch: record, number } = place;
        let mut known = self.known();
        if let Some(batch) = known.named.get(&record.nonce).and_then(Weak::upgrade)
            && !matches!(*batch.board.news.borrow(), News::NotSent | News::Failed(_))
        {
            return Place::new(batch, number, false);
        }
        let course = course();
        let BatchRecord { nonce, model, .. } = &record;
        let named = Named { nonce: nonce.clone(), model: model.clone() };
        let board = course.board(named, None);
        let last = known.last.as_ref().filter(|(last, _)| last == nonce);
        let batch = match last {
            Some((_, kept)) => {
                board.news.send_replace(News::Ended(Arc::clone(kept)));
                Batch::spawn(board, std::future::ready(()))
            }
            None => {
                let running = course.again(Arc::clone(&board), record);
                Batch::spawn(board, running)
            }
        };
        known.keep(&batch);
        Place::new(batch, number, true)
    }

    /// Keeps the answers of a batch at hand.
    pub(super) fn remember(&self, place: &Place, kept: &Arc<Kept>) {
        let nonce = &place.batch.board.named.nonce;
        let mut known = self.known();
        if known.last.as_ref().is_none_or(|(last, _)| last != nonce) {
            known.last = Some((nonce.clone(), Arc::clone(kept)));
        }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    fn keep(&mut self, batch: &Arc<Batch>) {
        self.named.retain(|_, batch| batch.strong_count() > 0);
        self.gathering.retain(|_, batch| batch.strong_count() > 0);
        self.named.insert(batch.board.named.nonce.clone(), Arc::downgrade(batch));
    }
}

impl Batch {
    fn spawn(board: Arc<Board>, course: impl Future<Output = ()> + Send + 'static) -> Arc<Self> {
        let course = AbortOnDropHandle::new(tokio::spawn(course));
        Arc::new(Self { board, waiting: AtomicUsize::new(0), _course: course })
    }

    /// Takes a request in; gives it back where nobody can join any more, or it does not fit.
    fn take(&self, mut joining: Joining) -> Result<u32, Box<Joining>> {
        let mut gathered = self.board.gathered();
        let most = self.board.most;
        let Some(open) = &mut *gathered else { return Err(Box::new(joining)) };
        if open.requests.len() >= most.items || open.bytes + joining.bytes > most.bytes {
            return Err(Box::new(joining));
        }
        let number = open.next;
        joining.item.number = number;
        open.next += 1;
        open.bytes += joining.bytes;
        open.requests.insert(number, joining);
        drop(gathered);
        self.board.joined.notify_one();
        Ok(number)
    }
}
