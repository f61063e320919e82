//! `flow token`: what opens a server.

use flow_core::store::Store;
use flow_server::gate::new_token;
use serde_json::json;

use super::runs::timestamp;
use crate::cli::{Global, TokenNew};
use crate::report::{CommandError, Exit};
use crate::{output, world};

/// The longest name.
const LONGEST: usize = 64;

pub(crate) async fn new(global: &Global, args: &TokenNew) -> Result<Exit, CommandError> {
    let name = &args.name;
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    if name.is_empty() || name.len() > LONGEST || !name.chars().all(plain) {
        return Err(CommandError::invalid(format!("`{name}` cannot name a token"))
            .hint("use letters, digits, `-`, `_` and `.`, at most 64"));
    }
    let store = Store::open(&world::store_here(global)).await?;
    let now = world::now();
    let expires = args.expires.map(|time| now.saturating_add(time.as_millis() as i64));
    let token = new_token(name, args.scope, now, expires)?;
    let added = store.put_token(&token.row).await?;
    store.close().await;
    if !added {
        return Err(CommandError::invalid(format!("there is a token `{name}` already"))
            .hint(format!("`flow token rm {name}` removes it")));
    }
    if global.json {
        output::json(&json!({
            "name": name,
            "scope": args.scope,
            "expires": expires.map(timestamp),
            "token": token.secret,
        }));
    } else {
        output::data(&format!("{}\n", token.secret));
        output::note("keep it: it is not shown again\n");
    }
    Ok(Exit::Done)
}

pub(crate) async fn list(global: &Global) -> Result<Exit, CommandError> {
    let tokens = match Store::open_existing(&world::store_here(global)).await? {
        Some(store) => store.tokens().await?,
        None => Vec::new(),
    };
    if global.json {
        let shown = tokens.iter().map(|token| {
            json!({
                "name": token.name,
                "scope": token.scope,
                "created": timestamp(token.created),
                "expires": token.expires.map(timestamp),
            })
        });
        output::json(&shown.collect());
    } else if tokens.is_empty() {
        output::note("no tokens\n");
    } else {
        let now = world::now();
        let until = |expires: Option<i64>| match expires {
            None => "never".to_owned(),
            Some(until) if until <= now => "expired".to_owned(),
            Some(until) => output::time(until),
        };
        let row = |token: &flow_core::store::TokenRow| {
            let made = output::time(token.created);
            vec![token.name.clone(), token.scope.clone(), made, until(token.expires)]
        };
        let rows: Vec<_> = tokens.iter().map(row).collect();
        output::data(&output::table(&["NAME", "SCOPE", "MADE", "EXPIRES"], &rows));
    }
    Ok(Exit::Done)
}

pub(crate) async fn remove(global: &Global, name: &str) -> Result<Exit, CommandError> {
    let store = world::existing_store(global).await?;
    let was_there = store.remove_token(name).await?;
    store.close().await;
    if !was_there {
        return Err(CommandError::invalid(format!("there is no token `{name}`"))
            .hint("`flow token ls` lists them"));
    }
    output::note(&format!("token `{name}` opens nothing any more\n"));
    Ok(Exit::Done)
}
