//! What an author does: try a plugin, run its cases, hand it on.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use flow_core::content::ContentHash;
use flow_core::intake::Intake;
use flow_core::store::Store;
use flow_plugins::installed::{Fetched, Folder, Source};
use flow_plugins::project::{Language, build, create};
use flow_plugins::trial::{Case, Recorded, Tried, Verdict, cases_in, judge};
use flow_plugins::{Installed, Sandbox, Services, Setup};
use tempfile::TempDir;

use crate::support::compiler;

/// A plugin's folder, and a sandbox whose servers and models answer as a case says.
struct Author {
    folder: TempDir,
    recorded: Recorded,
    sandbox: Arc<Sandbox>,
}

const MANIFEST: &str = "\
plugin: { name: sample, version: 1.0.0, file: sample.wasm }
capabilities:
  http: [{ host: api.example.com }]
  models: { names: [reader], max_calls: 2 }
  kv: { max_bytes: 1KiB }
";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_path_buf()
}

impl Author {
    fn new(cases: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("cases")).unwrap();
        for (name, text) in cases {
            std::fs::write(folder.path().join("cases").join(name), text).unwrap();
        }
        std::fs::write(folder.path().join("plugin.yaml"), MANIFEST).unwrap();
        let sample = root().join("tests/guests/sample.wasm");
        std::fs::copy(sample, folder.path().join("sample.wasm")).unwrap();
        let recorded = Recorded::default();
        let services = Services { http: Arc::new(recorded.clone()), now_ms: || 1_700_000_000_000 };
        let cache = folder.path().join("cache");
        let setup = Setup { cache, compiler: compiler(), services, seats: 1 };
        Self { recorded, sandbox: Sandbox::new(setup).unwrap(), folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn cases(&self) -> Vec<Case> {
        cases_in(self.folder.path()).unwrap()
    }

    async fn judged(&self, tried: &Tried, case: &Case) -> Verdict {
        let store = self.path("store").join(&case.name);
        std::fs::create_dir_all(&store).unwrap();
        let store = Store::open(&store).await.unwrap();
        let intake = Intake::new(store.artifacts().clone(), |_| None);
        judge(tried, case, &self.recorded, &intake, None).await
    }

    /// What differs in the only case.
    async fn differs(case: &str) -> Vec<String> {
        let author = Self::new(&[("a.yaml", case)]);
        let tried = Tried::load(&author.sandbox, author.folder.path()).unwrap();
        author.judged(&tried, &author.cases()[0]).await.differences
    }
}

#[tokio::test]
async fn a_case_that_comes_to_what_it_says_passes() {
    assert!(
        Author::differs("input: { do: echo, text: hi }\noutput: { echo: hi, greeting: null }\n")
            .await
            .is_empty()
    );
    let settings = "input: { do: echo }\nconfig: { greeting: hello }\noutput: { echo: null, greeting: hello }\n";
    assert!(Author::differs(settings).await.is_empty());
    let answered = "\
input: { do: fetch, url: 'https://api.example.com/a' }
http:
  - request: { url: 'https://api.example.com/a' }
    response: { body: { answer: 42 } }
output: { got: '200 {\"answer\":42}' }
";
    assert!(Author::differs(answered).await.is_empty(), "{:?}", Author::differs(answered).await);
    let said = "\
input: { do: ask, model: reader, text: how much is it }
models: [{ model: reader, prompt: how much, answer: twelve }]
output: { said: twelve }
";
    assert!(Author::differs(said).await.is_empty(), "{:?}", Author::differs(said).await);
}

#[tokio::test]
async fn a_case_that_fails_shows_the_difference() {
    assert_eq!(
        Author::differs("input: { do: echo, text: hi }\noutput: { echo: ho, more: 1 }\n").await,
        [
            "output.echo: expected \"ho\", got \"hi\"",
            "output.more: expected 1, and it is missing",
            "output.greeting: not expected, got null",
        ]
    );
    assert_eq!(
        Author::differs("input: { do: dance }\noutput: {}\n").await,
        [
            "it failed: the input is wrong: `do`: \"dance\" is not one of \"echo\", \"sum\" or 6 other candidates"
        ]
    );
    assert_eq!(
        Author::differs("input: { do: echo }\nerror: { code: denied }\n").await,
        ["it should fail, and yields {\"echo\":null,\"greeting\":null}"]
    );
    assert_eq!(
        Author::differs("input: { do: echo }\n").await,
        ["it has neither an `output` nor an `error`; `--update` writes it"]
    );
}

#[tokio::test]
async fn what_a_case_does_not_answer_is_told_beside_what_it_answers() {
    let missed = "\
input: { do: fetch, url: 'https://api.example.com/b' }
http: [{ request: { url: 'https://api.example.com/a' }, response: {} }]
output: {}
";
    let line = "http: no answer for GET https://api.example.com/b: the case answers GET https://api.example.com/a";
    assert_eq!(
        Author::differs(missed).await,
        [
            format!("it failed: {line}"),
            line.to_owned(),
            "http: nobody asked for GET https://api.example.com/a".to_owned(),
        ]
    );
}

#[tokio::test]
async fn a_panic_shows_its_message_and_the_line_of_the_plugin() {
    let author = Author::new(&[("a.yaml", "input: { do: panic }\noutput: {}\n")]);
    let tried = Tried::load(&author.sandbox, author.folder.path()).unwrap();
    let verdict = author.judged(&tried, &author.cases()[0]).await;
    let told = &verdict.differences[0];
    assert!(
        told.starts_with(
            "it failed: it stopped with `wasm `unreachable` instruction executed`: panicked at "
        ),
        "{told}"
    );
    assert!(told.contains("src/lib.rs:") && told.contains("there is no total"), "{told}");
}

#[tokio::test]
async fn a_denied_host_shows_the_yaml_to_add() {
    let case = "input: { do: fetch, url: 'https://other.example.com/' }\noutput: {}\n";
    let author = Author::new(&[("a.yaml", case)]);
    let tried = Tried::load(&author.sandbox, author.folder.path()).unwrap();
    let verdict = author.judged(&tried, &author.cases()[0]).await;
    assert_eq!(
        verdict.hint.as_deref().unwrap(),
        "the plugin does not ask for it: in its plugin.yaml:\n\
         capabilities:\n  http: [{ host: \"other.example.com\", methods: [GET] }]\n\
         and in the workflow:\n\
         plugins:\n  sample:\n    grant:\n      http: [{ host: \"other.example.com\", methods: [GET] }]"
    );
}

#[tokio::test]
async fn an_update_writes_what_a_case_came_to() {
    let author = Author::new(&[
        ("a.yaml", "# why\ninput: { do: echo, text: hi }\n"),
        ("b.json", "{ \"input\": { \"do\": \"echo\" }, \"output\": {} }"),
    ]);
    let tried = Tried::load(&author.sandbox, author.folder.path()).unwrap();
    for case in author.cases() {
        let verdict = author.judged(&tried, &case).await;
        assert!(!verdict.differences.is_empty());
        case.update(&verdict.came).unwrap();
    }
    for case in author.cases() {
        assert!(author.judged(&tried, &case).await.differences.is_empty());
    }
    let text = std::fs::read_to_string(author.path("cases/a.yaml")).unwrap();
    assert!(text.starts_with("# why\ninput: { do: echo, text: hi }\noutput:\n"), "{text}");
}

#[test]
fn a_case_that_is_none_says_where() {
    let author = Author::new(&[("a.yaml", "inputs: {}\n")]);
    let told = cases_in(author.folder.path()).unwrap_err().to_string();
    assert!(told.contains("a.yaml`: ") && told.contains("inputs"), "{told}");
    let author = Author::new(&[("a.yaml", "output: 1\nerror: {}\n")]);
    let told = cases_in(author.folder.path()).unwrap_err().to_string();
    assert!(told.ends_with("a.yaml`: it has an `output` and an `error`"), "{told}");
}

#[test]
fn a_plugin_that_is_not_built_yet_says_how() {
    let author = Author::new(&[]);
    std::fs::remove_file(author.path("sample.wasm")).unwrap();
    let Err(fault) = Tried::load(&author.sandbox, author.folder.path()) else {
        panic!("there is none")
    };
    assert_eq!(fault.hint.as_deref(), Some("`flow plugin build` makes it"));
}

/// The bytes of a guest, installed from a path.
fn fetched(name: &str, manifest: Option<&str>) -> Fetched {
    let component = std::fs::read(root().join("tests/guests").join(name)).unwrap();
    Fetched { component, manifest: manifest.map(|text| text.as_bytes().to_vec()) }
}

#[test]
fn an_installed_plugin_is_found_by_name_and_version() {
    let author = Author::new(&[]);
    let folder = Folder::new(author.path("installed"));
    assert!(folder.list().unwrap().is_empty());
    let source = Source::of("./sample.wasm");
    let came = fetched("sample.wasm", Some(MANIFEST));
    let candidate = folder.candidate(&author.sandbox, &source, came, None).unwrap();
    folder.install(&candidate).unwrap();
    folder.install(&candidate).unwrap();
    let all = folder.list().unwrap();
    assert_eq!(all.len(), 1);
    assert_eq!(
        (all[0].name.as_str(), all[0].version.as_str(), all[0].kind.as_str()),
        ("sample", "1.0.0", "step")
    );
    let found = folder.find("sample", "1.0.0").unwrap();
    assert!(found.ends_with("sample/1.0.0/plugin.yaml"), "{}", found.display());
    assert_eq!(folder.place("sample").unwrap(), found);
    let fault = folder.find("sample", "1.0.1").unwrap_err();
    assert_eq!(fault.message, "plugin `sample@1.0.1` is not installed");
    assert_eq!(folder.remove("sample", None).unwrap(), all);
    assert!(!author.path("installed/sample").exists());
    let told = folder.remove("sample", Some("1.0.0")).unwrap_err().to_string();
    assert_eq!(told, "plugin `sample@1.0.0` is not installed");
}

#[test]
fn a_changed_hash_is_refused() {
    let author = Author::new(&[]);
    let folder = Folder::new(author.path("installed"));
    let source = Source::of("./sample.wasm");
    let came = fetched("sample.wasm", None);
    let hash = ContentHash::of_bytes(&came.component).hex();
    let wrong = "0".repeat(64);
    let candidate = folder.candidate(&author.sandbox, &source, came.clone(), Some(&wrong));
    let Err(error) = candidate else { panic!("it is another") };
    assert_eq!(
        error.to_string(),
        format!("its hash is sha256:{hash}, and sha256:{wrong} is asked for")
    );
    let candidate = folder.candidate(&author.sandbox, &source, came.clone(), Some(&hash)).unwrap();
    folder.install(&candidate).unwrap();

    // A custom section at its end: another file, and the same plugin.
    let mut changed = came.clone();
    changed.component.extend([0, 2, 1, b'x']);
    let found = ContentHash::of_bytes(&changed.component).hex();
    let Err(error) = folder.candidate(&author.sandbox, &source, changed.clone(), None) else {
        panic!("it was changed")
    };
    assert_eq!(
        error.to_string(),
        format!(
            "`sample@1.0.0` was installed with sha256:{hash}, and what `./sample.wasm` holds now has sha256:{found}"
        )
    );
    assert_eq!(
        error.hint().unwrap(),
        "somebody changed it under the same version; if you trust that, `flow plugin rm sample@1.0.0` first"
    );
    std::fs::write(author.path("installed/sample/1.0.0/sample.wasm"), &changed.component).unwrap();
    let fault = folder.find("sample", "1.0.0").unwrap_err();
    assert_eq!(
        fault.message,
        format!("`sample@1.0.0` was installed with sha256:{hash}, and its file has sha256:{found}")
    );
}

#[test]
fn a_manifest_that_names_another_plugin_is_refused() {
    let author = Author::new(&[]);
    let folder = Folder::new(author.path("installed"));
    let manifest = "plugin: { name: other, version: 1.0.0 }";
    let came = fetched("sample.wasm", Some(manifest));
    let candidate = folder.candidate(&author.sandbox, &Source::of("x"), came, None);
    let Err(error) = candidate else { panic!("it is another") };
    assert_eq!(
        error.to_string(),
        "its plugin.yaml says `other@1.0.0`, and it says `sample@1.0.0` itself"
    );
}

/// The hashes that are committed beside the examples, by file.
fn sums() -> Vec<(PathBuf, String)> {
    let folder = root().join("examples");
    let Ok(text) = std::fs::read_to_string(folder.join("SHA256SUMS")) else {
        crate::support::say("skipped: `plugins/examples/build.sh` was not run");
        return Vec::new();
    };
    let pair =
        |line: &str| line.split_once("  ").map(|(hash, file)| (folder.join(file), hash.to_owned()));
    text.lines().filter_map(pair).collect()
}

#[test]
fn the_committed_examples_are_those_whose_hashes_are_committed() {
    for (file, hash) in sums() {
        let bytes = std::fs::read(&file).unwrap();
        assert_eq!(ContentHash::of_bytes(&bytes).hex(), hash, "{}", file.display());
    }
}

#[tokio::test]
async fn the_cases_of_the_examples_pass() {
    let author = Author::new(&[]);
    for (file, _) in sums() {
        let folder = file.parent().unwrap();
        let tried = Tried::load(&author.sandbox, folder).unwrap();
        let cases = cases_in(folder).unwrap();
        assert!(!cases.is_empty(), "{}", folder.display());
        for case in cases {
            let verdict = author.judged(&tried, &case).await;
            assert!(verdict.differences.is_empty(), "{}: {verdict:#?}", case.path.display());
        }
    }
}

#[test]
fn a_new_plugin_needs_a_folder_of_its_own() {
    let within = tempfile::tempdir().unwrap();
    let folder = create(within.path(), "mine", Language::Rust).unwrap();
    let told = create(within.path(), "mine", Language::C).unwrap_err();
    assert_eq!(told.to_string(), format!("there is already `{}`", folder.display()));
    assert_eq!(told.hint(), Some("choose another name, or remove it"));
    let told = build(within.path(), None).unwrap_err();
    assert_eq!(told.hint().as_deref(), Some("`flow plugin new` makes one"));
}
