//! `flow model pull`: gets the files of a model, and writes the model down when they are there.
//!
//! Whatever happens on the way, what came stays, and the same command goes on. A model is
//! known when all its files are whole, checked, and in place.

use std::io::IsTerminal;

use flow_core::content::ContentHash;
use flow_core::engine::SystemClock;
use flow_core::units::Size;
use flow_llama::catalog::{Catalog, Listed};
use flow_llama::store::{HubFile, Kept, Manifest, ModelName, ModelStore, Source, StoreError};
use flow_providers::{Expected, Hub, Offer, Told, Wanted};
use indicatif::{ProgressBar, ProgressStyle};
use tokio_util::sync::CancellationToken;

use crate::cli::{Global, ModelPull};
use crate::commands::model;
use crate::report::{CommandError, Exit};
use crate::{output, world};

pub(crate) async fn run(global: &Global, args: ModelPull) -> Result<Exit, CommandError> {
    let store = world::models();
    let order = Order::of(args, &store)?;
    let pulled = tokio::select! {
        pulled = pull(&store, order) => pulled?,
        _ = tokio::signal::ctrl_c() => {
            let mut stopped = CommandError::failed("the pull was interrupted")
                .hint("the same command goes on where it stopped");
            stopped.exit = Exit::Interrupted;
            return Err(stopped);
        }
    };
    let (manifest, what) = match pulled {
        Pulled::Now(manifest) => (manifest, "pulled"),
        Pulled::Before(manifest) => (manifest, "already here:"),
    };
    if global.json {
        output::json(&model::local_json(&store, &manifest));
    } else {
        output::note(&format!("{what} `{}` ({})\n", manifest.name, manifest.size()));
    }
    Ok(Exit::Done)
}

/// A model that is here.
enum Pulled {
    /// It was got.
    Now(Manifest),
    /// It was here.
    Before(Manifest),
}

/// A model that is to be pulled.
struct Order {
    name: ModelName,
    source: Source,
    listed: Option<&'static Listed>,
}

impl Order {
    fn of(args: ModelPull, store: &ModelStore) -> Result<Self, CommandError> {
        let ModelPull { model, projector, name } = args;
        let listed = Catalog::built_in().get(&model);
        let source = match listed {
            Some(listed) => listed.source(),
            None if model.contains(':') => {
                model.parse().map_err(|error: flow_llama::store::SourceError| {
                    CommandError::invalid(error.to_string())
                })?
            }
            None => return Err(unknown(&model, store)?),
        };
        let source = match projector {
            None => source,
            Some(path) => source
                .with_projector(&path)
                .map_err(|error| CommandError::invalid(error.to_string()))?,
        };
        let own = || match listed {
            Some(_) => model.parse().ok(),
            None => ModelName::of_file(source.weights.rsplit('/').next().unwrap_or_default()),
        };
        let name = name.or_else(own);
        let name = name.ok_or_else(|| StoreError::NoName(source.weights.clone().into()))?;
        Ok(Self { name, source, listed })
    }

    /// What a file of it has to be.
    fn expected(&self, file: &HubFile) -> Expected {
        let known = self.listed.and_then(|listed| listed.known(file));
        let hash = known.and_then(|known| known.sha256.as_ref());
        Expected {
            size: known.and_then(|known| known.size),
            sha256: hash.and_then(|hash| format!("sha256:{hash}").parse().ok()),
        }
    }
}

/// The error of a name that nothing can be pulled by.
fn unknown(name: &str, store: &ModelStore) -> Result<CommandError, CommandError> {
    if let Ok(known) = name.parse::<ModelName>()
        && store.get(&known)?.is_some()
    {
        return Ok(CommandError::invalid(format!(
            "`{name}` is on this machine, and is no name of the catalogue"
        )));
    }
    let names = Catalog::built_in().models().map(|(name, _)| name);
    let hint = match flow_core::language::closest(name, names) {
        Some(meant) => format!("did you mean `{meant}`?"),
        None => "`flow model ls --catalog` lists the names; any other is written \
                 `hf:ORG/REPO:FILE.gguf`"
            .to_owned(),
    };
    Ok(CommandError::invalid(format!("the catalogue has no model `{name}`")).hint(hint))
}

/// Dropping the future leaves what came by then for the next pull.
async fn pull(store: &ModelStore, order: Order) -> Result<Pulled, CommandError> {
    let source = order.source.to_string();
    if let Some(known) = store.get(&order.name)? {
        if known.source.as_ref() != Some(&source) {
            let (name, what) = (known.name.clone(), known.origin());
            return Err(StoreError::Taken { name, what }.into());
        }
        if store.facts(&known).is_ok() {
            return Ok(Pulled::Before(known));
        }
    }
    let hub = world::hub()?;
    let files = looked_up(&hub, store, &order).await?;
    store.make_sure_of_space(files.iter().map(|file| file.missing).sum())?;
    let mut kept = Vec::new();
    let placed = fetch(&hub, store, &files, &mut kept).await;
    let projector = match &placed {
        Ok(()) if order.source.projector.is_some() => kept.pop(),
        Ok(()) | Err(_) => None,
    };
    placed?;
    let facts = match store.facts_of(&kept, projector.as_ref()) {
        Ok(facts) => facts,
        Err(error) => {
            kept.extend(projector);
            store.discard(&kept)?;
            return Err(error.into());
        }
    };
    let listed = order.listed;
    let manifest = Manifest {
        name: order.name,
        weights: kept,
        projector,
        context: listed.map(|listed| listed.context),
        source: Some(source),
        commit: files.into_iter().find_map(|file| file.offer.commit),
        licence: listed.and_then(|listed| listed.licence.clone()).or(facts.licence),
        homepage: listed.map(|listed| listed.homepage.clone()),
        added: world::now(),
    };
    store.register(&manifest)?;
    Ok(Pulled::Now(manifest))
}

/// A file that is to be had.
struct ToGet {
    file: HubFile,
    expected: Expected,
    offer: Offer,
    /// The bytes that are not here.
    missing: u64,
}

/// Asks for what there is of each file: the weights in order, then the projector.
async fn looked_up(
    hub: &Hub,
    store: &ModelStore,
    order: &Order,
) -> Result<Vec<ToGet>, CommandError> {
    let cancel = CancellationToken::new();
    let (weights, projector) = order.source.files();
    let mut files = Vec::new();
    for file in weights.into_iter().chain(projector) {
        let offer = hub.look(wanted(&file), &cancel).await?;
        let mut expected = order.expected(&file);
        expected.size = expected.size.or(offer.size);
        expected.sha256 = expected.sha256.or(offer.sha256);
        let here = std::fs::metadata(store.part(&file)?).map_or(0, |part| part.len());
        let missing = expected.size.unwrap_or(0).saturating_sub(here);
        files.push(ToGet { file, expected, offer, missing });
    }
    let mut group = None;
    for file in &mut files {
        if here(store, &mut group, file).is_some() {
            file.missing = 0;
        }
    }
    Ok(files)
}

/// A file that is in the store. `group` is the hash of the first part of a split model while
/// its parts are gone through.
fn here(store: &ModelStore, group: &mut Option<ContentHash>, file: &ToGet) -> Option<Kept> {
    let (sha256, size) = (file.expected.sha256?, file.expected.size?);
    store.has(&grouped(group, &file.file, sha256), file.file.name(), sha256, size)
}

/// The hash by which a file lies with the other parts of its model.
fn grouped(group: &mut Option<ContentHash>, file: &HubFile, sha256: ContentHash) -> ContentHash {
    match flow_llama::gguf::PartName::of(file.name()) {
        Some(part) if part.number > 1 => group.unwrap_or(sha256),
        Some(_) => *group.insert(sha256),
        None => sha256,
    }
}

async fn fetch(
    hub: &Hub,
    store: &ModelStore,
    files: &[ToGet],
    kept: &mut Vec<Kept>,
) -> Result<(), CommandError> {
    let cancel = CancellationToken::new();
    let mut group = None;
    for file in files {
        if let Some(known) = here(store, &mut group, file) {
            kept.push(known);
            continue;
        }
        let part = store.part(&file.file)?;
        let mut shown = Shown::new(file.file.name());
        let mut tell = |told| shown.told(told);
        let fetched = hub
            .download(wanted(&file.file), file.expected, &part, &SystemClock, &cancel, &mut tell)
            .await;
        shown.ended();
        let sha256 = fetched?.sha256;
        let group = grouped(&mut group, &file.file, sha256);
        kept.push(store.place(&part, &group, file.file.name(), sha256)?);
    }
    Ok(())
}

fn wanted(file: &HubFile) -> Wanted<'_> {
    Wanted { repository: &file.repository, revision: &file.revision, path: &file.path }
}

/// What a person sees of a file: a bar on a terminal, a line each tenth elsewhere.
struct Shown {
    name: String,
    bar: Option<ProgressBar>,
    size: Option<u64>,
    tenth: u64,
}

impl Shown {
    fn new(name: &str) -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let style = "{msg} {bar:24} {decimal_bytes}/{decimal_total_bytes} {decimal_bytes_per_sec} {eta:.dim}";
            let style = ProgressStyle::with_template(style).expect("the template is a constant");
            ProgressBar::no_length().with_style(style).with_message(name.to_owned())
        });
        Self { name: name.to_owned(), bar, size: None, tenth: 0 }
    }

    fn told(&mut self, told: Told) {
        match told {
            Told::Began { at, size } => self.began(at, size),
            Told::Came { at } => self.came(at),
            Told::Anew { why } => {
                self.tenth = 0;
                self.say(&format!("begins anew: {why}"));
            }
            Told::Broke { why, wait } if wait.is_zero() => self.say(&format!("{why}; going on")),
            Told::Broke { why, wait } => {
                let wait = output::duration(wait.as_millis() as i64);
                self.say(&format!("{why}; again in {wait}"));
            }
        }
    }

    fn began(&mut self, at: u64, size: Option<u64>) {
        self.size = size;
        if let Some(bar) = &self.bar {
            size.inspect(|size| bar.set_length(*size));
            bar.set_position(at);
            bar.reset_eta();
            return;
        }
        self.tenth = size.and_then(|size| (at * 10).checked_div(size)).unwrap_or(0);
        match (at, size) {
            (0, None) => self.say("pulling"),
            (0, Some(size)) => self.say(&format!("pulling {}", Size(size))),
            (at, None) => self.say(&format!("going on after {}", Size(at))),
            (at, Some(size)) => {
                self.say(&format!("going on after {} of {}", Size(at), Size(size)));
            }
        }
    }

    fn came(&mut self, at: u64) {
        if let Some(bar) = &self.bar {
            bar.set_position(at);
            return;
        }
        let tenth = self.size.and_then(|size| (at * 10).checked_div(size)).unwrap_or(0);
        if tenth > self.tenth {
            self.tenth = tenth;
            self.say(&format!("{} %", tenth * 10));
        }
    }

    fn say(&self, what: &str) {
        let line = format!("{}: {what}", self.name);
        match &self.bar {
            // A terminal that went away hears nothing, and the pull goes on.
            Some(bar) => bar.println(line),
            None => output::note(&format!("{line}\n")),
        }
    }

    fn ended(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
