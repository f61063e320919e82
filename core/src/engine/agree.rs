//! A step that two models must agree on.
//!
//! ```text
//!   first model, all fields ── nothing open ───────────────────────────────▶ done
//!            │ some of `on` are unsure
//!   second model, those fields alone ── the same values ──────────────────▶ done
//!            │ others
//!   a person is shown both ── sets the fields ── the first answer with them ▶ done
//! ```
//!
//! Both models' attempts are attempts of the step, with its retries, its budget and its deadline.
//! What a model has answered is kept by the identity of what it was asked, in the step cache: a
//! life of the run that follows, and a run that asks the same, pays for neither again. The second
//! model does not see what the first one said.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::agreement::{Agreement, Doubt};
use crate::content::ContentHash;
use crate::engine::identity;
use crate::engine::prepare::{Agreeing, Prepared};
use crate::engine::reuse::cached;
use crate::engine::runner::{Answered, Attempts, Done, End, Job, Report, Shared};
use crate::error::Failure;
use crate::language::ModelChoice;
use crate::state::Origin;
use crate::store::StoreError;

/// Runs an instance to its end.
///
/// Dropping the future stops the work where it stands, like a crash of the process would.
pub(super) async fn run(
    shared: &Arc<Shared>,
    job: &Job,
    prepared: &Prepared,
    agreeing: &Agreeing,
) -> End {
    let Some(agreement) = prepared.action.agreement() else {
        return End::failed(Failure::internal("the action asks no model"));
    };
    let work = Work { shared, job, prepared, agreeing, agreement };
    match work.run().await {
        Ok(end) | Err(end) => *end,
    }
}

struct Work<'a> {
    shared: &'a Arc<Shared>,
    job: &'a Job,
    prepared: &'a Prepared,
    agreeing: &'a Agreeing,
    agreement: &'a dyn Agreement,
}

/// An end that comes before the answer that was waited for.
type Early = Box<End>;

impl Work<'_> {
    async fn run(&self) -> Result<Box<End>, Early> {
        let mut attempts = Attempts::new(self.shared, self.job, self.prepared);
        let first = self.answer(&mut attempts, self.prepared, self.agreeing.first).await?;
        let on = &self.agreeing.agree.on;
        let known = first.meta.as_ref();
        let doubts = self.agreement.doubts(&self.prepared.input, &first.output, known, on);
        let doubts = doubts.map_err(|failure| Box::new(End::failed(failure)))?;
        if doubts.is_empty() {
            return Ok(self.done(first, None, &doubts, attempts.made));
        }
        let fields: Vec<_> = doubts.iter().map(|doubt| doubt.field.clone()).collect();
        let (number, first) = (attempts.made, self.answered(first, self.agreeing.first));
        self.tell(number, &doubts);

        let narrowed = self.prepared.narrowed(self.agreeing, self.agreement, &fields);
        let hash = identity_of(&narrowed);
        let mut attempts = attempts.then(&narrowed);
        let second = self.answer(&mut attempts, &narrowed, hash).await?;
        let differ = |field: &&String| {
            !self.agreement.same(&first.output[field.as_str()], &second.output[field.as_str()])
        };
        let disputed: Vec<_> = fields.iter().filter(differ).cloned().collect();
        if disputed.is_empty() {
            return Ok(self.done(first, Some(second), &doubts, attempts.made));
        }
        let made = attempts.made;
        let second = self.answered(second, hash);
        let show = self.question(&first, &second, &doubts, &disputed);
        let attempt = self.number(made).saturating_add(1);
        Ok(Box::new(End::Asked { attempt, hash: self.prepared.hash, show: Some(show) }))
    }

    /// What a model says to a question: what it said before, or what it is asked for now.
    async fn answer(
        &self,
        attempts: &mut Attempts<'_>,
        question: &Prepared,
        hash: ContentHash,
    ) -> Result<Done, Early> {
        let of_store = |error: StoreError| Box::new(End::Store(error));
        match cached(self.shared, question, hash).await.map_err(of_store)? {
            Some(End::Done(done)) => Ok(done),
            Some(_) | None => match attempts.run().await {
                End::Done(done) => Ok(done),
                end => Err(Box::new(end)),
            },
        }
    }

    /// Reports that an attempt has an answer which settles not all. What was known before was
    /// reported then.
    fn answered(&self, mut done: Done, hash: ContentHash) -> Done {
        if let Some(attempt) = done.attempt.take() {
            let answered = Answered {
                slot: self.job.slot,
                attempt,
                hash,
                packed: done.packed.clone(),
                usage: done.usage.take(),
                meta: done.meta.clone(),
                cache: done.cache,
            };
            // The driver is gone only when the run is being dropped.
            let _ = self.shared.reports.send(Report::Answered(Box::new(answered)));
        }
        done
    }

    /// The end of a step whose fields are settled by the `made` attempts of this life: the first
    /// answer, and the attempt that settled it.
    fn done(&self, first: Done, second: Option<Done>, doubts: &[Doubt], made: u32) -> Box<End> {
        let meta = Some(self.meta(first.meta.as_ref(), doubts, &[]));
        let hash = self.prepared.hash;
        let origin = if made == 0 { Origin::Cache } else { Origin::Ran };
        let (attempt, usage) = match second {
            Some(second) => (second.attempt, second.usage),
            None => (first.attempt, first.usage),
        };
        // What two answers that were known before come to is worth keeping as well.
        let cache = self.shared.use_cache && self.prepared.cacheable;
        let by_path = self.prepared.by_path;
        Box::new(End::Done(Done { attempt, hash, usage, origin, cache, meta, by_path, ..first }))
    }

    /// What is known of the first answer, and of how it was settled.
    fn meta(&self, known: Option<&Value>, doubts: &[Doubt], disputed: &[String]) -> Value {
        let mut meta =
            known.filter(|known| known.is_object()).cloned().unwrap_or_else(|| json!({}));
        let asked: serde_json::Map<_, _> =
            doubts.iter().map(|doubt| (doubt.field.clone(), doubt.why.into())).collect();
        let models = [&self.prepared.models, &self.agreeing.agree.second].map(|of| names(of));
        meta["agree"] = json!({ "models": models, "asked": asked, "disputed": disputed });
        meta
    }

    /// What a person is shown: the fields that two models read differently.
    fn question(
        &self,
        first: &Done,
        second: &Done,
        doubts: &[Doubt],
        disputed: &[String],
    ) -> Value {
        let [one, other] = [&self.prepared.models, &self.agreeing.agree.second].map(|of| names(of));
        let said = |field: &String| {
            let values = json!([
                { "model": one, "value": first.output[field.as_str()] },
                { "model": other, "value": second.output[field.as_str()] },
            ]);
            (field.clone(), values)
        };
        let shown: serde_json::Map<_, _> = disputed.iter().map(said).collect();
        let schema = self.agreement.narrowed(&self.prepared.input, disputed)["schema"].take();
        let meta = self.meta(first.meta.as_ref(), doubts, disputed);
        let meta = self.agreement.corrected(meta, disputed);
        json!({
            "question": format!("two models differ on {}: what is right?", listed(disputed)),
            "show": shown,
            "output_schema": schema,
            "agree": { "answer": first.output, "meta": meta },
        })
    }

    /// Number of the `made`th attempt of this life.
    fn number(&self, made: u32) -> u32 {
        self.job.earlier_attempts().saturating_add(made)
    }

    fn tell(&self, made: u32, doubts: &[Doubt]) {
        let fields: Vec<_> =
            doubts.iter().map(|doubt| format!("`{}` ({})", doubt.field, doubt.why)).collect();
        let model = names(&self.agreeing.agree.second);
        let text = format!("asks {model} about {}", fields.join(", "));
        let (slot, attempt) = (self.job.slot, self.number(made));
        let _ = self.shared.reports.send(Report::Line { slot, attempt, text });
    }
}

/// The first answer with what a person set in it, and what is known of it; none where the
/// question was another.
pub(super) fn settled(show: &Value, output: &Value) -> Option<(Value, Value)> {
    let kept = show.get("agree")?;
    let mut whole = kept["answer"].clone();
    for (field, value) in output.as_object()? {
        whole[field.as_str()] = value.clone();
    }
    Some((whole, kept["meta"].clone()))
}

fn identity_of(question: &Prepared) -> ContentHash {
    let Prepared { action, models, input, grounded, .. } = question;
    identity::of_action(&**action, models, input, None, *grounded)
}

fn names(chain: &[ModelChoice]) -> String {
    let names: Vec<_> = chain.iter().map(|m| format!("{}/{}", m.provider, m.model)).collect();
    names.join(", ")
}

fn listed(fields: &[String]) -> String {
    fields.iter().map(|field| format!("`{field}`")).collect::<Vec<_>>().join(", ")
}
