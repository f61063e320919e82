//! Runs a case in the sandbox, and says whether it came to what was expected.

use std::sync::Arc;

use flow_core::intake::Intake;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::case::{Case, Expected};
use super::recorded::Recorded;
use super::{Tried, difference};
use crate::call::Call;
use crate::fault::CallFault;

/// What a case came to.
#[derive(Clone, Debug)]
pub struct Verdict {
    /// What differs from what was expected, a line each; nothing where it passed.
    pub differences: Vec<String>,
    /// What it came to.
    pub came: Expected,
    /// What the plugin wrote.
    pub log: Vec<String>,
    /// What can be done about a failure.
    pub hint: Option<String>,
}

/// Runs a case with all that the plugin asks for. `recorded` is what the sandbox of the plugin
/// reaches.
///
/// Dropping the future stops the plugin where it stands.
pub async fn judge(
    tried: &Tried,
    case: &Case,
    recorded: &Recorded,
    intake: &Intake,
    memory: Option<Arc<dyn flow_core::plugin::PluginMemory>>,
) -> Verdict {
    recorded.begin(case);
    let log: Arc<std::sync::Mutex<Vec<String>>> = Arc::default();
    let (came, hint) = match prepared(tried, case, intake).await {
        Err(came) => (came, None),
        Ok((config, input)) => {
            let lines = Arc::clone(&log);
            let granted = Arc::new(tried.granted(tried.asks()));
            let by = Call {
                run: "",
                step: "",
                attempt: 1,
                granted: &granted,
                config: &Arc::new(config),
                intake: Some(intake),
                log: Arc::new(move |line: &str| {
                    lines
                        .lock()
                        .unwrap_or_else(std::sync::PoisonError::into_inner)
                        .push(line.into());
                }),
                memory,
                outside: recorded,
                cancel: CancellationToken::new(),
            };
            match tried.perform(&by, &input).await.result {
                Ok(output) => (Expected::Output(output), None),
                Err(fault) => (failed(&fault), fault.hint()),
            }
        }
    };
    let mut differences = against(&case.expected, &came);
    differences.extend(recorded.end());
    let log = log.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone();
    Verdict { differences, came, log, hint }
}

type Prepared = (std::collections::BTreeMap<String, String>, Value);

async fn prepared(tried: &Tried, case: &Case, intake: &Intake) -> Result<Prepared, Expected> {
    let wrong = |code: &str, message: String| Expected::Error {
        code: Some(code.into()),
        message: Some(message),
    };
    let config =
        tried.settings(&case.config).map_err(|fault| wrong("invalid-config", fault.message))?;
    let input = tried.input(case.input.clone(), case.folder(), intake).await;
    Ok((config, input.map_err(|fault| wrong("invalid-input", fault.message))?))
}

/// A failure as a case expects it. Those that are not of the plugin's own word have words of
/// their own.
fn failed(fault: &CallFault) -> Expected {
    let code = match fault {
        CallFault::Said { code, .. } => code.as_str(),
        CallFault::Ceiling(_) => "limit",
        CallFault::Deadline { .. } => "timeout",
        CallFault::Trap(_) => "trap",
        CallFault::Output(_) => "invalid-output",
        CallFault::Stopped => "stopped",
        CallFault::Sandbox(_) => "internal",
    };
    Expected::Error { code: Some(code.to_owned()), message: Some(fault.to_string()) }
}

fn against(expected: &Expected, came: &Expected) -> Vec<String> {
    match (expected, came) {
        (Expected::Output(expected), Expected::Output(got)) => {
            difference::between(expected, got, "output")
        }
        (Expected::Error { code, message }, Expected::Error { code: got_code, message: got }) => {
            let only = |key: &str, said: &Option<String>, got: &Option<String>| match said {
                Some(said) => {
                    difference::between(&json!(said), &json!(got), &format!("error.{key}"))
                }
                None => Vec::new(),
            };
            let mut lines = only("code", code, got_code);
            lines.extend(only("message", message, got));
            lines
        }
        (Expected::Output(_), Expected::Error { message, .. }) => {
            vec![format!("it failed: {}", message.as_deref().unwrap_or_default())]
        }
        (Expected::Error { .. }, Expected::Output(got)) => {
            vec![format!("it should fail, and yields {got}")]
        }
        (Expected::Nothing, _) => {
            vec!["it has neither an `output` nor an `error`; `--update` writes it".to_owned()]
        }
        (_, Expected::Nothing) => Vec::new(),
    }
}
