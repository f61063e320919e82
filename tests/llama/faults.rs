//! What is wrong with a question to a local model, and what to do about it, in exact words.

use super::{asks, world};
use crate::support::World;

/// Runs a workflow that must fail, and says why its step `ask` did.
#[track_caller]
fn failed(world: &World, workflow: &str) -> (String, String, Option<String>) {
    world.write("w.yaml", workflow);
    let run = world.flow(&["run", "w.yaml", "--json"]).exits(1);
    let error = &run.json()["steps"]["ask"]["error"];
    let text = |key: &str| error[key].as_str().map(str::to_owned);
    let hint = run.stderr.lines().find_map(|line| line.trim().strip_prefix("hint: "));
    (
        text("class").unwrap_or_default(),
        text("message").unwrap_or_default().replace(&world.folder().display().to_string(), "HERE"),
        hint.map(str::to_owned),
    )
}

#[test]
fn an_image_for_a_model_without_a_projector_names_the_file_to_get() {
    let world = world();
    let (class, message, hint) = failed(&world, &asks("text", "{image: square.png, prompt: x}"));
    assert_eq!(
        (&*class, &*message),
        ("bad_request", "model `llama/models/qwen2vl.gguf` takes no images")
    );
    assert_eq!(
        hint.as_deref(),
        Some(
            "images need the projector that was made for this model: get `mmproj-qwen2vl.gguf` \
             (it may be called `mmproj-model-f16.gguf`) from where the weights are from, and name \
             it as `projector`"
        )
    );
}

#[test]
fn a_prompt_over_the_context_says_by_how_much() {
    let world = world();
    let prompt = "word ".repeat(120);
    let (class, message, hint) =
        failed(&world, &asks("text", &format!("{{prompt: \"{prompt}\"}}")));
    assert_eq!(class, "too_large");
    assert_eq!(
        message,
        "what is asked takes 618 tokens, 107 more than fit into the context of 512 of model \
         `models/qwen2vl.gguf` with a word of answer"
    );
    assert_eq!(
        hint.as_deref(),
        Some(
            "raise `context` in the model's `options`, or ask about fewer or smaller images at once"
        )
    );
}

#[test]
fn an_image_that_cannot_be_decoded_is_named() {
    let world = world();
    let whole = std::fs::read(world.path("wide.png")).unwrap();
    std::fs::write(world.path("cut.png"), &whole[..whole.len() / 2]).unwrap();
    let (class, message, _) = failed(&world, &asks("llava", "{image: cut.png, prompt: x}"));
    assert_eq!(class, "input");
    assert!(message.starts_with("image `cut.png` cannot be decoded: "), "{message}");
}

#[test]
fn files_that_are_no_models_are_refused() {
    let world = world();
    std::fs::write(world.path("models/empty.gguf"), b"").unwrap();
    std::fs::write(world.path("models/text.gguf"), b"hello, this is no model").unwrap();
    let whole = std::fs::read(world.path("models/llava.gguf")).unwrap();
    std::fs::write(world.path("models/cut.gguf"), &whole[..whole.len() - 1000]).unwrap();
    for (file, class, expected) in [
        ("missing", "not_found", "there is no file `HERE/models/missing.gguf`"),
        (
            "empty",
            "input",
            "`HERE/models/empty.gguf`: it is no GGUF file: it begins with nothing, not with `GGUF`",
        ),
        ("text", "input", "`HERE/models/text.gguf`: it is no GGUF file: it begins with "),
        ("cut", "input", "`HERE/models/cut.gguf`: it is cut short: 1000 of its "),
    ] {
        let workflow = format!(
            "name: w\nmodels: {{m: {{provider: llama, path: models/{file}.gguf, options: {{threads: 1}}}}}}\n\
             steps: [{{id: ask, uses: model.generate, model: m, retry: {{attempts: 1}}, with: {{prompt: x}}}}]\n"
        );
        let (found, message, _) = failed(&world, &workflow);
        assert_eq!(found, class, "{message}");
        assert!(message.starts_with(expected), "{message}");
    }
}

#[test]
fn a_model_that_can_never_fit_is_refused_with_the_numbers() {
    let world = world();
    let workflow = "name: w\nproviders: {llama: {memory: 60MB}}\nmodels: {m: {provider: llama, path: models/llava.gguf, options: {threads: 1, context: 1024}}}\n\
         steps: [{id: ask, uses: model.generate, model: m, retry: {attempts: 1}, with: {prompt: x}}]\n";
    let (class, message, hint) = failed(&world, workflow);
    assert_eq!(class, "limit");
    let (begin, end) = message.split_once("60 MB of ").unwrap();
    assert_eq!(
        begin,
        "model `models/llava.gguf` takes about 71 MB of memory (weights 487 kB, a context of 1024 \
         tokens 262 kB, computing 70 MB), and "
    );
    assert!(end.ends_with(" can be used"), "{end}");
    assert_eq!(
        hint.as_deref(),
        Some(
            "take a smaller model or quantisation, a smaller `context` in its `options`, or raise \
             the provider's `memory`"
        )
    );
}

#[test]
fn names_and_options_that_nobody_knows_are_said() {
    let world = world();
    let (class, message, hint) = failed(&world, &asks("llama/nothing", "{prompt: x}"));
    assert_eq!((&*class, &*message), ("not_found", "there is no model `nothing`"));
    assert_eq!(
        hint.as_deref(),
        Some(
            "`flow model ls` lists those that are here, `flow model ls --catalog` those that can be \
             pulled by name"
        )
    );
    let (class, message, hint) = failed(&world, &asks("text", "{prompt: x, options: {topk: 3}}"));
    assert_eq!((&*class, &*message), ("input", "local models have no option `topk`"));
    assert_eq!(hint.as_deref(), Some("did you mean `top_k`?"));
    let (_, message, _) = failed(&world, &asks("text", "{prompt: x, seed: -1}"));
    assert_eq!(message, "`seed: -1` is not a whole number from 0 to 4294967295");
}

#[test]
fn control_tokens_in_what_is_asked_are_letters() {
    let world = world();
    let tokens = |prompt: &str| {
        world.write("w.yaml", &asks("text", &format!("{{prompt: \"{prompt}\", max_tokens: 1}}")));
        let run = world.flow(&["run", "w.yaml", "--json"]).exits(1).json();
        run["steps"]["ask"]["meta"]["usage"]["input_tokens"].as_u64().unwrap()
    };
    // Each letter is a token; as a control token it would be one.
    assert_eq!(tokens("<|im_end|>") - tokens("0123456789"), 0);
}

#[test]
fn an_answer_that_fills_the_context_says_so() {
    let world = world();
    let with = format!("{{prompt: \"{}\", temperature: 1, seed: 2}}", "word ".repeat(98));
    let (class, message, hint) = failed(&world, &asks("text", &with));
    assert_eq!(class, "truncated", "{message}");
    assert_eq!(
        message,
        "the answer of model `llama/models/qwen2vl.gguf` was cut where its context of 512 tokens was full"
    );
    assert_eq!(
        hint.as_deref(),
        Some("raise `context` in the model's `options`, or ask about less at once")
    );
}

#[test]
fn a_limit_that_was_asked_for_cuts() {
    let world = world();
    let (class, message, _) =
        failed(&world, &asks("text", "{prompt: x, max_tokens: 3, temperature: 0}"));
    assert_eq!(class, "truncated");
    assert_eq!(
        message,
        "the answer of model `llama/models/qwen2vl.gguf` was cut at its limit of tokens"
    );
}

#[test]
fn a_schema_that_no_grammar_can_hold_is_asked_for_in_words_and_said() {
    let world = world();
    // Grammars count to two thousand.
    let schema = "{type: string, minLength: 5000}";
    world
        .write("w.yaml", &asks("text", &format!("{{prompt: x, max_tokens: 8, schema: {schema}}}")));
    let run = world.flow(&["run", "w.yaml", "--json"]).exits(1).run();
    let logs = world.flow(&["logs", &run]).exits(0).stdout;
    let line = "no grammar can hold the answer to its schema: the model is asked for it in words, \
                and the answer is checked";
    assert!(logs.contains(line), "{logs}");
}
