//! Sessions of the page: a cookie that stands for a token, as long as this process lives.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use flow_core::content::ContentHash;
use flow_core::store::{Store, StoreError};

use super::tokens;
use crate::state::Visitor;

/// The name of the cookie.
pub(super) const COOKIE: &str = "flow_session";

/// How long a session lasts, in seconds.
pub(super) const LASTS: i64 = 12 * 60 * 60;

/// As many are kept; of more, those that end first go.
const KEPT: usize = 10_000;

/// Who is logged in.
#[derive(Default)]
pub(super) struct Sessions {
    /// By the hash of what the cookie says.
    open: Mutex<HashMap<ContentHash, Session>>,
}

struct Session {
    /// The hash of the token that it stands for.
    token: ContentHash,
    until: i64,
}

impl Sessions {
    /// Opens one for a token, and gives the cookie's value.
    pub(super) fn open(&self, token: ContentHash, now: i64) -> std::io::Result<String> {
        let secret = tokens::random()?;
        let mut open = self.lock();
        if open.len() >= KEPT {
            open.retain(|_, session| now < session.until);
            let first = open.iter().min_by_key(|(_, session)| session.until).map(|(key, _)| *key);
            first.filter(|_| open.len() >= KEPT).and_then(|first| open.remove(&first));
        }
        open.insert(tokens::hash(secret.as_bytes()), Session { token, until: now + LASTS * 1000 });
        Ok(secret)
    }

    /// Ends one.
    pub(super) fn close(&self, secret: &str) {
        self.lock().remove(&tokens::hash(secret.as_bytes()));
    }

    /// Who is logged in by a cookie; nobody where its token is gone by now.
    pub(super) async fn visitor(
        &self,
        store: &Store,
        secret: Option<&str>,
        now: i64,
    ) -> Result<Option<Visitor>, StoreError> {
        let Some(secret) = secret else { return Ok(None) };
        let token = {
            let open = self.lock();
            let session = open.get(&tokens::hash(secret.as_bytes()));
            session.filter(|session| now < session.until).map(|session| session.token)
        };
        let Some(token) = token else { return Ok(None) };
        Ok(tokens::row(store, &token, now).await?.as_ref().and_then(tokens::visitor_of))
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<ContentHash, Session>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
