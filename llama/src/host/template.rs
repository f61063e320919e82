//! From a conversation to the text that a model was trained to go on with.
//!
//! The template of the file is a Jinja program, and is run as one. Where it cannot be run,
//! llama.cpp may know its like; where the file has none, a model that sees is spoken to as the
//! first ones of those were, and a model of text is given the text as it stands.

use flow_core::error::Failure;
use flow_core::provider::Role;
use llama_cpp_2::model::{LlamaChatMessage, LlamaChatTemplate, LlamaModel};
use minijinja_chat::{Environment, Error, ErrorKind, context};
use serde_json::{Value, json};

use crate::protocol::Load;

/// Instructions that a template may execute: enough for long conversations.
const FUEL: u64 = 20_000_000;

/// How a model without a template is spoken to that sees.
const FIRST_WITH_EYES: &str = "vicuna";

/// A turn with its text.
pub(super) type Said = (Role, String);

/// How a model is spoken to.
pub(super) struct Template {
    kind: Kind,
    bos: String,
    eos: String,
}

enum Kind {
    Jinja {
        environment: Box<Environment<'static>>,
        /// Whether what is said has to be a list of parts.
        in_parts: bool,
        /// Whether there is a place for system text.
        takes_system: bool,
        /// The same template for llama.cpp, should it be one that it knows.
        known: Option<LlamaChatTemplate>,
    },
    Named(LlamaChatTemplate),
    Plain,
}

impl Template {
    pub(super) fn of(model: &LlamaModel, load: &Load) -> Result<Self, Failure> {
        let vocab = model.vocab();
        let text = |token| {
            vocab.text(token).map(|text| text.to_string_lossy().into_owned()).unwrap_or_default()
        };
        let (bos, eos) = (text(vocab.bos()), text(vocab.eos()));
        let named = |name: &str| {
            LlamaChatTemplate::new(name)
                .map_err(|_| Failure::input(format!("`chat_template: {name}` is no name")))
        };
        let kind = match (&load.chat_template, model.chat_template(None).ok()) {
            (Some(name), _) => Kind::Named(named(name)?),
            (None, Some(own)) => {
                let source = own.to_string().unwrap_or_default();
                Self::jinja(&source, &bos, &eos, own)
            }
            (None, None) if load.projector.is_some() => Kind::Named(named(FIRST_WITH_EYES)?),
            (None, None) => Kind::Plain,
        };
        Ok(Self { kind, bos, eos })
    }

    fn jinja(source: &str, bos: &str, eos: &str, own: LlamaChatTemplate) -> Kind {
        let mut environment = Environment::new();
        environment.set_trim_blocks(true);
        environment.set_lstrip_blocks(true);
        environment.set_fuel(Some(FUEL));
        environment
            .set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
        environment.add_function("raise_exception", |why: String| -> Result<String, Error> {
            Err(Error::new(ErrorKind::InvalidOperation, why))
        });
        if environment.add_template_owned("chat", source.to_owned()).is_err() {
            return Kind::Named(own);
        }
        let shows = |messages: Value| {
            run(&environment, &messages, bos, eos).is_ok_and(|text| text.contains(PROBE))
        };
        let in_parts = !shows(json!([{ "role": "user", "content": PROBE }]))
            && shows(json!([{ "role": "user", "content": [{ "type": "text", "text": PROBE }] }]));
        let takes_system =
            shows(json!([message("system", PROBE, in_parts), message("user", "?", in_parts),]));
        let known = Some(own);
        Kind::Jinja { environment: Box::new(environment), in_parts, takes_system, known }
    }

    /// The text of a conversation, up to where the model goes on.
    pub(super) fn apply(
        &self,
        model: &LlamaModel,
        system: Option<&str>,
        turns: &[Said],
    ) -> Result<String, Failure> {
        let text = match &self.kind {
            Kind::Jinja { environment, in_parts, takes_system, known } => {
                let messages = messages(system, turns, *in_parts, *takes_system);
                match (run(environment, &messages, &self.bos, &self.eos), known) {
                    (Ok(text), _) => text,
                    (Err(error), Some(known)) => {
                        recognised(model, known, system, turns).map_err(|_| refused(&error))?
                    }
                    (Err(error), None) => return Err(refused(&error)),
                }
            }
            Kind::Named(known) => recognised(model, known, system, turns)?,
            Kind::Plain => {
                let said = system.into_iter().chain(turns.iter().map(|(_, text)| text.as_str()));
                said.collect::<Vec<_>>().join("\n")
            }
        };
        // The tokenizer adds it.
        let adds = model.vocab().should_add_bos() && !self.bos.is_empty();
        let bare = adds.then(|| text.strip_prefix(&self.bos)).flatten().map(str::to_owned);
        Ok(bare.unwrap_or(text))
    }
}

/// What is looked for in what a template makes.
const PROBE: &str = "flow-looks-for-this";

fn message(role: &str, text: &str, in_parts: bool) -> Value {
    match in_parts {
        true => json!({ "role": role, "content": [{ "type": "text", "text": text }] }),
        false => json!({ "role": role, "content": text }),
    }
}

/// Messages as templates take them. Where there is no place for system text, it stands before
/// what is asked first.
fn messages(system: Option<&str>, turns: &[Said], in_parts: bool, takes_system: bool) -> Value {
    let mut before = system.filter(|_| !takes_system);
    let own = system.filter(|_| takes_system).map(|text| message("system", text, in_parts));
    let said = turns.iter().map(|(role, text)| match (role, before.take()) {
        (Role::User, Some(system)) => message("user", &format!("{system}\n\n{text}"), in_parts),
        (Role::Assistant, Some(system)) => {
            before = Some(system);
            message("assistant", text, in_parts)
        }
        (Role::User, None) => message("user", text, in_parts),
        (Role::Assistant, None) => message("assistant", text, in_parts),
    });
    let said: Vec<_> = said.collect();
    own.into_iter().chain(said).collect()
}

fn run(
    environment: &Environment<'_>,
    messages: &Value,
    bos: &str,
    eos: &str,
) -> Result<String, Error> {
    environment.get_template("chat")?.render(context! {
        messages => messages,
        bos_token => bos,
        eos_token => eos,
        add_generation_prompt => true,
    })
}

/// The text that llama.cpp makes with a template that it knows.
fn recognised(
    model: &LlamaModel,
    template: &LlamaChatTemplate,
    system: Option<&str>,
    turns: &[Said],
) -> Result<String, Failure> {
    let unknown = || {
        let name = template.to_str().unwrap_or_default();
        let short = if name.len() < 40 { format!("`{name}`") } else { "of the file".to_owned() };
        Failure::input(format!("llama.cpp does not know the chat template {short}"))
            .with_hint("set `chat_template` in the model's `options`, e.g. `chatml` or `vicuna`")
    };
    let system = system.map(|text| ("system", text));
    let said = turns.iter().map(|(role, text)| match role {
        Role::User => ("user", text.as_str()),
        Role::Assistant => ("assistant", text.as_str()),
    });
    let chat = system.into_iter().chain(said).map(|(role, text)| {
        LlamaChatMessage::new(role.to_owned(), text.to_owned())
            .map_err(|_| Failure::input("what is asked holds a zero byte"))
    });
    let chat = chat.collect::<Result<Vec<_>, _>>()?;
    model.apply_chat_template(template, &chat, true).map_err(|_| unknown())
}

fn refused(error: &Error) -> Failure {
    let why = error.detail().map_or_else(|| error.to_string(), str::to_owned);
    Failure::input(format!("the model's chat template refuses this conversation: {why}"))
        .with_hint("set `chat_template` in the model's `options`, e.g. `chatml`")
}
