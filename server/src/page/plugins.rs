//! The plugins that workflows use, and what each may do.

use axum::extract::State;
use axum::response::Response;
use flow_core::language::Checked;
use serde::Serialize;

use super::format::segment;
use super::render::{Fault, Place, Viewer, page};
use crate::state::Site;

#[derive(Serialize)]
struct View {
    workflows: Vec<Used>,
}

/// What a workflow says of its plugins.
#[derive(Serialize)]
struct Used {
    name: String,
    href: String,
    plugins: Vec<Plugin>,
    written: String,
}

#[derive(Serialize)]
struct Plugin {
    path: String,
    place: String,
    hash: String,
}

/// Lists them, by workflow.
pub(super) async fn list(State(site): State<Site>, viewer: Viewer) -> Result<Response, Fault> {
    let used = |listed: std::sync::Arc<crate::folder::Listed>| {
        let reading = listed.reading.as_ref().ok()?;
        let written = plugins_of(&reading.checked)?;
        let program = reading.program.as_ref();
        let pinned = reading.checked.bundle.plugins.iter();
        let plugins = pinned.map(|(path, pin)| Plugin {
            path: path.clone(),
            place: pin.place.display().to_string(),
            hash: pin.sha256.chars().take(16).collect(),
        });
        Some(Used {
            name: program.map_or_else(|| listed.slug.clone(), |p| p.workflow.name.clone()),
            href: format!("/workflows/{}", segment(&listed.slug)),
            plugins: plugins.collect(),
            written,
        })
    };
    let view = View { workflows: site.folder.workflows().into_iter().filter_map(used).collect() };
    page("plugins.html", Place::Plugins, "plugins", &viewer, view)
}

/// What a workflow's file says under `plugins:`, as it is written; none where it has none.
fn plugins_of(checked: &Checked) -> Option<String> {
    let text = checked.bundle.files.get(&checked.bundle.entry)?;
    let at = text.lines().position(|line| line.starts_with("plugins:"))?;
    Some(super::source::item_at(text, at as u32 + 1))
}
