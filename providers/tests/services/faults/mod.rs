//! The fault matrix: everything that can go wrong with an answer, for every service.
//!
//! A service says how it words things ([`Spoken`]); what can happen on the wire is the same
//! for all and is made of those words here. Each case is one attempt: it must end in the class
//! and the words that are written beside it, after exactly one request, and what came must
//! have been kept.

mod anthropic;
mod gemini;
mod ollama;
mod openai;
mod responses;

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use flow_core::error::ErrorClass;
use serde_json::{Value, json};

use crate::asking::Asking;
use crate::server::{Answer, Server, Step};

/// The key, which must be kept nowhere.
pub(crate) const KEY: &str = "key-of-the-tests";

/// How a service words things.
pub(crate) struct Spoken {
    /// Its kind.
    pub(crate) kind: &'static str,
    /// What its address ends with.
    pub(crate) path: &'static str,
    /// An answer that says this text.
    pub(crate) answer: fn(&str) -> Answer,
    /// An answer in pieces that says this text.
    pub(crate) stream: fn(&str) -> Answer,
    /// The start of an answer in pieces, after which more is to come.
    pub(crate) start: fn() -> Answer,
    /// What such an answer may hold that says nothing, about a thousand bytes of it.
    pub(crate) padding: fn() -> String,
    /// An answer that asks to slow down, without a hint for how long, and its message.
    pub(crate) limited: (fn() -> Answer, &'static str),
    /// The message of an answer that is cut within its JSON: `{"`.
    pub(crate) cut: &'static str,
    /// The message of an answer that is `<html>Hello</html>`.
    pub(crate) html: &'static str,
    /// The message of a stream that ends too early.
    pub(crate) early: &'static str,
}

/// Something that can happen, and what must come of it.
pub(crate) struct Case {
    /// What happens.
    pub(crate) name: &'static str,
    /// What the server does; nobody listens where there is none.
    pub(crate) answer: Option<Answer>,
    /// Settings of the provider, besides its address and its key.
    pub(crate) settings: Value,
    /// What is asked.
    pub(crate) input: Value,
    /// What comes of it; `{url}` in a message stands for the server's address.
    pub(crate) told: Result<Value, Fails>,
    /// The text that was told while it came, where that is looked at.
    pub(crate) heard: Option<&'static str>,
}

/// How a case fails.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Fails {
    pub(crate) class: ErrorClass,
    pub(crate) message: String,
    pub(crate) hint: Option<String>,
    pub(crate) retry_after: Option<Duration>,
}

impl Case {
    /// A plain question that is answered so, and what comes of it.
    pub(crate) fn plain(name: &'static str, answer: Answer, told: Result<Value, Fails>) -> Self {
        let (settings, input) = (json!({}), json!({ "prompt": "x" }));
        Self { name, answer: Some(answer), settings, input, told, heard: None }
    }

    /// With these settings of the provider.
    pub(crate) fn with(mut self, settings: Value) -> Self {
        self.settings = settings;
        self
    }

    /// When this is asked.
    pub(crate) fn asking(mut self, input: Value) -> Self {
        self.input = input;
        self
    }

    /// When this is told while it comes.
    pub(crate) fn hearing(mut self, text: &'static str) -> Self {
        self.heard = Some(text);
        self
    }

    /// When the answer is asked for in pieces.
    pub(crate) fn streaming(self) -> Self {
        self.asking(json!({ "prompt": "x", "options": { "stream": true } }))
    }
}

/// Fails in this class with this message.
pub(crate) fn fails(class: ErrorClass, message: &str) -> Result<Value, Fails> {
    Err(Fails { class, message: message.to_owned(), hint: None, retry_after: None })
}

/// Fails with a hint as well.
pub(crate) fn fails_with(class: ErrorClass, message: &str, hint: &str) -> Result<Value, Fails> {
    fails(class, message).map_err(|fails| Fails { hint: Some(hint.to_owned()), ..fails })
}

/// What happens on the wire, whoever is at its other end.
fn on_the_wire(of: &Spoken) -> Vec<Case> {
    use ErrorClass::{Connection, Limit, Server, Timeout};
    let reset = "provider `mine`: `{url}` broke off: Connection reset by peer (os error 104)";
    let closed = "provider `mine`: `{url}` broke off: end of file before message length reached";
    let idle = json!({ "idle_timeout": "100ms" });
    let silent = fails(Timeout, "provider `mine` sent nothing for 100ms");
    let large = fails(Limit, "provider `mine` answered more than 67108864 bytes");
    let flood = || Step::Flood(vec![b' '; 1 << 20], 65);
    let idling = (of.padding)();
    let idling = Step::Flood(idling.repeat((1 << 20) / idling.len() + 1).into_bytes(), 65);
    let mut slow = Answer { body: Vec::new(), ..(of.answer)("yes") };
    for step in (of.answer)("yes").body {
        if let Step::Send(bytes) = step {
            let pieces = bytes.chunks(16).flat_map(|piece| {
                [Step::Send(piece.to_vec()), Step::Pause(Duration::from_millis(2))]
            });
            slow.body.extend(pieces);
        }
    }
    let cut = || Answer::json(200, "{\"");
    let html = || Answer::new(200, "text/html", "<html>Hello</html>");
    // A page has no events, and its lines are no JSON.
    let page = match of.kind {
        "ollama" => fails(Server, of.html),
        _ => fails(Connection, of.early),
    };
    vec![
        Case {
            answer: None,
            ..Case::plain(
                "nobody listens",
                cut(),
                fails_with(
                    Connection,
                    "provider `mine`: cannot reach `{url}`: Connection refused (os error 111)",
                    "see that it runs, and its `base_url`",
                ),
            )
        },
        Case::plain("reset within the body", cut().then([Step::Reset]), fails(Connection, reset)),
        Case::plain("closed within the body", cut().then([Step::Close]), fails(Connection, closed)),
        Case::plain(
            "no head",
            cut().after([Step::Stall]),
            fails(Timeout, "provider `mine` did not answer within 100ms"),
        )
        .with(json!({ "timeout": "100ms" })),
        Case::plain("a stall within the body", cut().then([Step::Stall]), silent.clone())
            .with(idle.clone()),
        Case::plain("a slow body", slow, Ok(json!("yes"))),
        Case::plain("a body cut within its JSON", cut(), fails(Server, of.cut)),
        Case::plain("a page of HTML", html(), fails(Server, of.html)),
        Case::plain("a huge body", cut().then([flood()]), large.clone()),
        Case::plain("a stream", (of.stream)("yes"), Ok(json!("yes"))).streaming().hearing("yes"),
        Case::plain("a whole answer to who asked for pieces", (of.answer)("yes"), Ok(json!("yes")))
            .streaming(),
        Case::plain("a stream that is a page", html(), page).streaming(),
        Case::plain("a stream that ends early", (of.start)(), fails(Connection, of.early))
            .streaming(),
        Case::plain(
            "a stream that is reset",
            (of.start)().then([Step::Reset]),
            fails(Connection, reset),
        )
        .streaming(),
        Case::plain("a stream that stalls", (of.start)().then([Step::Stall]), silent)
            .streaming()
            .with(idle),
        Case::plain("a huge stream", (of.start)().then([idling]), large.clone()).streaming(),
        Case::plain("a huge line of a stream", (of.start)().then([flood()]), large).streaming(),
    ]
}

/// A name, header fields, and the milliseconds they ask to wait.
type Hint = (&'static str, &'static [(&'static str, &'static str)], Option<u64>);

/// Each form in which a wait is asked for.
fn hints(of: &Spoken) -> Vec<Case> {
    let (limited, message) = of.limited;
    let forms: [Hint; 5] = [
        ("429 without a wait", &[], None),
        ("429 with seconds", &[("retry-after", "7")], Some(7_000)),
        ("429 with a date", &[("retry-after", "Tue, 24 Nov 2020 12:00:00 GMT")], Some(0)),
        ("429 with milliseconds", &[("retry-after-ms", "1500")], Some(1_500)),
        ("429 with both", &[("retry-after", "2"), ("retry-after-ms", "1250")], Some(1_250)),
    ];
    let case = |(name, headers, wait): Hint| {
        let answer =
            headers.iter().fold(limited(), |answer, (field, value)| answer.with(field, value));
        let told = fails(ErrorClass::RateLimit, message)
            .map_err(|fails| Fails { retry_after: wait.map(Duration::from_millis), ..fails });
        Case::plain(name, answer, told)
    };
    forms.into_iter().map(case).collect()
}

/// Answers that are not what the schema asks for.
fn against_a_schema(of: &Spoken) -> Vec<Case> {
    let total = json!({
        "prompt": "The total?",
        "schema": {
            "type": "object",
            "properties": { "total": { "type": "number" }, "note": { "type": "string" } },
            "required": ["total"],
        },
    });
    let fits =
        |name, text: &str, told| Case::plain(name, (of.answer)(text), told).asking(total.clone());
    let invalid = |message| fails(ErrorClass::InvalidOutput, message);
    vec![
        fits("data that fits", r#"{"total": 4.5}"#, Ok(json!({ "total": 4.5 }))),
        fits(
            "null where nothing is meant",
            r#"{"total": 4.5, "note": null}"#,
            Ok(json!({ "total": 4.5 })),
        ),
        fits(
            "words instead of JSON",
            "I think 4.5",
            invalid("the answer is not JSON: expected value at line 1 column 1"),
        ),
        fits(
            "JSON that does not fit",
            r#"{"total": "4.5"}"#,
            invalid(
                "the answer does not fit the schema at `/total`: \"4.5\" is not of type \"number\"",
            ),
        ),
        fits(
            "null where something must be",
            r#"{"total": null}"#,
            invalid(
                "the answer does not fit the schema at `/total`: null is not of type \"number\"",
            ),
        ),
    ]
}

/// Holds a service to every case.
async fn hold(of: &Spoken, own: Vec<Case>) {
    hold_with(of, &json!({}), own).await;
}

/// Holds a service to every case with these settings of the provider.
async fn hold_with(of: &Spoken, settings: &Value, own: Vec<Case>) {
    let mut faults = String::new();
    let cases = [on_the_wire(of), hints(of), against_a_schema(of), own];
    for mut case in cases.into_iter().flatten() {
        let name = case.name;
        for (key, value) in settings.as_object().into_iter().flatten() {
            case.settings[key] = value.clone();
        }
        if let Err(fault) = holds(of, case).await {
            _ = writeln!(faults, "{name}: {fault}");
        }
    }
    assert!(faults.is_empty(), "{}:\n{faults}", of.kind);
}

async fn holds(of: &Spoken, case: Case) -> Result<(), String> {
    let server = match &case.answer {
        Some(answer) => Some(Server::of(vec![answer.clone()]).await),
        None => None,
    };
    let url = server.as_ref().map_or_else(Server::nowhere, Server::url);
    let mut settings = case.settings;
    settings["base_url"] = json!(format!("{url}{}", of.path));
    settings["api_key"] = json!(KEY);
    let asking = Asking::new(of.kind, &settings, "large").await;
    let outcome = asking.ask(&case.input, Path::new("")).await;
    let told = outcome.map_err(|failure| Fails {
        class: failure.class,
        message: failure.message.replace(&url, "{url}"),
        hint: failure.hint,
        retry_after: failure.retry_after,
    });
    if told != case.told {
        return Err(format!("came to {told:?}\n  instead of {:?}", case.told));
    }
    if let Some(server) = &server
        && server.received().len() != 1
    {
        return Err(format!("took {} requests", server.received().len()));
    }
    if let Some(heard) = case.heard
        && asking.log().concat() != heard
    {
        return Err(format!("told {:?} while it came", asking.log()));
    }
    // An answer that came to its end is kept, whatever was made of it.
    let whole = case.answer.filter(|answer| answer.before.iter().chain(&answer.body).all(is_sent));
    if let Some(answer) = whole {
        let kept = asking.usage().await.ok_or("left nothing behind")?.1;
        let sent: Vec<u8> = answer.body.into_iter().flat_map(bytes).collect();
        let sent = String::from_utf8_lossy(&sent).replace(KEY, "[secret]").into_bytes();
        let streamed = case.input["options"]["stream"] == json!(true);
        if kept != sent && !streamed {
            return Err(format!("kept {:?}", String::from_utf8_lossy(&kept)));
        }
    }
    Ok(())
}

fn is_sent(step: &Step) -> bool {
    matches!(step, Step::Send(_) | Step::Pause(_))
}

fn bytes(step: Step) -> Vec<u8> {
    match step {
        Step::Send(bytes) => bytes,
        Step::Flood(..)
        | Step::Pause(_)
        | Step::Stall
        | Step::Meet(_)
        | Step::Close
        | Step::Reset => Vec::new(),
    }
}
