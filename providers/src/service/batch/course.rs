//! The way of one batch, from what is gathered to its answers.
//!
//! What passes (a refusal for now, a connection that breaks off) is waited out, for as long as
//! anybody waits; what does not is told to all of them. After a submission of which nobody
//! knows whether it arrived, the batch is looked for before it is sent again.

use std::sync::Arc;
use std::time::Duration;

use flow_core::artifact::ArtifactRef;
use flow_core::batches::{BatchItem, BatchLedger, BatchRecord};
use flow_core::error::{ErrorClass, Failure};
use flow_core::intake::Intake;
use flow_core::retry::PATIENCE;
use tokio_util::sync::CancellationToken;

use super::dialect::{BatchDialect, Item, Named, Rest, Results, Stage, State, Submission};
use super::lane::{Board, Gathered, News};
use super::results::{Kept, Writing};
use super::search;
use crate::http::{Call, Http, Reply};
use crate::service::{Dialect, Endpoint, Fault};

/// The longest wait between two looks at a batch, in first waits: 5 min where that is 10 s.
const LONGEST: u32 = 30;
/// How much longer each wait is than the one before.
const GROWTH: f64 = 1.5;
/// The longest that is gathered though requests go on coming, in waits for the next.
const GATHERINGS: u32 = 120;

/// What the way of a batch needs.
pub(super) struct Course {
    pub(super) endpoint: Endpoint,
    pub(super) dialect: Arc<dyn Dialect>,
    pub(super) batches: &'static dyn BatchDialect,
    pub(super) http: Http,
    pub(super) ledger: Arc<dyn BatchLedger>,
    pub(super) intake: Intake,
}

/// Waits that grow.
pub(super) struct Waits {
    next: Duration,
    longest: Duration,
}

impl Waits {
    fn new(first: Duration) -> Self {
        Self { next: first, longest: first * LONGEST }
    }

    /// Waits a little longer than the last time, or as long as the service asked.
    async fn wait(&mut self, asked: Option<Duration>) {
        let wait = self.next.max(asked.unwrap_or_default()).min(PATIENCE);
        self.next = self.next.mul_f64(GROWTH).min(self.longest);
        tokio::time::sleep(wait).await;
    }
}

impl Course {
    pub(super) fn board(&self, named: Named, gathered: Option<Gathered>) -> Arc<Board> {
        Arc::new(Board {
            named,
            news: tokio::sync::watch::Sender::new(News::Waiting),
            gathered: std::sync::Mutex::new(gathered),
            joined: tokio::sync::Notify::new(),
            most: self.batches.most(),
        })
    }

    /// Gathers a batch, submits it, and sees it to its end.
    ///
    /// Dropping the future leaves the batch where it is; [`again`](Self::again) goes on.
    pub(super) async fn gather(self, board: Arc<Board>) {
        let pause = self.endpoint.batch.gather;
        let until = tokio::time::Instant::now() + pause * GATHERINGS;
        while !board.is_full() && tokio::time::Instant::now() < until {
            if tokio::time::timeout(pause, board.joined.notified()).await.is_err() {
                break;
            }
        }
        let came = self.gathered(&board).await;
        Self::tell(&board, came);
    }

    /// Finds a batch that was noted before, and sees it to its end.
    ///
    /// Dropping the future leaves the batch where it is.
    pub(super) async fn again(self, board: Arc<Board>, record: BatchRecord) {
        let came = self.noted(&board, &record).await;
        Self::tell(&board, came);
    }

    fn tell(board: &Board, came: Result<Option<Kept>, Failure>) {
        board.news.send_replace(match came {
            Ok(Some(kept)) => News::Ended(Arc::new(kept)),
            Ok(None) => News::NotSent,
            Err(failure) => News::Failed(failure),
        });
    }

    async fn gathered(&self, board: &Board) -> Result<Option<Kept>, Failure> {
        let requests = board.close();
        let named = &board.named;
        if requests.is_empty() {
            return Ok(None);
        }
        let record = BatchRecord {
            nonce: named.nonce.clone(),
            provider: self.endpoint.name.clone(),
            model: named.model.clone(),
            items: requests.len() as u64,
            created: jiff::Timestamp::now().as_millisecond(),
            remote: None,
            results: None,
        };
        let noted: Vec<BatchItem> = requests.values().map(|joining| joining.item.clone()).collect();
        self.ledger.begin(&record, &noted).await?;
        let mut items = Vec::with_capacity(requests.len());
        for (number, joining) in requests {
            items.push((number, joining.call));
        }
        let id = match self.submit(named, &record, items).await {
            Ok(Some(id)) => id,
            // It may be there; what follows is as after a crash.
            Ok(None) => return self.noted(board, &record).await,
            Err(failure) => {
                self.ledger.forget(&named.nonce).await?;
                return Err(failure);
            }
        };
        self.ledger.sent(&named.nonce, &id).await?;
        self.to_its_end(board, &record, id).await.map(Some)
    }

    /// Submits until the service has it or will never take it; its name for the batch, and
    /// none where it is in doubt whether the service has it.
    async fn submit(
        &self,
        named: &Named,
        record: &BatchRecord,
        items: Vec<(u32, Call)>,
    ) -> Result<Option<String>, Failure> {
        let mut waits = Waits::new(self.endpoint.batch.poll);
        loop {
            let items =
                items.iter().map(|(number, call)| Item { number: *number, call: call.clone() });
            let failure = match self.submit_once(named, items.collect()).await {
                Ok(id) => return Ok(Some(id)),
                Err(failure) => failure,
            };
            if !failure.class.passes() {
                return Err(failure);
            }
            waits.wait(failure.retry_after).await;
            // Who was refused was heard; else it may have arrived all the same.
            if failure.class != ErrorClass::RateLimit
                && let Some(found) = self.find(named, record).await?.into_iter().next()
            {
                return Ok(Some(found.id).filter(|_| !found.guessed));
            }
        }
    }

    async fn submit_once(&self, named: &Named, items: Vec<Item>) -> Result<String, Failure> {
        let call = match self.batches.submit(&self.endpoint, named, items) {
            Submission::Whole(call) => call,
            Submission::File(call) => {
                let taken = self.ask(call).await?;
                let begin = self.batches.begin(&self.endpoint, named, &taken.body);
                begin.map_err(|fault| self.failure(fault, &taken))?
            }
        };
        let reply = self.ask(call).await?;
        let state = self.batches.read(&reply.body);
        Ok(state.map_err(|fault| self.failure(fault, &reply))?.id)
    }

    /// What became of a batch that was noted before; none where the service never had it.
    async fn noted(&self, board: &Board, record: &BatchRecord) -> Result<Option<Kept>, Failure> {
        let named = &board.named;
        if let Some(results) = &record.results {
            return self.kept(named, results).await.map(Some);
        }
        if let Some(id) = &record.remote {
            return self.to_its_end(board, record, id.clone()).await.map(Some);
        }
        for found in self.find(named, record).await? {
            if !found.guessed {
                self.ledger.sent(&named.nonce, &found.id).await?;
                return self.to_its_end(board, record, found.id).await.map(Some);
            }
            // Only its answers say whose it is.
            let (results, kept) = self.over(board, record, &found.id).await?;
            if !kept.is_empty() {
                self.ledger.sent(&named.nonce, &found.id).await?;
                self.ledger.read(&named.nonce, &results).await?;
                return Ok(Some(kept));
            }
        }
        self.ledger.forget(&named.nonce).await?;
        Ok(None)
    }

    /// Looks for a batch at the service, until that can be asked.
    async fn find(
        &self,
        named: &Named,
        record: &BatchRecord,
    ) -> Result<Vec<search::Found>, Failure> {
        let mut waits = Waits::new(self.endpoint.batch.poll);
        loop {
            match search::find(self, named, record).await {
                Err(failure) if failure.class.passes() => waits.wait(failure.retry_after).await,
                found => return found,
            }
        }
    }

    /// Waits until a batch is over, and keeps its answers.
    async fn to_its_end(
        &self,
        board: &Board,
        record: &BatchRecord,
        id: String,
    ) -> Result<Kept, Failure> {
        let nonce = &board.named.nonce;
        match self.over(board, record, &id).await {
            Ok((results, kept)) => {
                self.ledger.read(nonce, &results).await?;
                Ok(kept)
            }
            Err(failure) => {
                // What the service did not take, or has no more, is asked anew.
                if Self::is_gone(&failure) {
                    self.ledger.forget(nonce).await?;
                }
                Err(failure.failure)
            }
        }
    }

    fn is_gone(over: &NotOver) -> bool {
        over.refused || over.failure.class == ErrorClass::NotFound
    }

    async fn over(
        &self,
        board: &Board,
        record: &BatchRecord,
        id: &str,
    ) -> Result<(ArtifactRef, Kept), NotOver> {
        board.news.send_replace(News::Sent { remote: id.to_owned(), items: record.items });
        let mut waits = Waits::new(self.endpoint.batch.poll);
        loop {
            let asked = match self.look(id).await {
                Ok(State { stage: Stage::Working, .. }) => None,
                Ok(State { stage: Stage::Failed(fault), .. }) => {
                    let failure = self.worded(fault);
                    return Err(NotOver { failure, refused: true });
                }
                Ok(State { stage: Stage::Ended { results, rest }, .. }) => {
                    match self.keep(results, rest, &board.named).await {
                        Err(failure) if failure.class.passes() => failure.retry_after,
                        kept => return Ok(kept?),
                    }
                }
                Err(failure) if failure.class.passes() => failure.retry_after,
                Err(failure) => return Err(failure.into()),
            };
            waits.wait(asked).await;
        }
    }

    async fn look(&self, id: &str) -> Result<State, Failure> {
        let reply = self.ask(self.batches.look(&self.endpoint, id)).await?;
        self.batches.read(&reply.body).map_err(|fault| self.failure(fault, &reply))
    }

    /// Keeps the answers of a batch that is over.
    async fn keep(
        &self,
        results: Results,
        rest: Rest,
        named: &Named,
    ) -> Result<(ArtifactRef, Kept), Failure> {
        let mut writing = Writing::new(rest, &self.endpoint.redactor)?;
        match results {
            Results::Here(lines) => {
                for line in lines {
                    writing.line(&line)?;
                }
            }
            Results::At(places) => {
                for place in places {
                    let call = self.batches.results(&self.endpoint, &place);
                    let incoming = self.http.open(call, &CancellationToken::new()).await?;
                    if !incoming.is_success() {
                        return Err(self.refused(&incoming.read().await?));
                    }
                    writing.lines(incoming).await?;
                }
            }
        }
        let results = writing.keep(&self.intake).await?;
        let kept = self.kept(named, &results).await?;
        Ok((results, kept))
    }

    async fn kept(&self, named: &Named, results: &ArtifactRef) -> Result<Kept, Failure> {
        Kept::open(&self.intake, results, self.batches, named.clone()).await
    }

    /// Makes an exchange that must succeed.
    pub(super) async fn ask(&self, call: Call) -> Result<Reply, Failure> {
        let reply = self.http.send(call, &CancellationToken::new()).await?;
        if (200..300).contains(&reply.status) { Ok(reply) } else { Err(self.refused(&reply)) }
    }

    fn refused(&self, reply: &Reply) -> Failure {
        self.failure(self.dialect.refusal(&self.endpoint, reply), reply)
    }

    pub(super) fn failure(&self, fault: Fault, reply: &Reply) -> Failure {
        self.endpoint.failure(fault, &reply.headers, reply.status)
    }

    fn worded(&self, fault: Fault) -> Failure {
        let name = &self.endpoint.name;
        let message = format!("provider `{name}`: {}", self.endpoint.redactor.text(&fault.message));
        Failure { hint: fault.hint, ..Failure::new(fault.class, message) }
    }
}

/// Why there are no answers.
struct NotOver {
    failure: Failure,
    /// Whether the service says that it did not take the batch.
    refused: bool,
}

impl From<Failure> for NotOver {
    fn from(failure: Failure) -> Self {
        Self { failure, refused: false }
    }
}

impl From<NotOver> for Failure {
    fn from(over: NotOver) -> Self {
        over.failure
    }
}
