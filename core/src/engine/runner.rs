//! One instance of a step, from its template to its end.
//!
//! A runner prepares the input, looks whether the work was done before, and then makes
//! attempts until one succeeds, the policy gives up, or somebody says stop. It decides
//! nothing about the run: what happens is reported to the driver, and where something must
//! be durable before the runner goes on, the report carries an answer to wait for.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::time::Duration;

use futures::FutureExt;
use serde_json::Value;
use tokio::sync::{Semaphore, SemaphorePermit, mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use crate::action::{
    Admission, CallUsage, Earlier, Effect, LogSink, Outcome, Quote, StepContext, UsageSlot,
};
use crate::batches::{Asker, BatchAccess};
use crate::content::ContentHash;
use crate::engine::agree;
use crate::engine::clock::Clock;
use crate::engine::parts;
use crate::engine::prepare::{Prepared, Workshop};
use crate::engine::reuse::reuse;
use crate::engine::scheduler::Slot;
use crate::error::{ErrorClass, Failure};
use crate::ids::{InstancePath, RunId};
use crate::language::{Block, ModelChoice, Step};
use crate::plugin::Caller;
use crate::retry;
use crate::state::Origin;
use crate::store::{ApprovalRow, StepRow, StoreError};
use crate::template::Scope;
use crate::uploads::UploadLedger;

/// How long work that was told to stop may take to end by itself.
const GRACE: Duration = Duration::from_secs(5);

/// What all runners of a run share.
pub(crate) struct Shared {
    pub(crate) run: RunId,
    pub(crate) workshop: Workshop,
    pub(crate) uploads: Arc<dyn UploadLedger>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) reports: mpsc::UnboundedSender<Report>,
    pub(crate) cancel: CancellationToken,
    /// Set where the run is stopped only to go on later.
    pub(crate) interrupted: Arc<AtomicBool>,
    /// Attempts of the whole process.
    pub(crate) permits: Arc<Semaphore>,
    /// How many instances of the whole process became ready so far.
    pub(crate) ready: Arc<AtomicU64>,
    pub(crate) use_cache: bool,
    /// Whether what failed for good in an earlier life is tried again: the run had ended.
    pub(crate) retry_failed: bool,
}

/// An instance to run.
pub(crate) struct Job {
    pub(crate) slot: Slot,
    /// Where it stands in the order in which instances of the process became ready.
    pub(crate) order: u64,
    pub(crate) path: InstancePath,
    pub(crate) block: Arc<Block>,
    pub(crate) scope: Scope,
    /// What an earlier life of the run left of it.
    pub(crate) recorded: Option<StepRow>,
    /// The question it asked, if it did.
    pub(crate) approval: Option<ApprovalRow>,
}

impl Job {
    pub(super) fn step(&self) -> &Step {
        &self.block.steps[self.slot.step]
    }

    pub(super) fn earlier_attempts(&self) -> u32 {
        self.recorded.as_ref().map_or(0, |row| row.attempts)
    }
}

/// What a runner tells the driver.
pub(crate) enum Report {
    /// An attempt is about to act on the outside; the answer comes when that is durable, or
    /// says why it may not.
    Announce(Announced),
    /// An attempt failed and another follows after a wait.
    Retry {
        slot: Slot,
        attempt: Attempt,
        failure: Failure,
        usage: Option<Box<CallUsage>>,
        wait: Duration,
    },
    /// An attempt has an answer that settles not all, and another follows for the rest.
    Answered(Box<Answered>),
    /// An attempt waits for a batch, and takes no place among those at work until it is over.
    Aside { slot: Slot },
    /// The attempt that stood aside failed, and what follows takes a place again.
    Back { slot: Slot },
    /// A line for the log.
    Line { slot: Slot, attempt: u32, text: String },
    /// Text as it comes, for whoever watches.
    Text { slot: Slot, text: String },
    /// The instance ended.
    Ended { slot: Slot, end: End },
}

/// An attempt that is about to act, and who waits for leave.
pub(crate) struct Announced {
    pub(crate) slot: Slot,
    pub(crate) attempt: Attempt,
    pub(crate) quote: Quote,
    pub(crate) answer: oneshot::Sender<Result<(), Failure>>,
}

/// An attempt that has an answer, and is not the last.
pub(crate) struct Answered {
    pub(crate) slot: Slot,
    pub(crate) attempt: Attempt,
    /// Identity of the question that it answers.
    pub(crate) hash: ContentHash,
    /// The answer as it goes into the store.
    pub(crate) packed: Option<Value>,
    pub(crate) usage: Option<Box<CallUsage>>,
    pub(crate) meta: Option<Value>,
    /// Whether it is kept for later lives.
    pub(crate) cache: bool,
}

/// An attempt as the driver needs to know it.
#[derive(Clone, Debug)]
pub(crate) struct Attempt {
    pub(crate) number: u32,
    pub(crate) hash: ContentHash,
    pub(crate) model: Option<ModelChoice>,
    pub(crate) started: i64,
    pub(crate) external: bool,
    /// Whether it goes by a batch of its service.
    pub(crate) batch: bool,
}

/// How an instance ended.
pub(crate) enum End {
    /// With an output.
    Done(Done),
    /// It asks a person, or asked before and has no answer.
    Asked { attempt: u32, hash: ContentHash, show: Option<Value> },
    /// For good; `hash` says of what, where it came to be run.
    Failed {
        attempt: Option<Attempt>,
        failure: Failure,
        usage: Option<Box<CallUsage>>,
        hash: Option<ContentHash>,
    },
    /// Because somebody said stop.
    Cancelled { attempt: Option<Attempt> },
    /// Not at all: the store failed, and with it this life of the run.
    Store(StoreError),
}

/// How an instance ended well.
pub(crate) struct Done {
    pub(crate) attempt: Option<Attempt>,
    pub(crate) hash: ContentHash,
    pub(crate) output: Arc<Value>,
    /// The output as it goes into the store; none where it is there already.
    pub(crate) packed: Option<Value>,
    pub(crate) usage: Option<Box<CallUsage>>,
    pub(crate) origin: Origin,
    /// Whether later runs may use the output.
    pub(crate) cache: bool,
    /// What is known of the output: by its action, or by the step cache.
    pub(crate) meta: Option<Value>,
    /// Whether the input names a file by its path.
    pub(crate) by_path: bool,
}

impl End {
    pub(super) fn failed(failure: Failure) -> Self {
        Self::Failed { attempt: None, failure, usage: None, hash: None }
    }

    /// What an error of the store makes of an instance: one of a file it needs is its own.
    fn of_store(error: StoreError) -> Self {
        if error.is_of_a_file() { Self::failed(error.into()) } else { Self::Store(error) }
    }
}

/// Runs an instance and reports its end.
///
/// Dropping the future stops the work where it stands, like a crash of the process would.
pub(crate) async fn run(shared: Arc<Shared>, job: Job) {
    let slot = job.slot;
    let end = match AssertUnwindSafe(work(&shared, &job)).catch_unwind().await {
        Ok(end) => end,
        Err(_) => End::failed(Failure::internal("the step panicked")),
    };
    // The driver is gone only when the run is being dropped.
    let _ = shared.reports.send(Report::Ended { slot, end });
}

async fn work(shared: &Arc<Shared>, job: &Job) -> End {
    let preparing = shared.workshop.prepare(job.step(), &job.scope);
    let prepared = tokio::select! {
        prepared = preparing => prepared,
        () = shared.cancel.cancelled() => return End::Cancelled { attempt: None },
    };
    let prepared = match prepared {
        Ok(prepared) => prepared,
        Err(failure) => return End::failed(failure),
    };
    match reuse(shared, job, &prepared).await {
        Ok(Some(End::Done(done))) => {
            return End::Done(Done { by_path: prepared.by_path, ..done });
        }
        Ok(Some(end)) => return end,
        Ok(None) => {}
        Err(error) => return End::of_store(error),
    }
    if let Some(parting) = &prepared.parting {
        return parts::run(shared, job, &prepared, parting).await;
    }
    match &prepared.agree {
        None => Attempts::new(shared, job, &prepared).run().await,
        Some(agreeing) => agree::run(shared, job, &prepared, agreeing).await,
    }
}

/// The attempts of one instance.
pub(super) struct Attempts<'a> {
    shared: &'a Arc<Shared>,
    job: &'a Job,
    prepared: &'a Prepared,
    pub(super) made: u32,
    /// When the first began, on the clock that only grows.
    began: Duration,
    /// The attempt before, when the next one asks the same model again.
    earlier: Option<Earlier>,
}

impl<'a> Attempts<'a> {
    pub(super) fn new(shared: &'a Arc<Shared>, job: &'a Job, prepared: &'a Prepared) -> Self {
        let began = shared.clock.elapsed();
        Self { shared, job, prepared, made: 0, began, earlier: None }
    }

    /// Goes on with another question, as a part of the same work.
    pub(super) fn then<'b>(&self, prepared: &'b Prepared) -> Attempts<'b>
    where
        'a: 'b,
    {
        let Attempts { shared, job, made, began, .. } = *self;
        Attempts { shared, job, prepared, made, began, earlier: None }
    }

    /// Makes attempts until one settles the question.
    pub(super) async fn run(&mut self) -> End {
        let chain = &self.prepared.models;
        let (mut at, mut tries, mut asked_again) = (0, 0, false);
        loop {
            tries += 1;
            let Failed { attempt, failure, usage, reply } =
                match self.once(chain.get(at).cloned()).await {
                    Tried::Ended(end) => return end,
                    Tried::Failed(failed) => failed,
                };
            let retry = &self.job.step().policy.retry;
            let again = retry::next_wait(retry, tries, &failure, self.jitter());
            let in_time = |wait: &Duration| self.left().is_none_or(|left| *wait < left);
            let falls_back = at + 1 < chain.len() && failure.class.may_fall_back();
            // An answer that is not what was asked for is asked for once more, with what was
            // wrong with it, whatever the step says of other retries.
            let asks_again = failure.class == ErrorClass::InvalidOutput
                && !asked_again
                && self.prepared.action.asks_again();
            let wait = match again.filter(in_time) {
                _ if asks_again && in_time(&Duration::ZERO) => {
                    // It is none of the tries that the step's policy counts.
                    (tries, asked_again) = (tries - 1, true);
                    self.earlier = Some(Earlier { failure: failure.clone(), reply });
                    Duration::ZERO
                }
                Some(wait) => {
                    // What kept the question from being answered did not answer it.
                    self.earlier.take_if(|_| failure.class == ErrorClass::InvalidOutput);
                    wait
                }
                None if falls_back && in_time(&Duration::ZERO) => {
                    (at, tries, asked_again) = (at + 1, 0, false);
                    // A person is told what went wrong; another model begins anew.
                    let person = chain[at].is_person();
                    self.earlier = person.then(|| Earlier { failure: failure.clone(), reply });
                    Duration::ZERO
                }
                None => {
                    let hash = Some(attempt.hash);
                    return End::Failed { attempt: Some(attempt), failure, usage, hash };
                }
            };
            self.report_retry(attempt, failure, usage, wait);
            tokio::select! {
                () = self.shared.clock.sleep_between(wait) => {}
                () = self.shared.cancel.cancelled() => return End::Cancelled { attempt: None },
            }
        }
    }

    /// What remains of the deadline of all attempts together; none where there is none.
    fn left(&self) -> Option<Duration> {
        let gone = self.shared.clock.elapsed().saturating_sub(self.began);
        self.job.step().policy.deadline.map(|deadline| deadline.saturating_sub(gone))
    }

    fn report_retry(
        &self,
        attempt: Attempt,
        failure: Failure,
        usage: Option<Box<CallUsage>>,
        wait: Duration,
    ) {
        let slot = self.job.slot;
        let _ = self.shared.reports.send(Report::Retry { slot, attempt, failure, usage, wait });
    }

    /// Makes one attempt, if there is time left for it.
    async fn once(&mut self, model: Option<ModelChoice>) -> Tried {
        let action = &self.prepared.action;
        let mut attempt = Attempt {
            number: self.job.earlier_attempts().saturating_add(self.made).saturating_add(1),
            hash: self.prepared.hash,
            model,
            started: self.shared.clock.now_ms(),
            external: action.effect(&self.prepared.input) == Effect::External,
            batch: false,
        };
        let mut context = self.context(&attempt);
        attempt.batch = attempt.external && action.goes_by_batch(&self.prepared.input, &context);
        if attempt.batch {
            let _ = self.shared.reports.send(Report::Aside { slot: self.job.slot });
        }
        let (turn, permit) = match self.turn(&attempt, &context).await {
            Ok(turn) => turn,
            Err(tried) => return *tried,
        };
        context.turn = turn;
        attempt.started = self.shared.clock.now_ms();
        let quote = self.prepared.action.quote(&self.prepared.input, &context);
        if attempt.external
            && let Err(failure) = self.announce(&attempt, quote).await
        {
            return Tried::Ended(End::failed(failure));
        }
        let outcome = self.act(&attempt, &context).await;
        context.turn = Admission::free();
        drop(permit);
        self.made += 1;
        let usage = context.usage.take().map(Box::new);
        match outcome {
            Ok(Outcome::Done(output)) => {
                let done = self.done(attempt, output, usage, context.usage.take_meta()).await;
                Tried::Ended(done)
            }
            Ok(Outcome::Wait { show }) => {
                let (attempt, hash) = (attempt.number, attempt.hash);
                Tried::Ended(End::Asked { attempt, hash, show: Some(show) })
            }
            Err(_) if self.shared.cancel.is_cancelled() => {
                Tried::Ended(End::Cancelled { attempt: Some(attempt) })
            }
            Err(failure) => {
                if attempt.batch {
                    let _ = self.shared.reports.send(Report::Back { slot: self.job.slot });
                }
                let reply = context.usage.take_reply();
                Tried::Failed(Failed { attempt, failure, usage, reply })
            }
        }
    }

    /// Waits for the attempt's turn: of whom it asks, where it acts on the outside, else of
    /// the process, whose cores are what it needs.
    async fn turn(
        &self,
        attempt: &Attempt,
        context: &StepContext,
    ) -> Result<(Admission, Option<SemaphorePermit<'_>>), Box<Tried>> {
        let ended = |end| Err(Box::new(Tried::Ended(end)));
        let deadline = || {
            let deadline = self.job.step().policy.deadline.unwrap_or_default();
            ended(past_deadline(deadline, self.prepared.hash))
        };
        let turn = async {
            if attempt.batch {
                Ok((Admission::free(), None))
            } else if attempt.external {
                Ok((self.prepared.action.admit(&self.prepared.input, context).await?, None))
            } else {
                let permit = self.shared.permits.acquire().await;
                Ok((Admission::free(), permit.ok()))
            }
        };
        let out_of_time = async {
            match self.left() {
                Some(left) => self.shared.clock.sleep(left).await,
                None => std::future::pending().await,
            }
        };
        let turn = tokio::select! {
            turn = turn => turn,
            () = out_of_time => return deadline(),
            () = self.shared.cancel.cancelled() => {
                return ended(End::Cancelled { attempt: None });
            }
        };
        // What waited for its turn, or overslept, has the less time.
        if self.left().is_some_and(|left| left.is_zero()) {
            return deadline();
        }
        turn.or_else(|failure| ended(End::failed(failure)))
    }

    async fn done(
        &self,
        attempt: Attempt,
        output: Value,
        usage: Option<Box<CallUsage>>,
        meta: Option<Value>,
    ) -> End {
        let packed = match self.shared.workshop.store.pack(output.clone()).await {
            Ok(packed) => packed,
            // The disk failed, not the work. The attempt counts as lost.
            Err(error) => return End::Store(error),
        };
        End::Done(Done {
            hash: attempt.hash,
            attempt: Some(attempt),
            output: Arc::new(output),
            packed: Some(packed),
            usage,
            origin: Origin::Ran,
            cache: self.shared.use_cache && self.prepared.cacheable,
            meta,
            by_path: self.prepared.by_path,
        })
    }

    /// Waits until the attempt is durable, or hears why it may not be made.
    async fn announce(&self, attempt: &Attempt, quote: Quote) -> Result<(), Failure> {
        let (answer, answered) = oneshot::channel();
        let (slot, attempt) = (self.job.slot, attempt.clone());
        let _ =
            self.shared.reports.send(Report::Announce(Announced { slot, attempt, quote, answer }));
        answered.await.unwrap_or_else(|_| Err(Failure::new(ErrorClass::Cancelled, "the run ended")))
    }

    /// Lets the action act, within its time and until somebody says stop.
    async fn act(&self, attempt: &Attempt, context: &StepContext) -> Result<Outcome, Failure> {
        let policy = &self.job.step().policy;
        let timeout = match attempt.batch {
            // What a service works through in hours has no time of its own.
            true => Duration::MAX,
            false => policy
                .timeout
                .unwrap_or_else(|| self.prepared.action.usual_timeout(&self.prepared.input)),
        };
        let limit = self.left().map_or(timeout, |left| left.min(timeout));
        let action = self.prepared.action.run(self.prepared.input.clone(), context);
        let mut action = std::pin::pin!(AssertUnwindSafe(action).catch_unwind());
        let out_of_time = self.shared.clock.sleep(limit);
        let unwound = |result: std::thread::Result<_>| {
            result.unwrap_or_else(|_| {
                let name = self.prepared.action.spec().name;
                Err(Failure::internal(format!("action `{name}` panicked")))
            })
        };
        tokio::select! {
            result = &mut action => return unwound(result),
            () = out_of_time => {}
            () = self.shared.cancel.cancelled() => {
                context.cancel.cancel();
                return tokio::select! {
                    result = &mut action => unwound(result),
                    () = self.shared.clock.sleep(GRACE) => Err(stopped()),
                };
            }
        }
        context.cancel.cancel();
        if attempt.batch {
            // It tells the service that nobody waits any more.
            tokio::select! {
                _ = &mut action => {}
                () = self.shared.clock.sleep(GRACE) => {}
            }
        }
        let (what, limit, key) = match policy.deadline {
            Some(deadline) if limit < timeout => ("the deadline of ", deadline, "deadline"),
            Some(_) | None => ("", timeout, "timeout"),
        };
        Err(Failure::new(ErrorClass::Timeout, format!("no result within {what}{limit:?}"))
            .with_hint(format!("raise `{key}` of the step, or under `defaults`")))
    }

    fn context(&self, attempt: &Attempt) -> StepContext {
        let (reports, slot, number) = (self.shared.reports.clone(), self.job.slot, attempt.number);
        let log: LogSink = Arc::new(move |text: &str| {
            let text = text.to_owned();
            let _ = reports.send(Report::Line { slot, attempt: number, text });
        });
        StepContext {
            path: self.job.path.to_string(),
            attempt: attempt.number,
            order: self.job.order,
            turn: Admission::free(),
            cancel: self.shared.cancel.child_token(),
            intake: self.shared.workshop.intake.clone(),
            uploads: Arc::clone(&self.shared.uploads),
            model: attempt.model.clone(),
            paths: self.prepared.paths.clone(),
            log,
            text: self.text(),
            earlier: self.earlier.clone(),
            require_grounded: self.prepared.grounded,
            batches: self.batches(attempt.number),
            caller: Some(Arc::new(self.caller(attempt.number))),
            usage: UsageSlot::default(),
        }
    }

    fn caller(&self, attempt: u32) -> Caller {
        Caller {
            run: self.shared.run.clone(),
            path: self.job.path.to_string(),
            attempt,
            memories: Arc::new(self.shared.workshop.store.clone()),
        }
    }

    /// What an attempt may do where its step has a deadline. Until the first of this life has
    /// failed, all of the deadline is left: what preparing took is no matter of hours.
    fn batches(&self, attempt: u32) -> Option<BatchAccess> {
        let deadline = self.job.step().policy.deadline?;
        let left = if self.made == 0 { deadline } else { self.left()? };
        let (run, path) = (self.shared.run.clone(), self.job.path.clone());
        Some(BatchAccess {
            ledger: Arc::new(self.shared.workshop.store.clone()),
            asker: Asker { run, path, attempt },
            left,
            interrupted: Arc::clone(&self.shared.interrupted),
        })
    }

    fn text(&self) -> LogSink {
        let (reports, slot) = (self.shared.reports.clone(), self.job.slot);
        Arc::new(move |text: &str| {
            let text = text.to_owned();
            let _ = reports.send(Report::Text { slot, text });
        })
    }

    /// A share of 1 that differs from attempt to attempt and is the same in every replay.
    fn jitter(&self) -> f64 {
        let name = format!("{}/{}/{}", self.shared.run, self.job.path, self.made);
        let hex = ContentHash::of_bytes(name.as_bytes()).hex();
        let bits = u32::from_str_radix(&hex[..8], 16).unwrap_or(0);
        f64::from(bits) / f64::from(u32::MAX)
    }
}

/// How one attempt came out.
enum Tried {
    Ended(End),
    Failed(Failed),
}

/// An attempt that failed, and perhaps not for good.
struct Failed {
    attempt: Attempt,
    failure: Failure,
    usage: Option<Box<CallUsage>>,
    /// What the model said, where that is what failed.
    reply: Option<String>,
}

fn stopped() -> Failure {
    Failure::new(ErrorClass::Cancelled, "the run was stopped")
}

/// The end of an instance whose time for all attempts is over before the next one begins.
fn past_deadline(deadline: Duration, hash: ContentHash) -> End {
    let message = format!("the deadline of {deadline:?} is over");
    let failure = Failure::new(ErrorClass::Timeout, message)
        .with_hint("raise `deadline` of the step, or under `defaults`");
    End::Failed { attempt: None, failure, usage: None, hash: Some(hash) }
}
