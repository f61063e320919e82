//! The processes of models: one a model, shared, replaced when they die, gone with their owner.

use std::process::Stdio;

use super::{MODELS, asks, replies, world};
use crate::support::{World, signal, until};

/// The processes of models that run under a process, by their number.
fn hosts_of(parent: u32) -> Vec<u32> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let Ok(pid) = entry.file_name().to_string_lossy().parse::<u32>() else { continue };
        let of =
            |name: &str| std::fs::read_to_string(format!("/proc/{pid}/{name}")).unwrap_or_default();
        let stat = of("stat");
        let parent_of =
            stat.rsplit(')').next().and_then(|rest| rest.split_whitespace().nth(1)?.parse().ok());
        if parent_of == Some(parent) && of("cmdline").contains("model-host") {
            found.push(pid);
        }
    }
    found
}

fn is_alive(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let state = stat.rsplit(')').next().and_then(|rest| rest.split_whitespace().next());
    state.is_some_and(|state| state != "Z" && state != "X")
}

/// A workflow whose answers take long: many loops of many tokens.
fn long(world: &World) {
    let workflow = format!(
        "name: w{MODELS}steps:\n  - {{id: ask, for_each: 500, max_parallel: 2, uses: model.generate, model: text, retry: {{attempts: 2, initial: 1ms, on: [server]}}, on_error: continue, cache: false, with: {{prompt: \"x {{{{ item }}}}\", max_tokens: 200, temperature: 1, seed: 3}}}}\n"
    );
    world.write("w.yaml", &workflow);
}

#[cfg(target_os = "linux")]
#[test]
fn no_process_outlives_the_one_that_started_it() {
    let world = world();
    long(&world);
    let mut child = world
        .command(&["run", "w.yaml"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut hosts = Vec::new();
    until("a process of a model", || {
        hosts = hosts_of(child.id());
        !hosts.is_empty()
    });
    assert_eq!(hosts.len(), 1, "one model, one process");
    signal(child.id(), "KILL");
    child.wait().unwrap();
    until("the end of the model's process", || hosts.iter().all(|pid| !is_alive(*pid)));
}

#[cfg(target_os = "linux")]
#[test]
fn one_that_is_killed_is_an_error_and_the_next_request_starts_another() {
    let world = world();
    long(&world);
    let mut child = world
        .command(&["run", "w.yaml", "--json"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut hosts = Vec::new();
    until("a process of a model", || {
        hosts = hosts_of(child.id());
        !hosts.is_empty()
    });
    let first = hosts[0];
    signal(first, "KILL");
    until("another process", || {
        hosts = hosts_of(child.id());
        hosts.iter().any(|pid| *pid != first && is_alive(*pid))
    });
    // It is in the store soon after: with the next commit.
    let run = world.only_run();
    let mut told = Vec::new();
    until("what became of the first", || {
        told = messages(&world, &run);
        told.iter().any(|message| message.contains("(SIGKILL)"))
    });
    signal(child.id(), "KILL");
    child.wait().unwrap();
    let killed = "the process of model `models/qwen2vl.gguf` was killed (SIGKILL)";
    assert!(told.iter().any(|message| message.starts_with(killed)), "{told:#?}");
}

/// What the attempts of step `ask` failed with so far.
fn messages(world: &World, run: &str) -> Vec<String> {
    let step = world.flow(&["show", run, "--step", "ask", "--json"]).exits(0).json();
    let mut messages = Vec::new();
    for instance in step["instances"].as_array().unwrap() {
        let path = instance["path"].as_str().unwrap();
        let shown = world.flow(&["show", run, "--step", path, "--json"]).exits(0).json();
        let attempts = shown["attempts"].as_array().unwrap().iter();
        let told = attempts.filter_map(|attempt| attempt["error"]["message"].as_str());
        messages.extend(told.map(str::to_owned));
    }
    messages
}

#[test]
fn instances_of_a_loop_are_computed_together_and_what_they_have_in_common_once() {
    let world = world();
    let begin = "These words stand before every one of the questions. ".repeat(4);
    world.write(
        "w.yaml",
        &format!(
            "name: w{MODELS}steps:\n  - {{id: ask, for_each: 8, max_parallel: 8, uses: model.generate, model: text, retry: {{attempts: 1}}, on_error: continue, cache: false, with: {{system: \"{begin}\", prompt: \"{{{{ item }}}}?\", max_tokens: 60, temperature: 0}}}}\n"
        ),
    );
    let run = world.flow(&["run", "w.yaml", "--json"]).exits(0).run();
    let shown = world.flow(&["show", &run, "--step", "ask", "--json"]).exits(0).json();
    let mut took = Vec::new();
    for instance in shown["instances"].as_array().unwrap() {
        took.extend(
            replies(&world, &run, instance["path"].as_str().unwrap())
                .into_iter()
                .map(|reply| reply["took"].clone()),
        );
    }
    assert_eq!(took.len(), 8);
    let most = took.iter().map(|took| took["together"].as_u64().unwrap()).max();
    assert_eq!(most, Some(4), "as many as `parallel` says: {took:#?}");
    let known = took.iter().filter(|took| took["reused"].as_u64().unwrap() > 200).count();
    assert_eq!(known, 7, "all but the first: {took:#?}");
}

#[test]
fn several_questions_about_an_image_look_at_it_once() {
    let world = world();
    world.write(
        "w.yaml",
        &format!(
            "name: w{MODELS}steps:\n  - {{id: ask, for_each: 5, max_parallel: 5, uses: model.generate, model: qwen2vl, retry: {{attempts: 1}}, on_error: continue, cache: false, with: {{image: wide.png, prompt: \"{{{{ item }}}}?\", max_tokens: 4, temperature: 0}}}}\n"
        ),
    );
    let run = world.flow(&["run", "w.yaml", "--json"]).exits(0).run();
    let shown = world.flow(&["show", &run, "--step", "ask", "--json"]).exits(0).json();
    let mut seen = 0;
    for instance in shown["instances"].as_array().unwrap() {
        for reply in replies(&world, &run, instance["path"].as_str().unwrap()) {
            seen += u64::from(reply["took"]["seen"]["tokens"].as_u64().unwrap() > 0);
        }
    }
    assert_eq!(seen, 1);
}

#[test]
fn what_an_attempt_took_is_shown_with_it() {
    let world = world();
    world.write(
        "w.yaml",
        &asks("llava", "{image: square.png, prompt: x, max_tokens: 5, temperature: 0}"),
    );
    let run = world.flow(&["run", "w.yaml", "--json"]).exits(1).run();
    let shown = world.flow(&["show", &run, "--step", "ask", "--json"]).exits(0).json();
    let attempt = &shown["attempts"][0];
    for rate in ["prompt", "image", "generation"] {
        assert!(attempt["speed"][rate].as_f64().unwrap() > 0.0, "{attempt:#}");
    }
    assert_eq!(attempt["cost"], 0.0);
    assert_eq!(attempt["output_tokens"], 5);
    assert_eq!(attempt["input_tokens"], 37, "16 of the image, and the words: {attempt:#}");
    let told = world.flow(&["show", &run, "--step", "ask"]).exits(0).stdout;
    assert!(told.contains(" tok/s"), "{told}");
}

#[test]
fn doctor_says_what_is_built_in_and_what_computes() {
    let world = World::new();
    let found = world.flow(&["doctor", "--json"]).json();
    let llama =
        found.as_array().unwrap().iter().find(|finding| finding["name"] == "llama").unwrap();
    let what = llama["what"].as_str().unwrap();
    assert!(what.starts_with("built in: cpu") && what.contains("computes on CPU ("), "{what}");
}

#[cfg(target_os = "linux")]
#[test]
fn models_that_do_not_fit_together_are_swapped_once_and_not_for_each_item() {
    let world = world();
    world.write(
        "w.yaml",
        &format!(
            "name: w{MODELS}providers: {{llama: {{memory: 100MB}}}}\nsteps:\n  - id: both\n    for_each: 8\n    max_parallel: 8\n    on_error: continue\n    steps:\n      - {{id: one, uses: model.generate, model: llava, retry: {{attempts: 1}}, on_error: continue, cache: false, with: {{prompt: \"{{{{ item }}}}?\", max_tokens: 60}}}}\n      - {{id: two, uses: model.generate, model: qwen2vl, retry: {{attempts: 1}}, on_error: continue, cache: false, with: {{prompt: \"{{{{ item }}}}? {{{{ steps.one.status }}}}\", max_tokens: 60}}}}\n"
        ),
    );
    let mut child = world
        .command(&["run", "w.yaml"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let (mut seen, mut most) = (std::collections::BTreeSet::new(), 0);
    while child.try_wait().unwrap().is_none() {
        let now: Vec<_> = hosts_of(child.id()).into_iter().filter(|pid| is_alive(*pid)).collect();
        most = most.max(now.len());
        seen.extend(now);
        std::thread::yield_now();
    }
    assert_eq!((seen.len(), most), (2, 1), "one after the other, each once");
    let run = world.only_run();
    for step in ["one", "two"] {
        let shown = world.flow(&["show", &run, "--step", "both", "--json"]).exits(0).json();
        let path = shown["instances"][7]["path"].as_str().unwrap();
        let [reply] = replies(&world, &run, &format!("{path}/{step}")).try_into().unwrap();
        assert!(reply["took"]["written"]["tokens"].as_u64().unwrap() > 0, "{reply}");
    }
}

/// The memory of a process, in KiB.
#[cfg(target_os = "linux")]
pub(super) fn memory_of(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    line.and_then(|line| line.split_whitespace().nth(1)?.parse().ok()).unwrap_or(0)
}

#[cfg(target_os = "linux")]
#[test]
fn memory_is_flat_over_two_hundred_requests_to_two_models_in_turns() {
    let world = world();
    world.write(
        "w.yaml",
        &format!(
            "name: w{MODELS}steps:\n  - id: both\n    for_each: 100\n    max_parallel: 1\n    on_error: continue\n    steps:\n      - {{id: one, uses: model.generate, model: llava, retry: {{attempts: 1}}, on_error: continue, cache: false, with: {{image: square.png, prompt: \"{{{{ item }}}}?\", max_tokens: 8}}}}\n      - {{id: two, uses: model.generate, model: qwen2vl, retry: {{attempts: 1}}, on_error: continue, cache: false, with: {{image: wide.png, prompt: \"{{{{ item }}}}? {{{{ steps.one.status }}}}\", max_tokens: 8}}}}\n"
        ),
    );
    let mut child = world
        .command(&["run", "w.yaml"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut seen: std::collections::BTreeMap<u32, Vec<u64>> = std::collections::BTreeMap::new();
    while child.try_wait().unwrap().is_none() {
        for pid in hosts_of(child.id()) {
            let memory = memory_of(pid);
            if memory > 0 {
                seen.entry(pid).or_default().push(memory);
            }
        }
        std::thread::yield_now();
    }
    assert_eq!(seen.len(), 2, "two models, each loaded once");
    for (pid, samples) in seen {
        let (early, late) = (samples[samples.len() / 3], *samples.last().unwrap());
        assert!(late < early + 8 * 1024, "process {pid} grew from {early} to {late} KiB");
    }
}
