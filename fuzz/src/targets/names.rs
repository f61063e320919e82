//! Names and quantities: what one accepts, written and read again, is the same.

use std::fmt::{Debug, Display};
use std::str::FromStr;
use std::time::Duration;

use flow_core::artifact::{ArtifactRef, for_each_artifact};
use flow_core::content::{ContentHash, canonical};
use flow_core::ids::{InstancePath, RunId, StepId};
use flow_core::units::{Money, parse_duration, parse_size};
use flow_providers::documents::PageSelection;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

pub(super) fn names(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Some(hash) = name::<ContentHash>(text) {
        assert!(
            hash.to_string().eq_ignore_ascii_case(text),
            "{text} is not what {hash} stands for"
        );
    }
    for id in [name::<RunId>(text).map(String::from), name::<StepId>(text).map(String::from)] {
        assert!(id.is_none_or(|id| id == text));
    }
    name::<Money>(text).inspect(|money| assert!(*money >= Money::ZERO, "{text} is {money}"));
    durations_and_sizes(text);
    pages(text);
    path(text);
    if let Ok(value) = serde_json::from_str(text) {
        artifacts(&value);
    }
}

/// Reads a name, and asserts that it reads back, by `Display` and as JSON.
fn name<T>(text: &str) -> Option<T>
where
    T: FromStr + Display + Debug + PartialEq + Serialize + DeserializeOwned,
    T::Err: Display,
{
    match text.parse::<T>() {
        Ok(name) => {
            let again = name.to_string().parse::<T>();
            assert_eq!(again.ok().as_ref(), Some(&name), "{text}");
            let json = serde_json::to_value(&name).expect("a name is JSON");
            assert_eq!(serde_json::from_value::<T>(json).ok().as_ref(), Some(&name), "{text}");
            Some(name)
        }
        Err(error) => {
            assert!(!error.to_string().is_empty());
            None
        }
    }
}

fn durations_and_sizes(text: &str) {
    if let Ok(duration) = parse_duration(text) {
        let millis = u64::try_from(duration.as_millis());
        // The sum of parts may have more milliseconds than one part may.
        if let Ok(millis) = millis {
            assert_eq!(parse_duration(&format!("{millis}ms")), Ok(Duration::from_millis(millis)));
        }
    }
    if let Ok(size) = parse_size(text) {
        assert_eq!(parse_size(&size.to_string()), Ok(size));
    }
}

fn pages(text: &str) {
    let Ok(selection) = text.parse::<PageSelection>() else { return };
    for pages in [0, 1, 3, 10_000] {
        let Ok(chosen) = selection.select(pages) else { continue };
        assert!(chosen.len() <= pages as usize, "{text}");
        assert!(chosen.iter().all(|page| (1..=pages).contains(page)), "{text} of {pages}");
    }
}

fn path(text: &str) {
    let path = InstancePath::from_stored(text);
    assert_eq!(path.as_str(), text);
    let _ = (path.root(), path.last_step());
    let step: StepId = "s".parse().expect("a step id");
    let inner = InstancePath::step(Some(&path.instance("k")), &step);
    assert_eq!(inner.last_step(), Some(step), "{inner}");
}

fn artifacts(value: &Value) {
    let mut found = 0;
    for_each_artifact(value, &mut |artifact| {
        found += 1;
        let again = ArtifactRef::from_value(&artifact.to_value());
        assert_eq!(again.as_ref(), Some(&artifact));
    });
    assert!(found <= value.to_string().matches("$artifact").count());
    // Equal values have one identity, however they are spelt.
    let spelt: Value = serde_json::from_slice(&canonical(value)).expect("canonical JSON is JSON");
    assert_eq!(ContentHash::of_json(&spelt), ContentHash::of_json(value));
    let mut other = value.clone();
    if count_on(&mut other) {
        assert_ne!(ContentHash::of_json(&other), ContentHash::of_json(value), "{other}");
    }
}

/// Makes another value by adding one to the first whole number in it.
fn count_on(value: &mut Value) -> bool {
    match value {
        Value::Number(number) => {
            let Some(next) = number.as_u64().and_then(|n| n.checked_add(1)) else { return false };
            *value = next.into();
            true
        }
        Value::Array(items) => items.iter_mut().any(count_on),
        Value::Object(map) => map.values_mut().any(count_on),
        Value::Null | Value::Bool(_) | Value::String(_) => false,
    }
}
