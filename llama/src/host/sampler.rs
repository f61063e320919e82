//! Choosing the next token.

use llama_cpp_2::context::LlamaContext;
use llama_cpp_2::model::LlamaModel;
use llama_cpp_2::sampling::LlamaSampler;
use llama_cpp_2::token::LlamaToken;
use llama_cpp_2::token::data::LlamaTokenData;
use llama_cpp_2::token::data_array::LlamaTokenDataArray;
use serde_json::Value;

use crate::protocol::Sampling;

/// The grammar's first rule.
const ROOT: &str = "root";

/// Chooses the tokens of one answer.
pub(super) struct Sampler {
    chain: LlamaSampler,
    /// What an answer must look like.
    grammar: Option<LlamaSampler>,
}

impl Sampler {
    /// One that holds to a grammar, where there is one.
    pub(super) fn new(
        model: &LlamaModel,
        sampling: &Sampling,
        grammar: Option<LlamaSampler>,
    ) -> Self {
        Self { chain: chain(model, sampling), grammar }
    }

    /// The next token after the batch's token of this index.
    ///
    /// The grammar is asked about the token that would be taken, and looks at all others only
    /// where it refuses that: going through a vocabulary takes longer than most steps.
    pub(super) fn choose(&mut self, context: &LlamaContext<'_>, index: i32) -> LlamaToken {
        let Some(grammar) = &mut self.grammar else {
            return self.chain.sample(context, index);
        };
        let mut all = context.token_data_array_ith(index);
        all.apply_sampler(&mut self.chain);
        let token = match all.selected_token() {
            Some(token) if allows(grammar, token) => token,
            Some(_) | None => {
                let mut all = context.token_data_array_ith(index);
                all.apply_sampler(grammar);
                all.apply_sampler(&mut self.chain);
                all.selected_token().unwrap_or_else(|| LlamaToken::new(0))
            }
        };
        grammar.accept(token);
        self.chain.accept(token);
        token
    }
}

fn allows(grammar: &mut LlamaSampler, token: LlamaToken) -> bool {
    let mut one = LlamaTokenDataArray::new(vec![LlamaTokenData::new(token, 1.0, 0.0)], false);
    one.apply_sampler(grammar);
    one.data.first().is_some_and(|data| data.logit().is_finite())
}

fn chain(model: &LlamaModel, sampling: &Sampling) -> LlamaSampler {
    let mut samplers = Vec::new();
    if (sampling.repeat_penalty - 1.0).abs() > f32::EPSILON && sampling.repeat_last > 0 {
        let (last, penalty) = (sampling.repeat_last, sampling.repeat_penalty);
        samplers.push(LlamaSampler::penalties(model.n_vocab(), last, penalty, 0.0, 0.0));
    }
    if sampling.temperature <= 0.0 {
        samplers.push(LlamaSampler::greedy());
    } else {
        if sampling.top_k > 0 {
            samplers.push(LlamaSampler::top_k(sampling.top_k));
        }
        samplers.push(LlamaSampler::top_p(sampling.top_p, 1));
        samplers.push(LlamaSampler::min_p(sampling.min_p, 1));
        samplers.push(LlamaSampler::temp(sampling.temperature));
        samplers.push(LlamaSampler::dist(sampling.seed));
    }
    LlamaSampler::chain(samplers, true)
}

/// The grammar of a schema; none where no grammar can say what the schema does.
pub(super) fn grammar(model: &LlamaModel, schema: &Value) -> Option<LlamaSampler> {
    // It does not tell why: what llama.cpp throws does not come through.
    let rules = llama_cpp_2::json_schema_to_grammar(&schema.to_string()).ok()?;
    LlamaSampler::grammar(model, &rules, ROOT).ok()
}
