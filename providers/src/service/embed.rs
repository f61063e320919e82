//! Vectors of texts.

use flow_core::action::CallUsage;
use flow_core::error::{ErrorClass, Failure};
use flow_core::provider::{CallContext, Part};

use super::Service;
use crate::limits::Amount;

impl Service {
    /// The vectors of texts, one a text and in their order.
    ///
    /// Ends soon after the context's token is cancelled; dropping the future ends the call.
    pub(super) async fn vectors(
        &self,
        model: &str,
        parts: &[Part],
        context: &CallContext<'_>,
    ) -> Result<Vec<Vec<Vec<f32>>>, Failure> {
        let facts = self.facts(model);
        let cannot = |what: &str| {
            let message = format!("model `{}/{model}` makes no vectors of {what}", self.name());
            Failure::new(ErrorClass::BadRequest, message)
        };
        let texts = parts.iter().map(|part| match part {
            Part::Text(text) => Ok(text.clone()),
            Part::Image(_) | Part::Document(_) | Part::Video(_) | Part::Audio(_) => {
                Err(cannot("files"))
            }
        });
        let texts = texts.collect::<Result<Vec<_>, _>>()?;
        let call = self.dialect.embed(&self.endpoint, model, &texts, &facts);
        let call = call.ok_or_else(|| cannot("anything"))?;
        let bytes = texts.iter().map(|text| text.len() as u64).sum::<u64>();
        let amount = || Amount { input: bytes.div_ceil(3), output: 0 };
        let turn = self.turn_of(context, model, amount).await?;
        turn.sent();
        let reply = self.http.send(call, &context.cancel).await?;
        turn.answered(&reply.headers);
        let raw = self.endpoint.redactor.bytes(reply.body.clone());
        let raw = context.intake.keep(raw, "reply").await?.to_value();
        if !(200..300).contains(&reply.status) {
            turn.used(Amount::default());
            let failure = self.refused(&reply, model);
            turn.refused(&failure);
            return Err(failure);
        }
        let (vectors, tokens) = self
            .dialect
            .read_embed(&reply.body)
            .map_err(|fault| self.failure(fault, &reply.headers, reply.status))?;
        if let Some(input) = tokens.input {
            turn.used(Amount { input, output: tokens.output.unwrap_or_default() });
        }
        (context.note)(CallUsage {
            provider: self.name().to_owned(),
            model: model.to_owned(),
            input_tokens: tokens.input,
            output_tokens: tokens.output,
            cost: facts.price.and_then(|price| price.of(&tokens)),
            raw: Some(raw),
            ..CallUsage::default()
        });
        if vectors.len() != texts.len() {
            let message = format!(
                "provider `{}` made {} vectors of {} texts",
                self.name(),
                vectors.len(),
                texts.len()
            );
            return Err(Failure::new(ErrorClass::Server, message));
        }
        Ok(vectors.into_iter().map(|vector| vec![vector]).collect())
    }
}
