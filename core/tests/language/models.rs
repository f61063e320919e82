//! Which models a step asks, and what replaces them.

use flow_core::language::{
    Bundle, Checked, Environment, Instead, KnownProviders, Work, check, user_providers,
};

use crate::support::{actions, check_with, lines_of};

const TEXT: &str = "
providers: {mine: {type: command, command: [answer]}, other: {type: command, command: [answer]}}
models:
  reader: [mine/a, {provider: other, model: b, options: {z: 1, a: 2}}, auto]
  file: {provider: mine, path: m.gguf, projector: p.gguf}
defaults: {model: reader}
steps:
  - {id: default, uses: model.generate, with: {prompt: x}}
  - {id: named, uses: model.generate, model: file, with: {prompt: x}}
  - {id: chain, uses: model.generate, model: [file, reader, mine/deep/name], with: {prompt: x}}
";

fn asked(checked: Checked) -> Vec<Vec<String>> {
    assert_eq!(checked.diagnostics.to_string(), "");
    let workflow = checked.workflow.unwrap();
    let chain = |work: &Work| match work {
        Work::Action { models, .. } => {
            models.iter().map(|m| format!("{}/{}", m.provider, m.model)).collect()
        }
        Work::Body { .. } | Work::Workflow { .. } => Vec::new(),
    };
    workflow.steps.steps.iter().map(|step| chain(&step.work)).collect()
}

fn with(models: &[(&str, &str)]) -> Checked {
    check_with(TEXT.as_bytes(), &[], models)
}

#[test]
fn a_step_asks_the_models_it_names_in_their_order() {
    let reader = ["mine/a", "other/b", "auto/auto"];
    let chain = ["mine/m.gguf", "mine/a", "other/b", "auto/auto", "mine/deep/name"];
    assert_eq!(asked(with(&[])), [&reader[..], &["mine/m.gguf"], &chain]);
    let workflow = with(&[]).workflow.unwrap();
    assert_eq!(workflow.models["reader"][1].options.as_deref(), Some("{\"a\":2,\"z\":1}"));
    let file = &workflow.models["file"][0];
    assert_eq!((file.path.as_deref(), file.projector.as_deref()), (Some("m.gguf"), Some("p.gguf")));
    assert_eq!(file.config.kind, "command");
}

#[test]
fn a_model_is_replaced_by_name_or_with_all_others() {
    let chain = ["mine/m.gguf", "other/c", "mine/deep/name"];
    assert_eq!(asked(with(&[("reader", "other/c")])), [&["other/c"][..], &["mine/m.gguf"], &chain]);
    assert_eq!(asked(with(&[("*", "auto")])), [["auto/auto"], ["auto/auto"], ["auto/auto"]]);
    assert_eq!(
        asked(with(&[("*", "auto"), ("reader", "other/c")])),
        [["auto/auto"], ["auto/auto"], ["auto/auto"]]
    );
}

#[test]
fn a_replacement_that_cannot_be_is_told() {
    for (models, expected) in [
        (
            &[("readr", "auto")][..],
            &["2:1 `--model readr=…`: the workflow names no model `readr`; did you mean `reader`?"]
                [..],
        ),
        (
            &[("zzzzzz", "auto")],
            &[
                "2:1 `--model zzzzzz=…`: the workflow names no model `zzzzzz`; `*=…` replaces every model",
            ],
        ),
        (
            &[("reader", "nobody/x")],
            &["4:3 there is no provider `nobody`; name it under `providers:` with its `type`"],
        ),
        (
            &[("*", "telepathy/gpt")],
            &[
                "6:19 there is no provider `telepathy`; name it under `providers:` with its `type`",
                "9:46 there is no provider `telepathy`; name it under `providers:` with its `type`",
                "10:46 there is no provider `telepathy`; name it under `providers:` with its `type`",
            ],
        ),
    ] {
        assert_eq!(lines_of(&with(models)), expected, "{models:?}");
    }
}

#[test]
fn a_replacement_reaches_the_workflows_that_are_run() {
    let text = "models: {reader: auto}\nsteps: [{id: a, uses: workflow.run, with: {workflow: c.yaml}}, {id: b, uses: model.generate, model: reader, with: {prompt: x}}]\n";
    let files = [("c.yaml", TEXT)];
    let checked = check_with(text.as_bytes(), &files, &[("reader", "auto")]);
    assert_eq!(checked.diagnostics.to_string(), "");
    assert_eq!(checked.bundle.instead.models["reader"], "auto");
    let workflow = checked.workflow.unwrap();
    let Work::Workflow { workflow: child, .. } = &workflow.steps.steps[0].work else { panic!() };
    assert_eq!(child.models["reader"].len(), 1);
}

#[test]
fn a_workflow_takes_over_what_the_user_set_unless_it_names_another_place() {
    let settings = b"providers: {server: {type: openai, base_url: 'http://a', api_key: '{{ secrets.K }}', concurrency: 2}}";
    let known = KnownProviders { kinds: &["openai"], ..KnownProviders::default() };
    let (providers, faults) = user_providers("settings.yaml", settings, known);
    assert_eq!(faults.to_string(), "");
    let set = |own: &str| {
        let text = format!(
            "providers: {{server: {own}}}\nsteps: [{{id: s, uses: model.generate, model: server/m, with: {{prompt: x}}}}]"
        );
        let environment = Environment {
            actions: &actions(),
            providers: &providers,
            files: &Bundle::default(),
            instead: &Instead::default(),
        };
        let checked = check("w.yaml", text.as_bytes(), environment);
        assert_eq!(checked.diagnostics.to_string(), "");
        let config = std::sync::Arc::clone(&checked.workflow.unwrap().providers["server"]);
        let settings = config.settings.iter();
        settings.map(|(key, value)| format!("{key}={}", value.source())).collect::<Vec<_>>()
    };
    let (address, key) = ("base_url=\"http://a\"", "api_key=\"{{ secrets.K }}\"");
    assert_eq!(set("{type: openai}"), [key, address, "concurrency=2"]);
    assert_eq!(set("{type: openai, concurrency: 9}"), [key, address, "concurrency=9"]);
    assert_eq!(set("{type: openai, base_url: 'http://b'}"), ["base_url=\"http://b\""]);
}

#[test]
fn a_setting_that_a_kind_of_provider_does_not_have_is_told() {
    let text = "providers: {openai: {bse_url: x, other: 1}}\nsteps: [{id: s, uses: value.set, with: {value: 1}}]";
    let known = KnownProviders {
        kinds: &["openai"],
        settings: [("openai", &["base_url", "api_key"][..])].into(),
        ..KnownProviders::default()
    };
    let environment = Environment {
        actions: &actions(),
        providers: &known,
        files: &Bundle::default(),
        instead: &Instead::default(),
    };
    assert_eq!(
        lines_of(&check("w.yaml", text.as_bytes(), environment)),
        [
            "1:22 a provider of type `openai` has no setting `bse_url`; did you mean `base_url`?",
            "1:34 a provider of type `openai` has no setting `other`; it has: base_url, api_key",
        ]
    );
}
