//! Tokens: 256 random bits, shown once, kept as their SHA-256.

use flow_core::content::ContentHash;
use flow_core::store::{Store, StoreError, TokenRow};
use subtle::ConstantTimeEq;

use crate::state::{Scope, Visitor};

/// How a token begins, so that one that lies about somewhere is known for what it is.
const PREFIX: &str = "flow_";

/// A token that was just made.
pub struct NewToken {
    /// What is given to who may ask; kept nowhere.
    pub secret: String,
    /// What is kept.
    pub row: TokenRow,
}

/// Makes a token. Fails where the system has no randomness.
pub fn new_token(
    name: &str,
    scope: Scope,
    now: i64,
    expires: Option<i64>,
) -> std::io::Result<NewToken> {
    let secret = format!("{PREFIX}{}", random()?);
    let hash = hash(secret.as_bytes());
    let (name, scope) = (name.to_owned(), scope.as_str().to_owned());
    Ok(NewToken { secret, row: TokenRow { name, hash, scope, created: now, expires } })
}

/// 256 random bits, as 64 hexadecimal digits.
pub(super) fn random() -> std::io::Result<String> {
    let mut bits = [0; 32];
    getrandom::fill(&mut bits).map_err(std::io::Error::other)?;
    Ok(ContentHash::from_digest(bits).hex())
}

pub(super) fn hash(secret: &[u8]) -> ContentHash {
    ContentHash::of_bytes(secret)
}

/// Who has a token; none where there is no such token, or none any more.
pub(super) async fn visitor(
    store: &Store,
    secret: &str,
    now: i64,
) -> Result<Option<Visitor>, StoreError> {
    Ok(row(store, &hash(secret.as_bytes()), now).await?.and_then(|row| visitor_of(&row)))
}

/// The token of a hash. Every token is compared, each in constant time: how long it takes says
/// nothing of how near a guess was.
pub(super) async fn row(
    store: &Store,
    hash: &ContentHash,
    now: i64,
) -> Result<Option<TokenRow>, StoreError> {
    let wanted = hash.hex();
    let mut found = None;
    for token in store.tokens().await? {
        let same = token.hash.hex().as_bytes().ct_eq(wanted.as_bytes());
        if bool::from(same) && token.expires.is_none_or(|expires| now < expires) {
            found = Some(token);
        }
    }
    Ok(found)
}

pub(super) fn visitor_of(token: &TokenRow) -> Option<Visitor> {
    // A scope that this version does not know allows nothing.
    let scope = token.scope.parse().ok()?;
    Some(Visitor { token: Some(token.name.clone()), scope })
}
