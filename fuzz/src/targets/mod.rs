//! The targets by name, each a function over bytes.

mod documents;
mod fields;
mod gguf;
mod history;
mod journal;
mod names;
mod reply;
mod schema;
mod template;
mod yaml;

pub use documents::own_panics_count;

/// Something that takes bytes from anybody.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Its name: of its corpus, its dictionary and its file in `fuzz_targets/`.
    pub name: &'static str,
    /// Panics where a promise does not hold for these bytes.
    pub check: fn(&[u8]),
    /// How many changed inputs the test tries: a second or two of them.
    pub rounds: u32,
}

/// All targets, by name.
pub const TARGETS: [Target; 12] = [
    Target { name: "fields", check: fields::fields, rounds: 1_500 },
    Target { name: "gguf", check: gguf::gguf, rounds: 20_000 },
    Target { name: "history", check: history::history, rounds: 20_000 },
    Target { name: "image", check: documents::image, rounds: 1_500 },
    Target { name: "journal", check: journal::journal, rounds: 500 },
    Target { name: "names", check: names::names, rounds: 20_000 },
    Target { name: "office", check: documents::office, rounds: 1_500 },
    Target { name: "pdf", check: documents::pdf, rounds: 600 },
    Target { name: "reply", check: reply::reply, rounds: 2_500 },
    Target { name: "schema", check: schema::schema, rounds: 3_000 },
    Target { name: "template", check: template::template, rounds: 1_500 },
    Target { name: "yaml", check: yaml::yaml, rounds: 1_500 },
];

/// Checks bytes by the target of this name.
pub fn check(name: &str, bytes: &[u8]) {
    let target = TARGETS.iter().find(|target| target.name == name).expect("a target's name");
    (target.check)(bytes);
}
