//! The user's own settings: providers that every workflow may name.
//!
//! ```yaml
//! providers:
//!   vllm: { type: openai, base_url: "http://gpu-1:8000/v1", api_key: "{{ secrets.VLLM_KEY }}" }
//! ```
//!
//! They are of the machine, not of a workflow: they are not kept with a run, and a run that is
//! resumed asks where the settings say then.

use super::models::Providers;
use super::{Checker, Environment, Files, Instead, KnownProviders, Session};
use crate::action::ActionRegistry;
use crate::language::diagnostic::{Diagnostics, Lines};
use crate::language::{keys, parse};

/// Reads the providers of the user's settings, and every fault of the file.
///
/// `file` names it in messages; `known` are the providers there are without it.
pub fn user_providers(
    file: &str,
    bytes: &[u8],
    known: KnownProviders,
) -> (KnownProviders, Diagnostics) {
    let mut session = Session::default();
    let configured = session.user(file, bytes, &known).unwrap_or_default();
    let known = KnownProviders { configured, ..known };
    (known, Diagnostics::sorted(session.faults, session.more))
}

/// Settings refer to no other file.
struct NoFiles;

impl Files for NoFiles {
    fn read(&self, _path: &str) -> Result<String, String> {
        Err("settings refer to no file".to_owned())
    }
}

impl Session {
    fn user(&mut self, file: &str, bytes: &[u8], providers: &KnownProviders) -> Option<Providers> {
        let parsed = parse::text(file, bytes).and_then(|text| {
            let lines = Lines::new(file, text);
            parse::parse(&lines, text).map(|root| (lines, root))
        });
        let (lines, root) = match parsed {
            Ok(parsed) => parsed,
            Err(fault) => {
                self.faults.push(*fault);
                return None;
            }
        };
        let environment = Environment {
            actions: &ActionRegistry::default(),
            providers,
            files: &NoFiles,
            instead: &Instead::default(),
        };
        let mut checker = Checker::new(self, environment, lines);
        let fields = checker.fields(&root, "a file of settings", keys::USER)?;
        Some(checker.providers(&fields))
    }
}
