//! `flow backup` and `flow restore`: a copy of a store, and a store from a copy.

use std::path::Path;

use flow_core::store::{Backup, Store};
use serde_json::json;

use crate::cli::Global;
use crate::report::{CommandError, Exit};
use crate::{output, world};

/// Copies the store that is named into a folder.
pub(crate) async fn backup(global: &Global, to: &Path) -> Result<Exit, CommandError> {
    let store = world::existing_store(global).await?;
    let copied = store.backup(to).await;
    store.close().await;
    say(global, "copied", to, copied?);
    Ok(Exit::Done)
}

/// Makes the store that is named from a copy; one that is there is not touched.
pub(crate) async fn restore(global: &Global, from: &Path) -> Result<Exit, CommandError> {
    let to = world::store_here(global);
    let copy = Store::open_existing(from).await?.ok_or_else(|| {
        let message = format!("there is no backup in `{}`", from.display());
        CommandError::invalid(message).hint("name the folder that `flow backup` made")
    })?;
    let restored = copy.backup(&to).await;
    copy.close().await;
    say(global, "restored", &to, restored?);
    Ok(Exit::Done)
}

fn say(global: &Global, what: &str, place: &Path, copy: Backup) {
    if global.json {
        output::json(&json!({
            "folder": place,
            "database_bytes": copy.database_bytes,
            "files": copy.files,
            "file_bytes": copy.file_bytes,
        }));
        return;
    }
    let files = match copy.files {
        1 => "1 file".to_owned(),
        files => format!("{files} files"),
    };
    output::note(&format!(
        "{what} a database of {} and {files} of {} to {}, and read it again\n",
        output::bytes(copy.database_bytes),
        output::bytes(copy.file_bytes),
        place.display(),
    ));
}
