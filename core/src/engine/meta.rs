//! What a workflow sees of how a step came to its output.

use serde_json::{Value, json};

use crate::action::CallUsage;
use crate::units::Money;

/// What `steps.X.meta` shows.
///
/// Of an output from the step cache it is what was `known` of the call, which this run did
/// not make.
pub(super) fn meta(
    known: Option<&Value>,
    usage: Option<&CallUsage>,
    attempts: u32,
    cached: bool,
) -> Value {
    let mut meta = known.filter(|known| known.is_object()).cloned().unwrap_or_else(|| json!({}));
    meta["attempts"] = json!(attempts);
    meta["cached"] = json!(cached);
    if let Some(usage) = usage {
        if usage.asked_a_model() {
            meta["provider"] = json!(usage.provider);
            meta["model"] = json!(usage.model);
            meta["finish"] = json!(usage.finish);
            meta["usage"] = json!({
                "input_tokens": usage.input_tokens,
                "output_tokens": usage.output_tokens,
            });
        }
        if let Some(plugin) = &usage.plugin {
            meta["plugin"] = plugin.clone();
        }
        meta["cost"] = json!(usage.cost.map(Money::usd));
        if let Some(speed) = usage.speed {
            meta["speed"] = json!(speed);
        }
        if usage.replayed {
            meta["replayed"] = json!(true);
        }
    }
    meta
}
