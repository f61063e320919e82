//! What every request can reach.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::folder::Folder;
use crate::follow::Follow;
use crate::gate::Gate;
use crate::problem::Problem;
use crate::runs::{Cause, Runs};

/// The server, as those who answer requests see it. A clone is the same server.
#[derive(Clone)]
pub struct Site {
    /// The runs of this process, and the store.
    pub runs: Runs,
    /// The workflows.
    pub folder: Arc<Folder>,
    /// Who may do what, and how much of it.
    pub gate: Arc<Gate>,
    /// Those who follow runs.
    pub follow: Follow,
}

/// What a token allows. Each scope allows what those before it do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// To look.
    Read,
    /// To start, stop and resume runs.
    Run,
    /// To answer what runs ask people.
    Approve,
    /// Everything.
    Admin,
}

impl Scope {
    /// The name as it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Run => "run",
            Self::Approve => "approve",
            Self::Admin => "admin",
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Says that a text names no scope.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no scope `{0}`: read, run, approve or admin")]
pub struct ScopeError(String);

impl FromStr for Scope {
    type Err = ScopeError;

    fn from_str(text: &str) -> Result<Self, ScopeError> {
        let all = [Self::Read, Self::Run, Self::Approve, Self::Admin];
        let known = all.into_iter().find(|scope| scope.as_str() == text);
        known.ok_or_else(|| ScopeError(text.to_owned()))
    }
}

/// Who asks: an extension of every request that was let in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Visitor {
    /// The name of the token; none on loopback where no token is needed.
    pub token: Option<String>,
    /// What it allows.
    pub scope: Scope,
}

impl Visitor {
    /// Fails where the visitor may not do what needs a scope.
    pub fn needs(&self, scope: Scope) -> Result<(), Problem> {
        if self.scope >= scope {
            return Ok(());
        }
        let name = self.token.as_deref().unwrap_or_default();
        let detail =
            format!("token `{name}` has the scope `{}`, and this needs `{scope}`", self.scope);
        let hint = format!("`flow token new NAME --scope {scope}` makes one");
        Err(Problem::new(StatusCode::FORBIDDEN, detail).hint(hint))
    }

    /// Why a run is started that the visitor asks for by the API.
    pub fn cause(&self) -> Cause {
        Cause::Request { token: self.token.clone() }
    }
}
