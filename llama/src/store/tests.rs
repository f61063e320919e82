//! The store by its files: what is there, what is said where something is not, what goes.

use flow_core::content::ContentHash;
use flow_core::error::ErrorClass;
use tempfile::TempDir;

use super::*;
use crate::forge::{Forge, Item};

struct World {
    folder: TempDir,
    store: ModelStore,
}

impl World {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = ModelStore::new(folder.path().join("models"));
        Self { folder, store }
    }

    /// Writes a file of the user's.
    fn write(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.folder.path().join(name);
        fs::write(&path, bytes).unwrap();
        path
    }

    fn add(&self, weights: &Path, projector: Option<&Path>) -> Result<Manifest, StoreError> {
        self.store.add(Addition { weights, projector, name: None, now: 7 })
    }

    /// Puts bytes into the store as a pull does.
    fn place(&self, name: &str, bytes: &[u8]) -> Kept {
        let part = self.write("part", bytes);
        let hash = ContentHash::of_bytes(bytes);
        self.store.place(&part, &hash, name, hash).unwrap()
    }

    fn pulled(&self, name: &str, weights: Kept, projector: Option<Kept>) -> Manifest {
        let manifest = Manifest {
            name: name.parse().unwrap(),
            weights: vec![weights],
            projector,
            context: Some(64),
            source: Some("hf:org/name:m.gguf".into()),
            commit: None,
            licence: Some("MIT".into()),
            homepage: None,
            added: 7,
        };
        self.store.register(&manifest).unwrap();
        manifest
    }

    /// A message without the folder of the test.
    fn said(&self, error: &dyn std::fmt::Display) -> String {
        error.to_string().replace(&format!("{}/", self.folder.path().display()), "")
    }
}

fn name(text: &str) -> ModelName {
    text.parse().unwrap()
}

#[test]
fn a_model_that_is_added_stays_where_it_is() {
    let world = World::new();
    let bytes = Forge::model().with("general.license", Item::Text("mit".into())).bytes();
    let weights = world.write("Tiny-Q4.gguf", &bytes);
    let projector = world.write("mmproj-tiny.gguf", &Forge::projector().bytes());
    let manifest = world.add(&weights, Some(&projector)).unwrap();
    assert_eq!(manifest.name.as_str(), "tiny-q4");
    assert_eq!(manifest.weights[0].sha256, ContentHash::of_bytes(&bytes));
    assert_eq!((manifest.licence.as_deref(), manifest.added), (Some("mit"), 7));
    assert_eq!(world.store.get(&name("tiny-q4")).unwrap().as_ref(), Some(&manifest));
    assert_eq!(
        world.store.find("tiny-q4").unwrap(),
        LocalModel {
            name: "tiny-q4".into(),
            weights: weights.clone(),
            projector: Some(projector),
            context: None,
        }
    );
    assert_eq!(world.store.all().unwrap().len(), 1);
    // Once more changes nothing.
    world.add(&weights, Some(&manifest.projector.clone().unwrap().file)).unwrap();
    let removed = world.store.remove(&name("tiny-q4")).unwrap();
    assert_eq!((removed.freed, removed.outside.len()), (Size(0), 2));
    assert!(weights.exists());
    assert!(world.store.models().unwrap().is_empty());
}

#[test]
fn a_model_is_found_by_its_path_as_well() {
    let world = World::new();
    let weights = world.write("m.gguf", &Forge::model().bytes());
    let path = weights.display().to_string();
    let found = world.store.find(&path).unwrap();
    assert_eq!((found.weights, found.name, found.projector), (weights, path.clone(), None));
    let gone = world.store.find("no/where.gguf").unwrap_err();
    assert_eq!(
        (gone.class, gone.message.as_str()),
        (ErrorClass::NotFound, "there is no file `no/where.gguf`")
    );
}

#[test]
fn a_name_of_no_model_is_said_with_what_to_do() {
    let world = World::new();
    world.pulled("my-own", world.place("m.gguf", &Forge::model().bytes()), None);
    for (asked, message, hint) in [
        (
            "qwen2.5-vl-7b",
            "model `qwen2.5-vl-7b` is not on this machine",
            "run `flow model pull qwen2.5-vl-7b` (5.5 GB)",
        ),
        (
            "llava-1.5-7b",
            "model `llava-1.5-7b` is not on this machine",
            "run `flow model pull llava-1.5-7b`",
        ),
        ("qwen2.5-vl-7", "there is no model `qwen2.5-vl-7`", "did you mean `qwen2.5-vl-7b`?"),
        ("my-owm", "there is no model `my-owm`", "did you mean `my-own`?"),
        (
            "Something Else",
            "there is no model `Something Else`",
            "`flow model ls` lists those that are here, `flow model ls --catalog` those that can be pulled by name",
        ),
    ] {
        let failure = world.store.find(asked).unwrap_err();
        assert_eq!(
            (failure.class, failure.message.as_str(), failure.hint.as_deref()),
            (ErrorClass::NotFound, message, Some(hint))
        );
    }
}

#[test]
fn files_that_are_not_what_they_are_said_to_be_are_not_added() {
    let world = World::new();
    let model = world.write("m.gguf", &Forge::model().bytes());
    let projector = world.write("p.gguf", &Forge::projector().bytes());
    let bytes = Forge::model().bytes();
    let cut = world.write("cut.gguf", &bytes[..bytes.len() - 5]);
    let page = world.write("page.gguf", b"<html></html>");
    let odd = world.write("_.gguf", &bytes);
    for (weights, with, message, hint) in [
        (
            &projector,
            None,
            "`p.gguf` is a projector, and no model",
            Some("name the model's own file, and this one behind `--projector`"),
        ),
        (
            &model,
            Some(&model),
            "`m.gguf` is a model, and no projector",
            Some("projectors are often named `mmproj-…`"),
        ),
        (
            &cut,
            None,
            "`cut.gguf`: it is cut short: 5 of its 1472 bytes are missing",
            Some("get the file once more: it did not come whole"),
        ),
        (
            &page,
            None,
            "`page.gguf`: it is no GGUF file: it begins with `<htm`, not with `GGUF`",
            None,
        ),
        (&odd, None, "`_.gguf` suggests no name for the model", Some("give it one with `--name`")),
    ] {
        let error = world.add(weights, with.map(PathBuf::as_path)).unwrap_err();
        assert_eq!((world.said(&error).as_str(), error.hint().as_deref()), (message, hint));
    }
    assert!(world.store.models().unwrap().is_empty());
}

#[test]
fn a_name_is_one_models_alone() {
    let world = World::new();
    world.pulled("tiny", world.place("m.gguf", &Forge::model().bytes()), None);
    let other = world.write("other.gguf", &Forge::large_model(1, 4096).bytes());
    let addition = Addition { weights: &other, projector: None, name: Some(name("tiny")), now: 8 };
    let error = world.store.add(addition).unwrap_err();
    assert_eq!(error.to_string(), "there is a model `tiny` already: hf:org/name:m.gguf");
    assert_eq!(
        error.hint().as_deref(),
        Some("call this one otherwise with `--name`, or run `flow model rm tiny`")
    );
}

#[test]
fn a_file_that_two_models_have_stays_with_the_other() {
    let world = World::new();
    let projector = world.place("mmproj.gguf", &Forge::projector().bytes());
    let one = world.place("one.gguf", &Forge::model().bytes());
    let two = world.place("two.gguf", &Forge::large_model(2, 4096).bytes());
    let sizes = (one.size, two.size, projector.size);
    world.pulled("one", one.clone(), Some(projector.clone()));
    world.pulled("two", two.clone(), Some(projector.clone()));
    let removed = world.store.remove(&name("one")).unwrap();
    assert_eq!(removed.freed, Size(sizes.0));
    assert_eq!(removed.shared, [world.store.path(&projector)]);
    assert!(world.store.find("two").is_ok());
    let removed = world.store.remove(&name("two")).unwrap();
    assert_eq!((removed.freed, removed.shared.len()), (Size(sizes.1 + sizes.2), 0));
    assert_eq!(fs::read_dir(world.store.folder().join("files")).unwrap().count(), 0);
    let error = world.store.remove(&name("two")).unwrap_err();
    assert_eq!(error.to_string(), "there is no model `two`");
}

#[test]
fn a_file_that_is_gone_or_another_is_said() {
    let world = World::new();
    let kept = world.place("m.gguf", &Forge::model().bytes());
    let path = world.store.path(&kept);
    let shown = world.said(&path.display());
    let manifest = world.pulled("tiny", kept, None);
    assert!(world.store.facts(&manifest).is_ok());
    fs::write(&path, b"short").unwrap();
    let changed = world.store.find("tiny").unwrap_err();
    assert_eq!(
        world.said(&changed),
        format!("a file of model `tiny` has 5 bytes, and had 1472: `{shown}`")
    );
    assert_eq!(changed.hint.as_deref(), Some("run `flow model rm tiny`, and pull or add it anew"));
    fs::remove_file(&path).unwrap();
    let gone = world.store.find("tiny").unwrap_err();
    assert_eq!(world.said(&gone), format!("a file of model `tiny` is gone: `{shown}`"));
    // What cannot be registered is not.
    let error = world.store.register(&manifest).unwrap_err();
    assert_eq!(world.said(&error), format!("a file of model `tiny` is gone: `{shown}`"));
}

#[test]
fn a_manifest_that_is_damaged_or_leads_out_is_not_followed() {
    let world = World::new();
    let kept = world.place("m.gguf", &Forge::model().bytes());
    world.pulled("tiny", kept, None);
    let path = world.store.folder().join("models/tiny.json");
    let text = fs::read_to_string(&path).unwrap();
    let outside = world.write("precious.gguf", b"mine");
    let kept: serde_json::Value = serde_json::from_str(&text).unwrap();
    let file = kept["weights"][0]["file"].as_str().unwrap();
    for (text, why) in [
        ("{".to_owned(), "EOF while parsing an object at line 1 column 1"),
        (text.replace("\"tiny\"", "\"other\""), "it is about `other`"),
        (text.replace(file, "../precious.gguf"), "its files cannot be"),
    ] {
        fs::write(&path, text).unwrap();
        let error = world.store.remove(&name("tiny")).unwrap_err();
        let message = format!("cannot read `models/models/tiny.json`: {why}");
        assert_eq!(world.said(&error), message);
        assert_eq!(
            error.hint().as_deref(),
            Some("remove that file, and pull or add its model anew")
        );
    }
    assert!(outside.exists());
}

#[test]
fn files_without_a_model_are_discarded_and_others_are_not() {
    let world = World::new();
    let (one, two) = (world.place("one.gguf", b"one"), world.place("two.gguf", b"two"));
    world.pulled("one", one.clone(), None);
    world.store.discard(&[one.clone(), two.clone()]).unwrap();
    assert!(world.store.path(&one).exists() && !world.store.path(&two).exists());
    let hash = ContentHash::of_bytes(b"one");
    assert_eq!(world.store.has(&hash, "one.gguf", hash, 3), Some(one));
    assert_eq!(world.store.has(&hash, "one.gguf", hash, 4), None);
    assert_eq!(world.store.has(&hash, "two.gguf", hash, 3), None);
}

#[test]
fn a_part_belongs_to_one_file_alone() {
    let world = World::new();
    let part = |revision: &str, path: &str| {
        let repository = "org/name".to_owned();
        let file = HubFile { repository, revision: revision.into(), path: path.into() };
        world.store.part(&file).unwrap()
    };
    let parts = [part("main", "a/m.gguf"), part("main", "b/m.gguf"), part("v1", "a/m.gguf")];
    assert_eq!(parts.iter().collect::<std::collections::BTreeSet<_>>().len(), 3);
    assert_eq!(part("main", "a/m.gguf"), parts[0]);
    assert!(parts[0].display().to_string().ends_with("-m.gguf"));
}

#[test]
fn more_than_the_disk_has_is_refused_beforehand() {
    let world = World::new();
    world.store.make_sure_of_space(1).unwrap();
    let error = world.store.make_sure_of_space(1 << 60).unwrap_err();
    let message = world.said(&error);
    // How much is free is this machine's own.
    let (folder, rest) = message.split_once(" has room for ").unwrap();
    assert_eq!(folder, "`models`");
    assert!(rest.ends_with(", and 1152922 TB are needed"), "{rest}");
    assert_eq!(
        error.hint().as_deref(),
        Some("remove models with `flow model rm`, or name another folder in `FLOW_MODELS`")
    );
}
