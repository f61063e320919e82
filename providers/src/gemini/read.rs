//! Reading an answer.

use super::fault::fault;
use super::wire::{Answer, Candidate, Embedded, Model, Models, PromptFeedback, Rating, Usage};
use crate::service::{Fault, Finish, Listed, Tokens, Told, parse};

/// Reads an answer that came whole.
pub(super) fn answer(body: &[u8]) -> Result<Told, Fault> {
    let answer: Answer = parse(body)?;
    if let Some(error) = answer.error {
        return Err(fault(error));
    }
    let tokens = answer.usage_metadata.as_ref().map(tokens).unwrap_or_default();
    let mut told = Told { tokens, model: answer.model_version, ..Told::default() };
    match answer.candidates.into_iter().next() {
        Some(candidate) => {
            told.text = text(&candidate);
            told.finish = finish(&candidate);
        }
        None => told.finish = answer.prompt_feedback.map(blocked).unwrap_or_default(),
    }
    Ok(told)
}

/// What a candidate says, without its thoughts.
pub(super) fn text(candidate: &Candidate) -> String {
    let parts = candidate.content.parts.iter().filter(|part| !part.thought);
    parts.map(|part| part.text.as_str()).collect()
}

/// Why a candidate ended.
pub(super) fn finish(candidate: &Candidate) -> Finish {
    let Some(reason) = candidate.finish_reason.as_deref() else { return Finish::Stop };
    match reason {
        "STOP" | "FINISH_REASON_UNSPECIFIED" => Finish::Stop,
        // The second is cut as well, by the limit of one request.
        "MAX_TOKENS" | "CONTINUATION" => Finish::Length,
        "SAFETY"
        | "RECITATION"
        | "LANGUAGE"
        | "BLOCKLIST"
        | "PROHIBITED_CONTENT"
        | "SPII"
        | "IMAGE_SAFETY"
        | "IMAGE_PROHIBITED_CONTENT"
        | "IMAGE_RECITATION"
        | "ESCALATION"
        | "PUP_LIMITED_DISABLED"
        | "MODEL_ARMOR" => {
            let message = candidate.finish_message.as_deref();
            Finish::Filtered(reasons(reason, message, &candidate.safety_ratings))
        }
        other => Finish::Other(other.to_owned()),
    }
}

/// That the request itself was turned down: there is no candidate then.
pub(super) fn blocked(feedback: PromptFeedback) -> Finish {
    let PromptFeedback { block_reason, block_reason_message, safety_ratings } = feedback;
    match block_reason {
        None => Finish::Stop,
        Some(reason) => {
            let why = reasons(&reason, block_reason_message.as_deref(), &safety_ratings);
            Finish::Filtered(format!("the prompt was blocked: {why}"))
        }
    }
}

/// The reason with what the service says of it, and the categories that count: those that
/// blocked, or those that are likely where none is said to have.
fn reasons(reason: &str, message: Option<&str>, ratings: &[Rating]) -> String {
    let mut why = reason.to_owned();
    let any_blocked = ratings.iter().any(|rating| rating.blocked);
    let counts = |rating: &&Rating| match any_blocked {
        true => rating.blocked,
        false => matches!(rating.probability.as_str(), "MEDIUM" | "HIGH"),
    };
    let counted: Vec<_> = ratings
        .iter()
        .filter(counts)
        .map(|rating| format!("{} {}", rating.category, rating.probability))
        .collect();
    if !counted.is_empty() {
        why = format!("{why} ({})", counted.join(", "));
    }
    match message {
        Some(message) => format!("{why}: {message}"),
        None => why,
    }
}

/// The tokens of an answer. Thoughts are counted apart by the service, and billed as output.
pub(super) fn tokens(usage: &Usage) -> Tokens {
    let sum = |a: u64, b: u64| Some(a.saturating_add(b));
    Tokens {
        input: sum(usage.prompt_token_count, usage.tool_use_prompt_token_count),
        cache_read: usage.cached_content_token_count,
        cache_write: 0,
        output: sum(usage.candidates_token_count, usage.thoughts_token_count),
        reasoning: usage.thoughts_token_count,
    }
}

/// Reads the models there are, by the names that a workflow has for them.
pub(super) fn models(body: &[u8]) -> Result<Listed, Fault> {
    let models: Models = parse(body)?;
    let bare = |Model { name }: Model| name.strip_prefix("models/").unwrap_or(&name).to_owned();
    Ok(Listed {
        models: models.models.into_iter().map(bare).collect(),
        next: Some(models.next_page_token).filter(|token| !token.is_empty()),
    })
}

/// Reads the vectors of texts. The service does not say what they took.
pub(super) fn embedded(body: &[u8]) -> Result<(Vec<Vec<f32>>, Tokens), Fault> {
    let embedded: Embedded = parse(body)?;
    let vectors = embedded.embeddings.into_iter().map(|vector| vector.values).collect();
    Ok((vectors, Tokens::default()))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn read(body: &Value) -> Told {
        answer(body.to_string().as_bytes()).unwrap()
    }

    #[test]
    fn thoughts_are_billed_and_no_part_of_the_answer() {
        let told = read(&json!({
            "candidates": [{
                "content": { "role": "model", "parts": [
                    { "text": "Hm.", "thought": true }, { "text": "A red" }, { "text": " square." },
                ] },
                "finishReason": "STOP",
            }],
            "usageMetadata": {
                "promptTokenCount": 264, "cachedContentTokenCount": 64, "candidatesTokenCount": 9,
                "thoughtsTokenCount": 147, "totalTokenCount": 420,
            },
            "modelVersion": "gemini-3.8-flash",
        }));
        let tokens = Tokens {
            input: Some(264),
            cache_read: 64,
            cache_write: 0,
            output: Some(156),
            reasoning: 147,
        };
        let expected = Told {
            text: "A red square.".into(),
            finish: Finish::Stop,
            tokens,
            model: Some("gemini-3.8-flash".into()),
        };
        assert_eq!(told, expected);
    }

    #[test]
    fn every_reason_to_stop_is_told_apart() {
        let filtered = |why: &str| Finish::Filtered(why.into());
        for (reason, expected) in [
            ("STOP", Finish::Stop),
            ("MAX_TOKENS", Finish::Length),
            ("CONTINUATION", Finish::Length),
            ("SAFETY", filtered("SAFETY (A HIGH): words")),
            ("RECITATION", filtered("RECITATION (A HIGH): words")),
            ("PROHIBITED_CONTENT", filtered("PROHIBITED_CONTENT (A HIGH): words")),
            ("MALFORMED_RESPONSE", Finish::Other("MALFORMED_RESPONSE".into())),
        ] {
            let ratings = json!([
                { "category": "A", "probability": "HIGH", "blocked": true },
                { "category": "B", "probability": "MEDIUM" },
            ]);
            let candidate = json!({
                "finishReason": reason, "finishMessage": "words", "safetyRatings": ratings,
            });
            assert_eq!(read(&json!({ "candidates": [candidate] })).finish, expected);
        }
    }

    #[test]
    fn a_blocked_prompt_is_no_empty_answer() {
        let ratings = json!([{ "category": "A", "probability": "MEDIUM" }]);
        let feedback = json!({ "blockReason": "SAFETY", "safetyRatings": ratings });
        let told = read(&json!({ "promptFeedback": feedback }));
        assert_eq!(
            told.finish,
            Finish::Filtered("the prompt was blocked: SAFETY (A MEDIUM)".into())
        );
        assert_eq!(read(&json!({ "promptFeedback": {} })).finish, Finish::Stop);
    }

    #[test]
    fn models_are_named_as_a_workflow_names_them() {
        let page =
            br#"{"models":[{"name":"models/a"},{"name":"tunedModels/b"}],"nextPageToken":"t"}"#;
        let listed =
            Listed { models: vec!["a".into(), "tunedModels/b".into()], next: Some("t".into()) };
        assert_eq!(models(page).unwrap(), listed);
        assert_eq!(models(b"{}").unwrap(), Listed::default());
    }

    #[test]
    fn vectors_keep_their_order() {
        let body = br#"{"embeddings":[{"values":[0.5,1]},{"values":[2]}]}"#;
        assert_eq!(embedded(body).unwrap().0, [vec![0.5, 1.0], vec![2.0]]);
    }
}
