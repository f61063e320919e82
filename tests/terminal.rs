//! A person at a terminal: `script` gives the binary one.
#![cfg(target_os = "linux")]

mod support;

use std::io::{Read, Write};
use std::process::Stdio;

use support::{Output, World, ended, say};

const WORKFLOW: &str = r#"
steps:
  - { id: ask, uses: human.approve, with: { show: { total: 4 }, question: "Is it right?" } }
outputs: { approved: "{{ steps.ask.output.approved }}" }
"#;

/// What stands before the place where the answer is typed.
const PROMPT: &str = "[y]es, [n]o, or Enter to decide later: ";

/// Runs the workflow on a terminal on which this is typed once it asks; none where there is no
/// `script`.
fn typed(world: &World, keys: &str) -> Option<Output> {
    typed_at(world, PROMPT, keys)
}

/// The same where something else stands before the place.
fn typed_at(world: &World, prompt: &str, keys: &str) -> Option<Output> {
    let flow = world.command(&[]);
    let mut command = std::process::Command::new("script");
    // `exec`: a shell that stays answers an interrupt key with a code of its own.
    let line = format!("exec {} run w.yaml", flow.get_program().to_string_lossy());
    command.args(["-qec", &line, "/dev/null"]).current_dir(world.folder());
    command.env_remove("FLOW_STORE");
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let Ok(mut child) = command.spawn() else {
        say("skipped: there is no `script` to give a terminal");
        return None;
    };
    let mut keyboard = child.stdin.take().expect("a keyboard");
    let mut screen = child.stdout.take().expect("a screen");
    let (mut shown, mut byte) = (Vec::new(), [0]);
    while !shown.ends_with(prompt.as_bytes()) && screen.read(&mut byte).expect("a byte") > 0 {
        shown.extend(byte);
    }
    keyboard.write_all(keys.as_bytes()).expect("keys");
    // The keyboard is held until the command has ended: a person stays, too.
    screen.read_to_end(&mut shown).expect("the rest");
    let output = ended(child);
    drop(keyboard);
    Some(Output { stdout: String::from_utf8_lossy(&shown).into_owned(), ..output })
}

#[test]
fn a_person_is_asked_and_asked_again_until_the_answer_is_one() {
    let world = World::with(WORKFLOW);
    let Some(output) = typed(&world, "perhaps\ny\n") else { return };
    let output = output.exits(0);
    assert!(output.stdout.contains("ask: Is it right?\r\n"), "{output:#?}");
    assert!(output.stdout.matches(PROMPT).count() == 2);
    assert!(output.stdout.contains("\"approved\": true"), "{output:#?}");
}

#[test]
fn a_no_fails_the_step() {
    let world = World::with(WORKFLOW);
    let Some(output) = typed(&world, "n\n") else { return };
    let output = output.exits(1);
    assert!(output.stdout.contains("error: step `ask`: a person declined\r\n"), "{output:#?}");
}

#[test]
fn who_stops_at_a_question_finds_the_run_waiting() {
    let world = World::with(WORKFLOW);
    // What an interrupt key sends, to whoever reads the terminal.
    let Some(output) = typed(&world, "\u{3}") else { return };
    let output = output.exits(3);
    assert!(output.stdout.contains("hint: `flow approve "), "{output:#?}");
    let run = world.only_run();
    world.flow(&["approve", &run]).exits(0);
    world.flow(&["resume", &run]).exits(0);
}

#[test]
fn who_decides_later_finds_the_run_waiting() {
    let world = World::with(WORKFLOW);
    let Some(output) = typed(&world, "\n") else { return };
    output.exits(3);
    let run = world.only_run();
    world.flow(&["approve", &run]).exits(0);
    let resumed = world.flow(&["resume", &run, "--json"]).exits(0);
    assert_eq!(resumed.json()["outputs"]["approved"], true);
}

#[test]
fn a_person_gives_an_answer_that_fits() {
    let workflow = "steps: [{ id: say, uses: model.generate, model: human, with: { prompt: How many?, schema: { type: integer } } }]\noutputs: { many: \"{{ steps.say.output }}\" }\n";
    let world = World::with(workflow);
    let Some(output) = typed_at(&world, "the answer, [n]o, or Enter to decide later: ", "4\n")
    else {
        return;
    };
    let output = output.exits(0);
    assert!(output.stdout.contains("as JSON that fits {\"type\":\"integer\"}\r\n"), "{output:#?}");
    assert!(output.stdout.contains("\"many\": 4"), "{output:#?}");
    let world = World::with(workflow);
    let Some(output) = typed_at(&world, "the answer, [n]o, or Enter to decide later: ", "many\n")
    else {
        return;
    };
    let output = output.exits(3);
    let unfit = "error: the output of `say` is not what is asked for: \"many\" is not of type \"integer\"\r\n";
    assert!(output.stdout.contains(unfit), "{output:#?}");
}
