//! What our models say is what llama.cpp's own command says with the same files: greedy, token
//! by token.
//!
//! `expected.json` holds what the command said. Where the command was built
//! (`scripts/build-llama-tools`), it is asked again; with `RECORD_LLAMA=1` the file is written.

use std::io::{BufReader, Read, Write};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use super::{MODELS, replies, world};
use crate::support::{self, World};

/// Tokens of an answer.
const TOKENS: u32 = 32;

/// Models, what they are shown, and what they are asked.
const CASES: &[(&str, &str, &str, &[&str], &str)] = &[
    ("llava", "llava", "llava", &["square"], "What is this?"),
    ("llava", "llava", "llava", &["wide", "square"], "What is the difference?"),
    ("llava", "llava", "llava", &["small"], "Describe all of it, in 7 words."),
    ("llava16", "llava", "llava16", &["wide"], "What is this?"),
    ("llava16", "llava", "llava16", &["small", "wide"], "Which of them is larger?"),
    ("qwen2vl", "qwen2vl", "qwen2vl", &["square"], "What is this?"),
    ("qwen2vl", "qwen2vl", "qwen2vl", &["wide", "small"], "And now?"),
    ("qwen2vl", "qwen2vl", "qwen2vl", &["small"], "これは何ですか。"),
];

/// Texts of control tokens, which the command prints and nobody wants to read.
const CONTROL: &[&str] = &[
    "<|endoftext|>",
    "<|im_start|>",
    "<|im_end|>",
    "<|vision_start|>",
    "<|vision_end|>",
    "<|image_pad|>",
    "<s>",
    "</s>",
    "<unk>",
];

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn greedy_answers_are_those_of_llama_cpp() {
    let world = world();
    let mut steps = String::new();
    for (at, (model, _, _, images, prompt)) in CASES.iter().enumerate() {
        let images: Vec<_> = images.iter().map(|image| format!("{image}.png")).collect();
        let with = json!({ "images": images, "prompt": prompt, "max_tokens": TOKENS, "temperature": 0, "seed": 1 });
        // One after the other, and with a seed: sums of another batch may differ in the last bit.
        let needs = at.checked_sub(1).map(|before| format!("needs: [s{before}], "));
        let needs = needs.unwrap_or_default();
        steps.push_str(&format!(
            "  - {{id: s{at}, {needs}uses: model.generate, model: {model}, retry: {{attempts: 1}}, \
             on_error: continue, with: {with}}}\n"
        ));
    }
    world.write("w.yaml", &format!("name: w{MODELS}steps:\n{steps}"));
    let run = world.flow(&["run", "w.yaml", "--json"]).exits(0).run();
    let file = root().join("tests/llama/expected.json");
    let expected: Vec<Value> = match live(&world) {
        None => serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap(),
        Some(live) => live,
    };
    if std::env::var_os("RECORD_LLAMA").is_some() {
        let written = serde_json::to_string_pretty(&expected).unwrap() + "\n";
        std::fs::write(&file, written).unwrap();
    }
    assert_eq!(expected.len(), CASES.len());
    for (at, expected) in expected.iter().enumerate() {
        let [reply] = replies(&world, &run, &format!("s{at}")).try_into().unwrap();
        let said = json!({ "prompt": CASES[at].4, "text": reply["text"].as_str().unwrap().trim() });
        assert_eq!(&said, expected, "case {at}: {:?}", CASES[at]);
    }
}

/// What the command says, where it was built.
fn live(world: &World) -> Option<Vec<Value>> {
    let target =
        std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from);
    let command = target.join("llama-tools/llama-mtmd-cli");
    if !command.is_file() {
        support::say("llama.cpp's own command is not there: what it once said is compared with");
        return None;
    }
    let said = CASES.iter().map(|(_, text, projector, images, prompt)| {
        let model = |name: String| world.path("models").join(name);
        let mut asked = Command::new(&command);
        asked.arg("-m").arg(model(format!("{text}.gguf")));
        asked.arg("--mmproj").arg(model(format!("mmproj-{projector}.gguf")));
        asked.args(["--jinja", "--temp", "0", "-t", "1", "-c", "1024", "-ngl", "0", "--no-warmup"]);
        asked.args(["-n", &TOKENS.to_string()]);
        let images: Vec<_> =
            images.iter().map(|image| world.path(&format!("{image}.png"))).collect();
        json!({ "prompt": prompt, "text": plain(chatted(&mut asked, &images, prompt)) })
    });
    Some(said.collect())
}

/// What stands before everything that is typed in a chat.
const PROMPT: &[u8] = b"\n> ";

/// What the command answers in a chat. It is not asked by its arguments, for then it ends before
/// it has written all of what it says.
fn chatted(asked: &mut Command, images: &[PathBuf], prompt: &str) -> Vec<u8> {
    let asked = asked.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = asked.spawn().unwrap();
    let mut typed = images
        .iter()
        .fold(String::new(), |typed, image| typed + &format!("/image {}\n", image.display()));
    typed.push_str(&format!("{prompt}\n"));
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(typed.as_bytes()).unwrap();
    let (mut said, mut byte) = (Vec::new(), [0]);
    let mut prompts = Vec::new();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    while prompts.len() < images.len() + 2 {
        stdout.read_exact(&mut byte).unwrap();
        said.push(byte[0]);
        if said.ends_with(PROMPT) {
            prompts.push(said.len());
        }
    }
    drop(stdin);
    child.kill().unwrap();
    child.wait().unwrap();
    let [.., begin, end] = prompts[..] else { panic!("{prompts:?}") };
    let said = &said[begin..end - PROMPT.len()];
    // What was typed may be shown before the answer.
    said.strip_prefix(prompt.as_bytes()).unwrap_or(said).to_vec()
}

/// A text without control tokens, and without the spaces around it.
fn plain(mut bytes: Vec<u8>) -> String {
    // A letter may go on behind a control token.
    for control in CONTROL {
        while let Some(at) =
            bytes.windows(control.len()).position(|found| found == control.as_bytes())
        {
            bytes.drain(at..at + control.len());
        }
    }
    String::from_utf8_lossy(&bytes).trim().to_owned()
}

#[test]
fn with_a_seed_and_alone_answers_are_the_same_each_time() {
    let world = world();
    let steps = |model: &str| {
        format!(
            "name: w{MODELS}steps:\n  - {{id: s, for_each: 8, uses: model.generate, model: {model}, retry: {{attempts: 1}}, on_error: continue, cache: false, \
             with: {{prompt: \"Say it {{{{ item % 2 }}}} times\", max_tokens: 24, temperature: 0.8, seed: 7}}}}\n"
        )
    };
    world.write("w.yaml", &steps("alone"));
    let run = world.flow(&["run", "w.yaml", "--json"]).exits(0).run();
    let shown = world.flow(&["show", &run, "--step", "s", "--json"]).exits(0).json();
    let mut texts: Vec<(u64, Value)> = Vec::new();
    for instance in shown["instances"].as_array().unwrap() {
        let path = instance["path"].as_str().unwrap();
        let [reply] = replies(&world, &run, path).try_into().unwrap();
        texts.push((texts.len() as u64 % 2, reply["text"].clone()));
    }
    assert_eq!(texts.len(), 8);
    for (kind, text) in &texts {
        assert_eq!(text, &texts[*kind as usize].1, "{texts:#?}");
    }
    assert_ne!(texts[0].1, texts[1].1);
}
