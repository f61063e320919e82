//! A question about many documents that is asked in parts.
//!
//! ```text
//!   all documents ── as many as surely fit ──▶ model ── a record each ──▶ kept, go on
//!                                                │ some are missing: those are asked for again
//!                                                │ cut, too large, no data
//!                                    two halves, each asked for by itself
//!                                                │ one document is left
//!                                       it has failed, with why; go on
//! ```
//!
//! Every part is an attempt of the step, and what it answered is kept by the identity of what was
//! asked: a life of the run that follows pays for none of it again. What is wrong with a service
//! rather than with a document (no key, no budget, no connection) ends the step.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use serde_json::{Value, json};

use crate::content::ContentHash;
use crate::engine::identity;
use crate::engine::prepare::{Parting, Prepared};
use crate::engine::reuse::cached;
use crate::engine::runner::{Answered, Attempts, Done, End, Job, Report, Shared};
use crate::error::{ErrorClass, Failure};
use crate::state::Origin;

/// The most documents of a part whose model's size nobody knows.
const UNMEASURED: usize = 10;

/// How many documents a service may refuse before one is read: then it is no matter of documents.
const REFUSED: usize = 3;

/// The most documents of a part.
const MOST: usize = 200;

/// Runs an instance to its end.
///
/// Dropping the future stops the work where it stands, like a crash of the process would.
pub(super) async fn run(
    shared: &Arc<Shared>,
    job: &Job,
    prepared: &Prepared,
    parting: &Parting,
) -> End {
    let work = Work { shared, job, prepared, parting };
    match work.run().await {
        Ok(end) | Err(end) => *end,
    }
}

struct Work<'a> {
    shared: &'a Arc<Shared>,
    job: &'a Job,
    prepared: &'a Prepared,
    parting: &'a Parting,
}

/// An end that comes before every document was asked for.
type Early = Box<End>;

/// What became of the documents so far, by their place.
#[derive(Default)]
struct Records {
    read: BTreeMap<usize, Value>,
    failed: BTreeMap<usize, Failure>,
    parts: u32,
}

impl Work<'_> {
    async fn run(&self) -> Result<Box<End>, Early> {
        let mut records = Records::default();
        let mut attempts = Attempts::new(self.shared, self.job, self.prepared);
        let mut waiting: VecDeque<usize> = (0..self.parting.documents.len()).collect();
        while !waiting.is_empty() {
            let fitting = self.fitting(waiting.make_contiguous())?;
            let part: Vec<_> = waiting.drain(..fitting).collect();
            let mut halves = vec![part];
            while let Some(part) = halves.pop() {
                let (question, hash) = self.question(&part)?;
                let mut next = attempts.then(&question);
                let answer = self.answer(&mut next, &question, hash, part.len()).await;
                let made = next.made;
                attempts.made = made;
                match answer? {
                    Ok(answer) => {
                        records.parts += 1;
                        let missing = records.take(&part, &answer[self.parting.into.as_str()]);
                        if missing.len() < part.len() {
                            halves.extend((!missing.is_empty()).then_some(missing));
                        } else {
                            self.split(part, no_record(), &mut halves, &mut records)?;
                        }
                    }
                    Err(failure) => self.split(part, failure, &mut halves, &mut records)?,
                }
            }
        }
        self.done(records, attempts.made).await
    }

    /// How many of the documents that wait surely fit into one question.
    fn fitting(&self, waiting: &[usize]) -> Result<usize, Early> {
        let Some(model) = self.prepared.models.first() else {
            return Err(Box::new(End::failed(Failure::internal("the step names no model"))));
        };
        let folder = &self.prepared.paths.folder;
        let (mut fits, mut beyond) = (1, waiting.len().min(MOST) + 1);
        while beyond - fits > 1 {
            let tried = usize::midpoint(fits, beyond);
            let request = self.request(&waiting[..tried])?;
            match self.parting.asks_by.fits(&request, model, folder) {
                None => return Ok(waiting.len().min(UNMEASURED)),
                Some(true) => fits = tried,
                Some(false) => beyond = tried,
            }
        }
        Ok(fits)
    }

    fn request(&self, part: &[usize]) -> Result<Value, Early> {
        let Parting { task, given, key, documents, .. } = self.parting;
        let mut given = given.clone();
        given[key] = part.iter().map(|at| documents[*at].clone()).collect();
        task.request(&given).map_err(|failure| Box::new(End::failed(failure)))
    }

    fn question(&self, part: &[usize]) -> Result<(Prepared, ContentHash), Early> {
        let input = self.request(part)?;
        let question = self.prepared.asking(Arc::clone(&self.parting.asks_by), input);
        let Prepared { action, models, input, .. } = &question;
        let hash = identity::of_action(&**action, models, input, None, false);
        Ok((question, hash))
    }

    /// The answer about a part, or why there is none that another question may change.
    async fn answer(
        &self,
        attempts: &mut Attempts<'_>,
        question: &Prepared,
        hash: ContentHash,
        documents: usize,
    ) -> Result<Result<Arc<Value>, Failure>, Early> {
        let known = cached(self.shared, question, hash).await;
        if let Some(End::Done(done)) = known.map_err(|error| Box::new(End::Store(error)))? {
            return Ok(Ok(done.output));
        }
        match attempts.run().await {
            End::Done(done) => {
                self.answered(&done, hash);
                Ok(Ok(done.output))
            }
            End::Failed { attempt: Some(attempt), failure, usage, .. }
                if is_of_documents(failure.class, documents) =>
            {
                let (slot, wait) = (self.job.slot, std::time::Duration::ZERO);
                let told = failure.clone();
                let report = Report::Retry { slot, attempt, failure, usage, wait };
                // The driver is gone only when the run is being dropped.
                let _ = self.shared.reports.send(report);
                Ok(Err(told))
            }
            end => Err(Box::new(end)),
        }
    }

    fn answered(&self, done: &Done, hash: ContentHash) {
        let Some(attempt) = done.attempt.clone() else { return };
        let answered = Answered {
            slot: self.job.slot,
            attempt,
            hash,
            packed: done.packed.clone(),
            usage: done.usage.clone(),
            meta: done.meta.clone(),
            cache: done.cache,
        };
        let _ = self.shared.reports.send(Report::Answered(Box::new(answered)));
    }

    /// Halves a part that could not be read at once; of one document it is the end. Where nothing
    /// could be read and the service takes no question, that is of the step.
    fn split(
        &self,
        mut part: Vec<usize>,
        failure: Failure,
        halves: &mut Vec<Vec<usize>>,
        records: &mut Records,
    ) -> Result<(), Early> {
        if let [only] = part.as_slice() {
            let refused = matches!(failure.class, ErrorClass::BadRequest | ErrorClass::Input);
            if refused && records.read.is_empty() && records.failed.len() + 1 >= REFUSED {
                let hash = Some(self.prepared.hash);
                let end = End::Failed { attempt: None, failure, usage: None, hash };
                return Err(Box::new(end));
            }
            records.failed.insert(*only, failure);
            return Ok(());
        }
        let text =
            format!("{} documents are asked for in two parts: {}", part.len(), failure.message);
        let attempt = self.job.earlier_attempts();
        let _ = self.shared.reports.send(Report::Line { slot: self.job.slot, attempt, text });
        let later = part.split_off(part.len().div_ceil(2));
        halves.extend([later, part]);
        Ok(())
    }

    async fn done(&self, records: Records, made: u32) -> Result<Box<End>, Early> {
        let Records { read, failed, parts } = records;
        if let (true, Some(first)) = (read.is_empty(), failed.values().next()) {
            // Every attempt was told of as it ended.
            let (failure, hash) = (first.clone(), Some(self.prepared.hash));
            return Ok(Box::new(End::Failed { attempt: None, failure, usage: None, hash }));
        }
        let whole = failed.is_empty();
        let named = |(at, failure): (usize, Failure)| {
            json!({
                "document": at + 1,
                "name": self.parting.documents[at].get("name"),
                "class": failure.class.as_str(),
                "message": failure.message,
            })
        };
        let failed: Vec<Value> = failed.into_iter().map(named).collect();
        let meta = Some(json!({ "parts": parts, "failed": failed.len() }));
        let read: Vec<Value> = read.into_values().collect();
        let output = json!({ (self.parting.into.clone()): read, "failed": failed });
        let packed = self.shared.workshop.store.pack(output.clone()).await;
        let packed = packed.map_err(|error| Box::new(End::Store(error)))?;
        Ok(Box::new(End::Done(Done {
            attempt: None,
            hash: self.prepared.hash,
            output: Arc::new(output),
            packed: Some(packed),
            usage: None,
            origin: if made == 0 { Origin::Cache } else { Origin::Ran },
            // A document that failed is asked for again by who asks again.
            cache: whole && self.shared.use_cache && self.prepared.cacheable,
            meta,
            by_path: self.prepared.by_path,
        })))
    }
}

impl Records {
    /// Takes the records of an answer, and says which documents of the part have none: those
    /// that are not named, and those that are named twice.
    fn take(&mut self, part: &[usize], records: &Value) -> Vec<usize> {
        let records = records.as_array();
        let mut missing = Vec::new();
        for (number, at) in (1_u64..).zip(part) {
            let own = |record: &&Value| record["document"] == number;
            let mut named = records.into_iter().flatten().filter(own);
            match (named.next(), named.next()) {
                (Some(record), None) => {
                    let mut record = record.clone();
                    record["document"] = json!(at + 1);
                    self.read.insert(*at, record);
                }
                _ => missing.push(*at),
            }
        }
        missing
    }
}

/// Whether a failure may be of the documents that were asked about rather than of the service.
/// Of several, fewer may do; of one, another document may.
fn is_of_documents(class: ErrorClass, documents: usize) -> bool {
    match class {
        ErrorClass::TooLarge
        | ErrorClass::BadRequest
        | ErrorClass::Input
        | ErrorClass::Refusal
        | ErrorClass::ContentFilter
        | ErrorClass::Truncated
        | ErrorClass::Empty
        | ErrorClass::InvalidOutput => true,
        // Too much to be answered in time.
        ErrorClass::Timeout => documents > 1,
        ErrorClass::RateLimit
        | ErrorClass::Quota
        | ErrorClass::Overloaded
        | ErrorClass::Connection
        | ErrorClass::Server
        | ErrorClass::Auth
        | ErrorClass::NotFound
        | ErrorClass::Limit
        | ErrorClass::Plugin
        | ErrorClass::Budget
        | ErrorClass::Io
        | ErrorClass::Cancelled
        | ErrorClass::Internal => false,
    }
}

fn no_record() -> Failure {
    Failure::new(ErrorClass::InvalidOutput, "the answer has no record of its own for it")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_counts_once_and_under_the_number_of_its_document() {
        let mut records = Records::default();
        let record = |number: u64| json!({ "document": number, "record": number * 10 });
        let answer = json!([record(3), record(1), record(2), record(2), record(9)]);
        let missing = records.take(&[4, 5, 6, 7], &answer);
        assert_eq!(missing, [5, 7]);
        assert_eq!(records.read[&4], json!({ "document": 5, "record": 10 }));
        assert_eq!(records.read[&6], json!({ "document": 7, "record": 30 }));
        assert_eq!(records.take(&[5], &json!([])), [5]);
    }
}
