//! A workflow's file: each fault has a place in it, and what is accepted is accepted again.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use flow_core::action::ActionRegistry;
use flow_core::language::{
    Bundle, Checked, Diagnostic, Environment, Files, Instead, KnownProviders, bind_inputs, check,
    check_bundle,
};
use flow_providers::{ModelFolder, Providers};
use serde_json::Map;

/// The actions that flow has. None of them is run.
pub(super) static ACTIONS: LazyLock<ActionRegistry> = LazyLock::new(|| {
    let mut registry = ActionRegistry::default();
    flow_core::actions::register(&mut registry);
    let providers = Arc::new(Providers::new(BTreeMap::new()));
    flow_providers::register(&mut registry, providers, ModelFolder::new("absent".into()), 1);
    registry
});

static PROVIDERS: LazyLock<KnownProviders> =
    LazyLock::new(|| KnownProviders { kinds: Providers::KINDS, ..KnownProviders::default() });

/// The file's name, also as a sub-workflow that runs itself. `task.mine` reads it as a task.
const NAME: &str = "w.yaml";

const CHILD: &str = "inputs: {x: json}\n\
                     steps: [{id: s, uses: value.set, with: {value: '{{ inputs.x }}'}}]\n\
                     outputs: {y: '{{ steps.s.output }}'}\n";

/// The files that a workflow can refer to.
struct Beside<'t>(&'t str);

impl Files for Beside<'_> {
    fn read(&self, path: &str) -> Result<String, String> {
        match path {
            NAME | "tasks/mine.yaml" => Ok(self.0.to_owned()),
            "child.yaml" => Ok(CHILD.to_owned()),
            "schema.json" => Ok(r#"{"type": "object"}"#.to_owned()),
            _ => Err("there is no such file".to_owned()),
        }
    }
}

pub(super) fn checked(bytes: &[u8]) -> Checked {
    let environment = Environment {
        actions: &ACTIONS,
        providers: &PROVIDERS,
        files: &Beside(std::str::from_utf8(bytes).unwrap_or_default()),
        instead: &Instead::default(),
    };
    check(NAME, bytes, environment)
}

pub(super) fn yaml(bytes: &[u8]) {
    let checked = checked(bytes);
    let faults = &checked.diagnostics;
    assert_eq!(checked.workflow.is_none(), faults.has_errors(), "{faults}");
    assert_eq!(faults.to_string().is_empty(), faults.is_empty());
    let text = String::from_utf8_lossy(bytes);
    for fault in faults.iter() {
        let text = if fault.file == NAME { &text } else { &*checked.bundle.files[&fault.file] };
        has_a_place(fault, text);
    }
    if let Some(workflow) = &checked.workflow {
        again(&checked);
        // An input that is missing is told; nothing else can be wrong with nothing.
        if let Err(faults) = bind_inputs(workflow, &Map::new()) {
            assert!(faults.iter().all(|fault| fault.message.ends_with("is missing")), "{faults:?}");
        }
    }
}

/// Asserts that a fault is told, and stands within its file.
fn has_a_place(fault: &Diagnostic, text: &str) {
    assert!(!fault.message.trim().is_empty(), "{fault:?}");
    assert!(!fault.message.contains('\n'), "{fault:?}");
    // YAML breaks lines at a carriage return alone, too.
    let broken = text.replace("\r\n", "\n").replace('\r', "\n");
    let lines: Vec<_> = broken.lines().collect();
    // A fault of the file as a whole stands at its beginning, one of its end behind it.
    let (line, column) = (fault.line as usize, fault.column as usize);
    assert!(line >= 1 && column >= 1 && line <= lines.len() + 1, "{fault:?}");
    let width = lines.get(line - 1).map_or(0, |line| line.chars().count());
    assert!(column <= width + 1, "{fault:?} is behind its line of {width}");
    let shown = lines.get(line - 1).is_none_or(|line| line.contains(&fault.text));
    assert!(shown, "{fault:?} shows another line");
}

/// Asserts that a definition is, kept and checked again, what it was.
fn again(checked: &Checked) {
    let kept = checked.bundle.to_value();
    let bundle: Bundle = serde_json::from_value(kept).expect("a bundle that was kept");
    assert_eq!(bundle, checked.bundle);
    let second = check_bundle(&bundle, &ACTIONS, &PROVIDERS);
    assert_eq!(second.diagnostics, checked.diagnostics);
    assert_eq!(format!("{:?}", second.workflow), format!("{:?}", checked.workflow));
    assert_eq!(second.bundle.hash(), checked.bundle.hash());
}
