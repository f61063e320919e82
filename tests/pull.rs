//! `flow model pull`, `add`, `ls` and `rm`: the real binary, and a hub that behaves as the real
//! one does.

mod support;

#[path = "../llama/tests/support/gguf.rs"]
mod gguf_files;
#[path = "../providers/tests/support/hub.rs"]
mod hub_server;

use std::path::PathBuf;
use std::process::Command;

use flow_core::content::ContentHash;
use gguf_files::{Forge, Item};
use hub_server::{COMMIT, Fault, HubServer};
use serde_json::{Value, json};
use support::{Output, World, ended, files, run, signal, until};

const PLACE: &str = "/org/name/resolve/main";
const SOURCE: &str = "hf:org/name:Tiny-Q4.gguf+mmproj.gguf";

/// A folder, and a hub with a model of some megabytes and its projector.
struct Pulls {
    world: World,
    hub: HubServer,
    model: Vec<u8>,
    projector: Vec<u8>,
}

impl Pulls {
    fn new() -> Self {
        let (world, hub) = (World::new(), HubServer::new());
        let model = Forge::large_model(1, 5 << 20)
            .with("general.license", Item::Text("apache-2.0".into()))
            .bytes();
        let projector = Forge::projector().bytes();
        hub.put(&format!("{PLACE}/Tiny-Q4.gguf"), model.clone());
        hub.put(&format!("{PLACE}/mmproj.gguf"), projector.clone());
        Self { world, hub, model, projector }
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = self.world.command(args);
        command
            .env("FLOW_MODELS", self.world.path("models"))
            .env("FLOW_HUB", &self.hub.address)
            .env("OLLAMA_HOST", "127.0.0.1:1");
        command
    }

    fn flow(&self, args: &[&str]) -> Output {
        run(&mut self.command(args))
    }

    /// What is in the folder of models, without what is locked.
    fn files(&self) -> Vec<String> {
        let folder = self.world.path("models");
        let names = files(&folder)
            .into_iter()
            .map(|path| path.strip_prefix(&folder).expect("it is within").display().to_string());
        let mut names: Vec<_> = names.filter(|name| name != "lock").collect();
        names.sort();
        names
    }

    /// The file of a part that is under way.
    fn part(&self) -> Option<PathBuf> {
        let parts = files(&self.world.path("models/parts"));
        parts.into_iter().find(|path| path.extension().is_some_and(|end| end == "gguf"))
    }

    fn local(&self) -> Value {
        let listed = self.flow(&["model", "ls", "--json"]).exits(0).json();
        assert_eq!(listed[0]["provider"], "llama");
        listed[0]["models"].clone()
    }
}

fn hex(bytes: &[u8]) -> String {
    ContentHash::of_bytes(bytes).hex()
}

#[test]
fn a_model_is_pulled_listed_and_removed() {
    let pulls = Pulls::new();
    let (model, projector) = (hex(&pulls.model), hex(&pulls.projector));
    let pulled = pulls.flow(&["model", "pull", SOURCE]).exits(0);
    assert_eq!(pulled.stdout, "");
    let lines: Vec<_> = pulled.stderr.lines().filter(|line| !line.ends_with(" %")).collect();
    assert_eq!(
        lines,
        ["Tiny-Q4.gguf: pulling 5.2 MB", "mmproj.gguf: pulling 20 kB", "pulled `tiny-q4` (5.3 MB)",]
    );
    assert!(pulled.stderr.contains("Tiny-Q4.gguf: 100 %\n"), "{}", pulled.stderr);
    let mut kept = [
        format!("files/{model}/Tiny-Q4.gguf"),
        format!("files/{projector}/mmproj.gguf"),
        "models/tiny-q4.json".to_owned(),
    ];
    kept.sort();
    assert_eq!(pulls.files(), kept);

    let size = pulls.model.len() + pulls.projector.len();
    let local = pulls.local();
    let file = |hash: &str, name: &str, size: usize| {
        let path = pulls.world.path(&format!("models/files/{hash}/{name}"));
        json!({ "path": path, "size": size, "sha256": hash })
    };
    let added = local[0]["added"].clone();
    assert_eq!(
        local,
        json!([{
            "name": "tiny-q4",
            "takes": ["text", "images"],
            "size": size,
            "memory": local[0]["memory"],
            "context": 128,
            "trained_context": 128,
            "architecture": "llama",
            "parameters": 168 + (5 << 20) / 4,
            "weights": [file(&model, "Tiny-Q4.gguf", pulls.model.len())],
            "projector": file(&projector, "mmproj.gguf", pulls.projector.len()),
            "source": SOURCE,
            "commit": COMMIT,
            "licence": "apache-2.0",
            "homepage": null,
            "added": added,
            "error": null,
        }])
    );
    let table = pulls.flow(&["model", "ls"]).exits(0);
    assert_eq!(
        table.stdout,
        format!(
            "MODEL          TAKES        SIZE    MEMORY  CONTEXT  LICENCE     SOURCE\n\
             llama/tiny-q4  text images  5.3 MB  5.3 MB  128      apache-2.0  {SOURCE}\n"
        )
    );

    pulls.hub.asked();
    let again = pulls.flow(&["model", "pull", SOURCE]).exits(0);
    assert_eq!(again.stderr, "already here: `tiny-q4` (5.3 MB)\n");
    assert_eq!(pulls.hub.asked(), []);

    let removed = pulls.flow(&["model", "rm", "tiny-q4"]).exits(0);
    assert_eq!(
        (removed.stdout.as_str(), removed.stderr.as_str()),
        ("", "removed `tiny-q4`: 5.3 MB freed\n")
    );
    assert_eq!(pulls.files(), [] as [String; 0]);
    let unknown = pulls.flow(&["model", "rm", "tiny-q4"]).exits(2);
    assert_eq!(
        unknown.stderr,
        "error: there is no model `tiny-q4`\n\
         hint: `flow model ls` lists those that are here, `flow model ls --catalog` those that can be pulled by name\n"
    );
}

/// Killed in the middle, the real thing goes on where it was, and asks for nothing twice.
#[test]
fn a_pull_that_is_killed_goes_on_where_it_was() {
    let pulls = Pulls::new();
    pulls.hub.faults([Fault::Hold(3 << 20)]);
    let mut command = pulls.command(&["model", "pull", "hf:org/name:Tiny-Q4.gguf"]);
    let command = command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
    let child = command.spawn().expect("the binary starts");
    let length = || pulls.part().map_or(0, |part| part.metadata().map_or(0, |about| about.len()));
    until("two megabytes", || length() >= 2 << 20);
    signal(child.id(), "KILL");
    ended(child);
    let here = length();
    assert!(pulls.local().as_array().is_some_and(Vec::is_empty), "it is not there yet");
    pulls.hub.asked();
    let pulled = pulls.flow(&["model", "pull", "hf:org/name:Tiny-Q4.gguf"]).exits(0);
    assert!(pulled.stderr.starts_with("Tiny-Q4.gguf: going on after "), "{}", pulled.stderr);
    assert_eq!(pulls.hub.ranges(), [Some(format!("bytes={here}-"))]);
    let path = pulls.local()[0]["weights"][0]["path"].as_str().expect("a path").to_owned();
    assert_eq!(std::fs::read(path).expect("a file"), pulls.model);
    assert_eq!(pulls.files().len(), 2, "nothing is left: {:?}", pulls.files());
}

#[test]
fn an_interrupted_pull_says_how_to_go_on() {
    let pulls = Pulls::new();
    pulls.hub.faults([Fault::Hold(2 << 20)]);
    let mut command = pulls.command(&["model", "pull", "hf:org/name:Tiny-Q4.gguf"]);
    let command = command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
    let child = command.spawn().expect("the binary starts");
    until("a part", || pulls.part().is_some_and(|part| part.metadata().is_ok_and(|a| a.len() > 0)));
    signal(child.id(), "INT");
    let stopped = ended(child).exits(130);
    assert!(
        stopped.stderr.ends_with(
            "error: the pull was interrupted\nhint: the same command goes on where it stopped\n"
        ),
        "{}",
        stopped.stderr
    );
    pulls.flow(&["model", "pull", "hf:org/name:Tiny-Q4.gguf"]).exits(0);
}

#[test]
fn a_broken_connection_is_said_and_goes_on() {
    let pulls = Pulls::new();
    pulls.hub.faults([Fault::Cut(2 << 20)]);
    let pulled = pulls.flow(&["model", "pull", "hf:org/name:Tiny-Q4.gguf", "--json"]).exits(0);
    assert_eq!(pulled.json()["name"], "tiny-q4");
    let broke = pulled.stderr.lines().find(|line| line.ends_with("; going on"));
    assert!(
        broke.is_some_and(
            |line| line.starts_with("Tiny-Q4.gguf: provider `hub`: `http://127.0.0.1:")
        ),
        "{}",
        pulled.stderr
    );
    assert!(!pulled.stderr.contains("signature"), "{}", pulled.stderr);
}

#[test]
fn the_token_goes_to_the_hub_alone_and_is_nowhere_kept() {
    let pulls = Pulls::new();
    let mut command = pulls.command(&["model", "pull", SOURCE]);
    let pulled = run(command.env("HF_TOKEN", "token-1234")).exits(0);
    assert!(!format!("{pulled:?}").contains("token-1234"));
    for asked in pulls.hub.asked() {
        let token = asked.token.as_deref();
        match asked.who {
            "hub" => assert_eq!(token, Some("Bearer token-1234")),
            _ => assert_eq!(token, None, "{asked:?}"),
        }
    }
    for file in files(&pulls.world.path("models")) {
        let bytes = std::fs::read(&file).expect("a file");
        assert!(!bytes.windows(10).any(|part| part == b"token-1234"), "{}", file.display());
    }
}

#[test]
fn a_wrong_hash_is_refused_and_nothing_stays() {
    let pulls = Pulls::new();
    let wrong = hex(b"another");
    pulls.hub.put_as(&format!("{PLACE}/Tiny-Q4.gguf"), pulls.model.clone(), Some(wrong.clone()));
    let refused = pulls.flow(&["model", "pull", "hf:org/name:Tiny-Q4.gguf"]).exits(1);
    let message = format!(
        "error: `Tiny-Q4.gguf` came with the hash sha256:{}, and has to have sha256:{wrong}\n\
         hint: it was removed: the same command begins anew\n",
        hex(&pulls.model)
    );
    assert!(refused.stderr.ends_with(&message), "{}", refused.stderr);
    assert_eq!(pulls.files(), [] as [String; 0]);
}

/// A file that is whole, and no model.
#[test]
fn what_is_no_model_is_refused_and_nothing_stays() {
    let pulls = Pulls::new();
    let mut cut = pulls.model.clone();
    cut.truncate(cut.len() - 7);
    pulls.hub.put(&format!("{PLACE}/cut.gguf"), cut);
    pulls.hub.put(&format!("{PLACE}/page.gguf"), b"<html></html>".to_vec());
    for (file, message) in [
        (
            "hf:org/name:mmproj.gguf",
            "` is a projector, and no model\nhint: name the model's own file, and this one behind `--projector`\n",
        ),
        (
            "hf:org/name:Tiny-Q4.gguf+Tiny-Q4.gguf",
            "` is a model, and no projector\nhint: projectors are often named `mmproj-…`\n",
        ),
        (
            "hf:org/name:page.gguf",
            "`: it is no GGUF file: it begins with `<htm`, not with `GGUF`\n",
        ),
        (
            "hf:org/name:cut.gguf",
            " bytes are missing\nhint: get the file once more: it did not come whole\n",
        ),
    ] {
        let refused = pulls.flow(&["model", "pull", file, "--name", "it"]).exits(1);
        assert!(refused.stderr.ends_with(message), "{}", refused.stderr);
        assert_eq!(pulls.files(), [] as [String; 0], "{file}");
    }
}

#[test]
fn a_split_model_is_pulled_with_all_its_parts() {
    let pulls = Pulls::new();
    let part = |number: u16, forge: Forge| {
        forge
            .with("split.no", Item::U16(number))
            .with("split.count", Item::U16(2))
            .with("split.tensors.count", Item::I32(5))
            .bytes()
    };
    let mut second = Forge::large_model(2, 4096);
    second.values.clear();
    second.tensors.retain(|tensor| tensor.name == "output.weight");
    pulls.hub.put(&format!("{PLACE}/big-00001-of-00002.gguf"), part(0, Forge::model()));
    pulls.hub.put(&format!("{PLACE}/big-00002-of-00002.gguf"), part(1, second));
    pulls.flow(&["model", "pull", "hf:org/name:big-00001-of-00002.gguf"]).exits(0);
    let local = pulls.local();
    assert_eq!((&local[0]["name"], &local[0]["error"]), (&json!("big"), &Value::Null));
    let folders: Vec<_> = local[0]["weights"]
        .as_array()
        .expect("parts")
        .iter()
        .map(|part| PathBuf::from(part["path"].as_str().expect("a path")))
        .map(|path| path.parent().map(ToOwned::to_owned))
        .collect();
    assert!(folders.len() == 2 && folders[0] == folders[1], "{folders:?}");
    pulls.flow(&["model", "rm", "big"]).exits(0);
    assert_eq!(pulls.files(), [] as [String; 0]);
}

#[test]
fn a_model_that_is_added_is_used_where_it_lies() {
    let pulls = Pulls::new();
    let (weights, projector) = (pulls.world.path("Mine.gguf"), pulls.world.path("eye.gguf"));
    std::fs::write(&weights, &pulls.model).expect("a file");
    std::fs::write(&projector, &pulls.projector).expect("a file");
    let added = pulls
        .flow(&["model", "add", "Mine.gguf", "--projector", "eye.gguf", "--name", "my-own"])
        .exits(0);
    let place = weights.display();
    assert_eq!(added.stderr, format!("added `my-own` (5.3 MB), which stays in {place}\n"));
    let local = pulls.local();
    assert_eq!((&local[0]["name"], &local[0]["source"]), (&json!("my-own"), &Value::Null));
    let removed = pulls.flow(&["model", "rm", "my-own", "--json"]).exits(0);
    assert_eq!(
        removed.json(),
        json!({ "name": "my-own", "freed": 0, "shared": [], "outside": [weights, projector] })
    );
    assert!(weights.exists() && projector.exists());
}

#[test]
fn what_is_asked_for_wrongly_is_said() {
    let pulls = Pulls::new();
    for (args, code, message) in [
        (
            &["pull", "qwen2.5-vl-7"][..],
            2,
            "error: the catalogue has no model `qwen2.5-vl-7`\nhint: did you mean `qwen2.5-vl-7b`?\n",
        ),
        (
            &["pull", "gpt"],
            2,
            "error: the catalogue has no model `gpt`\nhint: `flow model ls --catalog` lists the names; any other is written `hf:ORG/REPO:FILE.gguf`\n",
        ),
        (
            &["pull", "hf:org/name"],
            2,
            "error: `hf:org/name` does not say where a model is: no file is named: `hf:ORG/NAME:FILE.gguf`\n",
        ),
        (
            &["pull", "hf:org/name:Tiny-Q4.gguf", "--projector", "../x.gguf"],
            2,
            "error: `../x.gguf` does not say where a model is: a path holds names between slashes, and nothing else\n",
        ),
        (
            &["pull", "hf:org/name:_.gguf"],
            1,
            "error: `_.gguf` suggests no name for the model\nhint: give it one with `--name`\n",
        ),
        (&["add", "nowhere.gguf"], 2, "error: there is no file `nowhere.gguf`\n"),
        (
            &["rm", "No One"],
            2,
            "error: there is no model `No One`\nhint: `flow model ls` lists those that are here, `flow model ls --catalog` those that can be pulled by name\n",
        ),
        (
            &["rm", "qwen2.5-vl-7b"],
            1,
            "error: model `qwen2.5-vl-7b` is not on this machine\nhint: run `flow model pull qwen2.5-vl-7b` (5.5 GB)\n",
        ),
    ] {
        let args: Vec<_> = std::iter::once("model").chain(args.iter().copied()).collect();
        let refused = pulls.flow(&args).exits(code);
        assert_eq!(refused.stderr, message, "{args:?}");
    }
    let missing = pulls.flow(&["model", "pull", "hf:org/name:gone.gguf"]).exits(1);
    assert_eq!(
        missing.stderr,
        format!(
            "error: there is no file `gone.gguf` in `org/name`\nhint: see its files at {}/org/name/tree/main\n",
            pulls.hub.address
        )
    );
    pulls.flow(&["model", "pull", "hf:org/name:Tiny-Q4.gguf", "--name", "it"]).exits(0);
    let taken = pulls.flow(&["model", "pull", SOURCE, "--name", "it"]).exits(1);
    assert_eq!(
        taken.stderr,
        "error: there is a model `it` already: hf:org/name:Tiny-Q4.gguf\n\
         hint: call this one otherwise with `--name`, or run `flow model rm it`\n"
    );
    let known = pulls.flow(&["model", "pull", "it"]).exits(2);
    assert_eq!(known.stderr, "error: `it` is on this machine, and is no name of the catalogue\n");
}

/// A name of the catalogue stands for one file, by its hash: another one is not taken for it.
#[test]
fn a_listed_model_is_the_one_that_is_listed() {
    let pulls = Pulls::new();
    pulls.hub.put(
        "/bartowski/SmolLM2-135M-Instruct-GGUF/resolve/09816acd5d99df7be770d85ea30822623dab342c/SmolLM2-135M-Instruct-Q4_K_M.gguf",
        pulls.model.clone(),
    );
    let refused = pulls.flow(&["model", "pull", "smollm2-135m"]).exits(1);
    assert_eq!(
        refused.stderr,
        format!(
            "error: `SmolLM2-135M-Instruct-Q4_K_M.gguf` of `bartowski/SmolLM2-135M-Instruct-GGUF` is another file now: its size is {}, and was 105454432\n\
             hint: pull it as `hf:ORG/NAME:FILE` if you trust it\n",
            pulls.model.len()
        )
    );
    assert_eq!(pulls.files(), [] as [String; 0]);
}

#[test]
fn the_catalogue_is_listed_without_asking_anybody() {
    let pulls = Pulls::new();
    let listed = pulls.flow(&["model", "ls", "--catalog"]).exits(0);
    let first = listed.stdout.lines().next();
    assert_eq!(
        first.map(|line| line.split_whitespace().collect::<Vec<_>>()),
        Some(vec!["NAME", "SIZE", "CONTEXT", "LICENCE", "FOR"])
    );
    let row = listed.stdout.lines().find(|line| line.starts_with("qwen2.5-vl-7b "));
    let row = row.map(|line| line.split_whitespace().take(5).collect::<Vec<_>>());
    assert_eq!(row, Some(vec!["qwen2.5-vl-7b", "5.5", "GB", "8192", "Apache-2.0"]));
    let data = pulls.flow(&["model", "ls", "--catalog", "--json"]).exits(0).json();
    assert_eq!(data["date"], "2026-11-24");
    assert_eq!(data["models"].as_array().map(Vec::len), Some(18));
    assert_eq!(pulls.hub.asked(), []);
}

#[test]
fn a_model_whose_file_is_damaged_is_listed_with_what_is_wrong() {
    let pulls = Pulls::new();
    pulls.flow(&["model", "pull", "hf:org/name:Tiny-Q4.gguf"]).exits(0);
    let path = pulls.local()[0]["weights"][0]["path"].as_str().expect("a path").to_owned();
    std::fs::write(&path, b"short").expect("a file");
    let listed = pulls.flow(&["model", "ls"]).exits(0);
    let message = format!(
        "✗ a file of model `tiny-q4` has 5 bytes, and had {}: `{path}`\n  hint: run `flow model rm tiny-q4`, and pull or add it anew\n",
        pulls.model.len()
    );
    assert!(listed.stderr.starts_with(&message), "{}", listed.stderr);
    assert!(listed.stdout.contains("llama/tiny-q4  nothing"), "{}", listed.stdout);
}
