//! Answers many questions at once: continuous batching over the sequences of one context.
//!
//! A step computes one token of every answer that is being written, and with what is left of
//! the batch reads prompts. What a question has in common with what any sequence remembers is
//! not read again: it is kept where that sequence is free, and shared where it is not. A
//! question whose beginning is just being read for another one waits for that.
//!
//! An image is looked at between two steps, as a whole: the others wait so long.

use std::collections::VecDeque;
use std::sync::mpsc::{Receiver, TryRecvError};
use std::time::Instant;

use flow_core::error::{ErrorClass, Failure};
use llama_cpp_2::DecodeError;
use llama_cpp_2::context::LlamaContext;
use llama_cpp_2::llama_batch::LlamaBatch;
use llama_cpp_2::mtmd::MtmdContext;
use llama_cpp_2::token::LlamaToken;

use super::images::Images;
use super::load::{BATCH, Model};
use super::prompt::{Mark, Unit, units};
use super::sampler::{Sampler, grammar};
use super::slot::{Job, Limit, Next, Slot, cells, common, positions};
use super::tell;
use crate::protocol::{Ask, Finish, FromHost, Load, ToHost, Took};

/// Tokens of prompts that a step reads while answers are being written.
const READ_BESIDE: usize = 512;

/// Units in common that are worth waiting for until another one has read them.
const WORTH_WAITING: usize = 32;

/// What owns everything of a model.
pub(super) struct Engine<'m> {
    model: &'m Model,
    context: LlamaContext<'m>,
    eyes: Option<MtmdContext>,
    images: Images,
    slots: Vec<Slot>,
    queue: VecDeque<Job>,
    batch: LlamaBatch<'static>,
    /// Tokens of a question with its answer.
    most: u32,
    /// Tokens that all sequences remember together.
    cells: u32,
    /// Grows with every use of a slot.
    clock: u64,
}

impl<'m> Engine<'m> {
    pub(super) fn new(model: &'m Model, load: &Load) -> Result<Self, Failure> {
        let eyes = model.eyes(load)?;
        let whole = eyes.as_ref().is_some_and(MtmdContext::decode_use_non_causal);
        let context = model.context(load, whole)?;
        let slots = (0..load.sequences as i32).map(Slot::new).collect();
        Ok(Self {
            model,
            eyes,
            images: Images::default(),
            slots,
            queue: VecDeque::new(),
            batch: LlamaBatch::new(BATCH as usize, 1),
            most: load.context,
            cells: context.n_ctx().min(load.cells),
            context,
            clock: 0,
        })
    }

    /// Answers until nobody can ask any more.
    pub(super) fn run(&mut self, messages: &Receiver<ToHost>) {
        loop {
            let busy = !self.queue.is_empty() || self.slots.iter().any(|slot| slot.job.is_some());
            if !busy {
                match messages.recv() {
                    Ok(message) => self.hear(message),
                    Err(_) => return,
                }
            }
            loop {
                match messages.try_recv() {
                    Ok(message) => self.hear(message),
                    Err(TryRecvError::Empty) => break,
                    Err(TryRecvError::Disconnected) => return,
                }
            }
            self.place();
            self.step();
            self.look();
        }
    }

    fn hear(&mut self, message: ToHost) {
        match message {
            ToHost::Generate(ask) => match self.job(&ask) {
                Ok(job) => self.queue.push_back(job),
                Err(failure) => failed(ask.id, failure, Took::default()),
            },
            ToHost::Cancel { id } => {
                self.queue.retain(|job| job.id != id);
                let slots = self.slots.iter_mut();
                for slot in slots.filter(|slot| slot.job.as_ref().is_some_and(|job| job.id == id)) {
                    slot.job = None;
                }
            }
            // There is one already.
            ToHost::Load(_) => {}
        }
    }

    /// What has to be done for a question.
    fn job(&mut self, ask: &Ask) -> Result<Job, Failure> {
        let grammar = ask.schema.as_ref().map(|schema| grammar(&self.model.model, schema));
        let (grammar, also) = match (grammar, &ask.schema) {
            (Some(None), Some(schema)) => {
                let line = "no grammar can hold the answer to its schema: the model is asked for \
                            it in words, and the answer is checked"
                    .to_owned();
                tell(&FromHost::Note { id: ask.id, line });
                let also = format!(
                    "Answer with one JSON value that fits this JSON Schema, and nothing else:\n\
                     {schema}"
                );
                (None, Some(also))
            }
            (grammar, _) => (grammar.flatten(), None),
        };
        let eyes = self.eyes.as_ref();
        let prompt = units(ask, also.as_deref(), self.model, eyes, &mut self.images)?;
        let takes: u32 = prompt.iter().map(Unit::tokens).sum();
        if prompt.is_empty() {
            return Err(Failure::input("what is asked is empty"));
        }
        if takes >= self.most {
            return Err(self.too_long(takes));
        }
        let limit = Limit::of(ask.max_tokens, self.most - takes);
        let sampler = Sampler::new(&self.model.model, &ask.sampling, grammar);
        Ok(Job::new(ask.id, prompt, limit, sampler, (ask.stop.clone(), ask.anew)))
    }

    fn too_long(&self, takes: u32) -> Failure {
        let (most, name) = (self.most, &self.model.name);
        let message = format!(
            "what is asked takes {takes} tokens, {} more than fit into the context of {most} of \
             model `{name}` with a word of answer",
            takes + 1 - most,
        );
        Failure::new(ErrorClass::TooLarge, message).with_hint(
            "raise `context` in the model's `options`, or ask about fewer or smaller images at once",
        )
    }

    /// Gives sequences to those who wait, in their order.
    fn place(&mut self) {
        let mut at = 0;
        while at < self.queue.len() && self.slots.iter().any(|slot| slot.job.is_none()) {
            let job = &self.queue[at];
            let known = self.known(job);
            let longest = known.iter().copied().max().unwrap_or(0);
            let coming = self.slots.iter().filter_map(|slot| Some(&slot.job.as_ref()?.prompt));
            let coming = coming.map(|other| shared(&job.prompt, other)).max().unwrap_or(0);
            if self.model.can_cut && !job.anew && worth_waiting(&job.prompt, longest, coming) {
                at += 1;
                continue;
            }
            let Some(slot) = self.make_room(&known, self.queue[at].cells) else { return };
            let Some(job) = self.queue.remove(at) else { return };
            self.begin(slot, job, &known);
        }
    }

    /// For each sequence, how many units of a prompt it remembers and can give.
    fn known(&self, Job { prompt, anew, .. }: &Job) -> Vec<usize> {
        // Something has to be evaluated to go on from.
        let most = if *anew { 0 } else { prompt.len().saturating_sub(1) };
        let known = self.slots.iter().map(|slot| {
            let same = common(prompt, &slot.history).min(most);
            let is_whole = slot.job.is_none() && same == slot.history.len();
            if self.model.can_cut || is_whole { same } else { 0 }
        });
        known.collect()
    }

    /// A free sequence with room for so many cells; others forget for it what they can.
    fn make_room(&mut self, known: &[usize], need: u32) -> Option<usize> {
        let free = |slot: &Slot| slot.job.is_none();
        // The one that remembers most of it, where that is most of what it remembers; else the
        // one that was used longest ago.
        let best = (0..self.slots.len())
            .filter(|at| free(&self.slots[*at]) && known[*at] > 0)
            .filter(|at| known[*at] * 2 >= self.slots[*at].history.len())
            .max_by_key(|at| known[*at]);
        let source = (0..known.len()).max_by_key(|at| known[*at]).filter(|at| known[*at] > 0);
        let oldest = (0..self.slots.len())
            .filter(|at| free(&self.slots[*at]))
            .min_by_key(|at| (Some(*at) == source, self.slots[*at].used))?;
        let slot = best.unwrap_or(oldest);
        let mut others: Vec<_> = (0..self.slots.len())
            .filter(|at| {
                free(&self.slots[*at]) && *at != slot && !self.slots[*at].history.is_empty()
            })
            .collect();
        others.sort_by_key(|at| (Some(*at) == source, self.slots[*at].used));
        let taken = |slots: &[Slot]| {
            let others = slots.iter().enumerate().filter(|(at, _)| *at != slot);
            others.map(|(_, slot)| slot.cells()).sum::<u32>()
        };
        for other in others {
            if taken(&self.slots) + need <= self.cells {
                break;
            }
            self.forget(other, 0);
        }
        (taken(&self.slots) + need <= self.cells).then_some(slot)
    }

    /// Begins a job in a free sequence with what is remembered of its prompt.
    fn begin(&mut self, at: usize, mut job: Job, known: &[usize]) {
        // What was remembered may have been forgotten to make room.
        let still = |from: usize| known[from].min(self.slots[from].history.len());
        let source = (0..known.len()).max_by_key(|from| (still(*from), *from == at)).unwrap_or(at);
        let mut same = still(source);
        if source == at || same == 0 {
            same = self.forget(at, same);
        } else {
            self.forget(at, 0);
            let end = positions(&self.slots[source].history[..same]);
            let (from, to) = (self.slots[source].sequence, self.slots[at].sequence);
            match self.context.kv_cache_seq_cp(from, to, Some(0), Some(end)) {
                Ok(()) => {
                    let marks = self.slots[source].history[..same].to_vec();
                    self.slots[at].history = marks;
                }
                Err(_) => same = 0,
            }
        }
        job.took.reused = u64::from(cells(&self.slots[at].history[..same]));
        self.clock += 1;
        self.slots[at].used = self.clock;
        self.slots[at].job = Some(job);
    }

    /// Forgets what a sequence remembers after so many units; says how many are left.
    fn forget(&mut self, at: usize, keep: usize) -> usize {
        let slot = &mut self.slots[at];
        let mut keep = keep.min(slot.history.len());
        if keep < slot.history.len() {
            let from = positions(&slot.history[..keep]);
            if self.context.kv_cache_seq_rm(slot.sequence, Some(from), None).is_err() {
                // Some kinds of memory cannot be cut.
                keep = 0;
                let _ = self.context.kv_cache_seq_rm(slot.sequence, None, None);
            }
            slot.history.truncate(keep);
        }
        keep
    }

    /// Computes a token of every answer that is written, and reads prompts with what is left.
    fn step(&mut self) {
        self.batch.clear();
        // Slots that have part in it, with the index of what they go on from, if they do.
        let mut parts: Vec<Part> = Vec::new();
        for at in 0..self.slots.len() {
            let slot = &self.slots[at];
            let Some(token) = slot.job.as_ref().and_then(|job| job.last) else { continue };
            let index = self.add(at, token, slot.position(), true);
            parts.push(Part { at, read: 0, ends: Some(index) });
        }
        let writing = !parts.is_empty();
        let mut left = if writing { READ_BESIDE } else { BATCH as usize };
        for at in 0..self.slots.len() {
            if let Some(part) = self.add_prompt(at, left) {
                left -= part.read;
                parts.push(part);
            }
        }
        if parts.is_empty() {
            return;
        }
        let since = Instant::now();
        match self.context.decode(&mut self.batch) {
            Ok(()) => {
                self.context.synchronize();
                self.went_well(&parts, since);
            }
            Err(DecodeError::NoKvCacheSlot) if self.forget_idle() => {}
            Err(error) => self.went_wrong(&parts, &error),
        }
    }

    /// Adds a token to the batch, and says at which index.
    fn add(&mut self, at: usize, token: LlamaToken, position: u32, chosen_from: bool) -> i32 {
        let index = self.batch.n_tokens();
        self.batch
            .add(token, position as i32, &[self.slots[at].sequence], chosen_from)
            .expect("the batch has room for what a step adds");
        index
    }

    /// Adds the next tokens of a prompt, up to an image.
    fn add_prompt(&mut self, at: usize, most: usize) -> Option<Part> {
        let slot = &self.slots[at];
        let job = slot.job.as_ref().filter(|job| job.last.is_none())?;
        let (done, whole) = (slot.history.len(), job.prompt.len());
        let room = most.min(BATCH as usize - self.batch.n_tokens() as usize);
        let tokens: Vec<_> = job.prompt[done..]
            .iter()
            .map_while(|unit| match unit {
                Unit::Token(token) => Some(*token),
                Unit::Image(_) => None,
            })
            .take(room)
            .collect();
        let (position, mut ends) = (slot.position(), None);
        for (offset, token) in tokens.iter().enumerate() {
            let is_last = done + offset + 1 == whole;
            let index = self.add(at, *token, position + offset as u32, is_last);
            ends = is_last.then_some(index);
        }
        (!tokens.is_empty()).then_some(Part { at, read: tokens.len(), ends })
    }

    fn went_well(&mut self, parts: &[Part], since: Instant) {
        let together = parts.len() as u32;
        for part in parts {
            let slot = &mut self.slots[part.at];
            let Some(job) = &mut slot.job else { continue };
            match (part.read, job.last) {
                (0, Some(token)) => slot.history.push(Mark::Token(token.0)),
                (read, _) => {
                    let done = slot.history.len();
                    slot.history.extend(job.prompt[done..done + read].iter().map(Unit::mark));
                }
            }
            job.stepped(since, part.read as u64, together);
            if let Some(index) = part.ends {
                self.choose(part.at, index);
            }
        }
    }

    /// Chooses the next token of an answer, and tells what comes of it.
    fn choose(&mut self, at: usize, index: i32) {
        let Some(job) = &mut self.slots[at].job else { return };
        let since = Instant::now();
        let token = job.sampler.choose(&self.context, index);
        let vocab = self.model.model.vocab();
        let next = if vocab.is_eog(token) {
            Next::End(job.rest(), Finish::Stop)
        } else {
            job.take(token, &vocab.token_to_piece(token, false, None))
        };
        job.took.written.seconds += since.elapsed().as_secs_f64();
        let (id, took) = (job.id, job.took);
        match next {
            Next::More(text) => told(id, text),
            Next::End(text, finish) => {
                told(id, text);
                tell(&FromHost::Done { id, finish, took });
                self.slots[at].job = None;
            }
            Next::Wrong(text, failure) => {
                told(id, text);
                failed(id, failure, took);
                self.slots[at].job = None;
            }
        }
    }

    /// Whether sequences without a job had something to forget.
    fn forget_idle(&mut self) -> bool {
        let idle = |slot: &Slot| slot.job.is_none() && !slot.history.is_empty();
        let idle: Vec<_> = (0..self.slots.len()).filter(|at| idle(&self.slots[*at])).collect();
        idle.iter().for_each(|at| {
            self.forget(*at, 0);
        });
        !idle.is_empty()
    }

    fn went_wrong(&mut self, parts: &[Part], error: &DecodeError) {
        for part in parts {
            if let Some(job) = self.slots[part.at].job.take() {
                let message = format!("llama.cpp could not go on computing: {error}");
                failed(job.id, Failure::new(ErrorClass::Server, message), job.took);
            }
            self.forget(part.at, 0);
        }
    }

    /// Looks at the next image of a prompt that has come to one.
    fn look(&mut self) {
        let next = self.slots.iter().position(|slot| {
            let job = slot.job.as_ref().filter(|job| job.last.is_none());
            let unit = job.and_then(|job| job.prompt.get(slot.history.len()));
            matches!(unit, Some(Unit::Image(_)))
        });
        let (Some(at), Some(eyes)) = (next, self.eyes.as_mut()) else { return };
        let slot = &mut self.slots[at];
        let Some(job) = &mut slot.job else { return };
        let done = slot.history.len();
        let Some(Unit::Image(image)) = job.prompt.get(done).cloned() else { return };
        let (id, is_last) = (job.id, done + 1 == job.prompt.len());
        tell(&FromHost::Encoding { id, now: true });
        let since = Instant::now();
        let position = positions(&slot.history) as i32;
        let context = &mut self.context;
        let seen =
            image.chunks.eval_chunks(eyes, context, position, slot.sequence, BATCH as i32, is_last);
        self.context.synchronize();
        tell(&FromHost::Encoding { id, now: false });
        if let Err(error) = seen {
            slot.job = None;
            let message = format!("llama.cpp could not look at an image: {error}");
            failed(id, Failure::new(ErrorClass::Server, message), Took::default());
            self.forget_all(at);
            return;
        }
        job.took.seen.tokens += u64::from(image.tokens);
        job.took.seen.seconds += since.elapsed().as_secs_f64();
        slot.history.push(Unit::Image(image).mark());
        if is_last {
            self.choose(at, -1);
        }
    }

    /// Forgets a sequence whatever it remembers.
    fn forget_all(&mut self, at: usize) {
        let slot = &mut self.slots[at];
        slot.history.clear();
        let _ = self.context.kv_cache_seq_rm(slot.sequence, None, None);
    }
}

/// What a slot has to do with a step.
struct Part {
    at: usize,
    /// Tokens of its prompt that are read.
    read: usize,
    /// The index in the batch that its next token is chosen from.
    ends: Option<i32>,
}

/// How many units two prompts have in common.
fn shared(one: &[Unit], other: &[Unit]) -> usize {
    one.iter().zip(other).take_while(|(one, other)| one.is(&other.mark())).count()
}

/// Whether what another one is reading is worth waiting for.
fn worth_waiting(prompt: &[Unit], known: usize, coming: usize) -> bool {
    let coming = coming.min(prompt.len().saturating_sub(1));
    let Some(more) = prompt.get(known..coming) else { return false };
    more.len() >= WORTH_WAITING || more.iter().any(|unit| matches!(unit, Unit::Image(_)))
}

fn told(id: u64, text: String) {
    if !text.is_empty() {
        tell(&FromHost::Text { id, text });
    }
}

fn failed(id: u64, failure: Failure, took: Took) {
    tell(&FromHost::Failed { id, failure, took });
}
