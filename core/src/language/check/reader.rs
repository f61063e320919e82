//! Reading values of a known type out of a document, and saying where one is not.

use std::time::Duration;

use super::super::document::{Data, Entry, Node};
use super::super::keys::Key;
use super::{Checker, listing};
use crate::template::Template;
use crate::units::{UnitError, parse_duration};

/// The entries of a map whose keys are known.
pub(super) struct Fields<'d> {
    entries: Vec<&'d Entry>,
}

impl<'d> Fields<'d> {
    /// The value of a key; none where it is absent or empty.
    pub(super) fn get(&self, key: &str) -> Option<&'d Node> {
        let entry = self.entries.iter().find(|entry| entry.key == key)?;
        (entry.value.data != Data::Null).then_some(&entry.value)
    }

    /// The entry of a key, even where its value is empty.
    pub(super) fn entry(&self, key: &str) -> Option<&'d Entry> {
        self.entries.iter().copied().find(|entry| entry.key == key)
    }
}

impl Checker<'_> {
    /// The entries of a map; unknown and repeated keys are faults.
    pub(super) fn fields<'d>(
        &mut self,
        node: &'d Node,
        what: &str,
        keys: &[Key],
    ) -> Option<Fields<'d>> {
        let entries = self.map(node, what)?;
        let names = || keys.iter().map(|(name, _)| *name);
        let mut known: Vec<&Entry> = Vec::with_capacity(entries.len());
        for entry in entries {
            let key = entry.key.as_str();
            if !names().any(|name| name == key) {
                let hint = self.meant(key, names());
                let hint = hint.unwrap_or_else(|| listing("known are", names()));
                let message = format!("{what} has no key `{key}`");
                self.error(entry.place, message, Some(hint));
                continue;
            }
            known.push(entry);
        }
        Some(Fields { entries: known })
    }

    /// The entries of a map with keys of the writer's own; a repeated key is a fault.
    pub(super) fn map<'d>(&mut self, node: &'d Node, what: &str) -> Option<&'d [Entry]> {
        let Some(entries) = node.entries() else {
            let message = format!("{what} is a map, and this is {}", node.kind());
            self.error(node.place, message, None);
            return None;
        };
        let mut seen = std::collections::HashMap::with_capacity(entries.len());
        for entry in entries {
            if let Some(first) = seen.insert(entry.key.as_str(), entry.place.line) {
                let message = format!("key `{}` stands here twice", entry.key);
                self.error(entry.place, message, Some(format!("the first is on line {first}")));
            }
        }
        Some(entries)
    }

    /// The elements of a list.
    pub(super) fn list<'d>(&mut self, node: &'d Node, what: &str) -> &'d [Node] {
        if let Data::List(items) = &node.data {
            return items;
        }
        self.error(node.place, format!("{what} is a list, and this is {}", node.kind()), None);
        &[]
    }

    /// The text of a value.
    pub(super) fn text<'d>(&mut self, node: &'d Node, what: &str) -> Option<&'d str> {
        let text = node.text();
        if text.is_none() {
            let hint = match node.data {
                Data::Number(_) | Data::Bool(_) => Some("put quotes around it".to_owned()),
                Data::Null | Data::Text(_) | Data::List(_) | Data::Map(_) => None,
            };
            self.error(node.place, format!("{what} is text, and this is {}", node.kind()), hint);
        }
        text
    }

    pub(super) fn optional_text(&mut self, fields: &Fields<'_>, key: &str) -> Option<String> {
        let node = fields.get(key)?;
        self.text(node, &format!("`{key}`")).map(str::to_owned)
    }

    pub(super) fn boolean(&mut self, node: &Node, what: &str) -> Option<bool> {
        if let Data::Bool(value) = node.data {
            return Some(value);
        }
        let message = format!("{what} is `true` or `false`, and this is {}", node.kind());
        self.error(node.place, message, None);
        None
    }

    pub(super) fn optional_boolean(&mut self, fields: &Fields<'_>, key: &str) -> Option<bool> {
        let node = fields.get(key)?;
        self.boolean(node, &format!("`{key}`"))
    }

    /// A whole number from 1 on.
    pub(super) fn optional_count(&mut self, fields: &Fields<'_>, key: &str) -> Option<usize> {
        let node = fields.get(key)?;
        let count = match &node.data {
            Data::Number(number) => number.as_u64().filter(|n| (1..=1_000_000).contains(n)),
            Data::Null | Data::Bool(_) | Data::Text(_) | Data::List(_) | Data::Map(_) => None,
        };
        if count.is_none() {
            let message = format!("`{key}` is a whole number from 1 on");
            self.error(node.place, message, None);
        }
        count.map(|count| count as usize)
    }

    pub(super) fn optional_duration(&mut self, fields: &Fields<'_>, key: &str) -> Option<Duration> {
        let node = fields.get(key)?;
        self.unit(node, key, parse_duration)
    }

    /// A quantity with its unit.
    pub(super) fn unit<T>(
        &mut self,
        node: &Node,
        key: &str,
        parse: impl Fn(&str) -> Result<T, UnitError>,
    ) -> Option<T> {
        let text = match &node.data {
            Data::Text(text) => text.clone(),
            Data::Number(number) => number.to_string(),
            Data::Null | Data::Bool(_) | Data::List(_) | Data::Map(_) => node.kind().to_owned(),
        };
        match parse(&text) {
            Ok(value) => Some(value),
            Err(error) => {
                self.error(node.place, format!("`{key}`: {error}"), None);
                None
            }
        }
    }

    /// One of a few words.
    pub(super) fn word<T: Copy>(
        &mut self,
        fields: &Fields<'_>,
        key: &str,
        words: &[(&str, T)],
    ) -> Option<T> {
        let node = fields.get(key)?;
        let found = node.text().and_then(|text| words.iter().find(|(word, _)| *word == text));
        if found.is_none() {
            let names: Vec<_> = words.iter().map(|(word, _)| format!("`{word}`")).collect();
            self.error(node.place, format!("`{key}` is one of {}", names.join(", ")), None);
        }
        found.map(|(_, value)| *value)
    }

    /// A value with expressions in it. `{$file: path}` stands for the JSON or YAML in a file.
    pub(super) fn template(&mut self, node: &Node) -> Option<Template> {
        match &node.data {
            Data::Text(text) => match Template::compile(text) {
                Ok(template) => Some(template),
                Err(error) => {
                    self.error(node.place, error.message, error.hint);
                    None
                }
            },
            Data::List(items) => {
                let items: Vec<_> = items.iter().map(|item| self.template(item)).collect();
                items.into_iter().collect::<Option<_>>().map(Template::list)
            }
            Data::Map(entries) if entries.len() == 1 && entries[0].key == "$file" => {
                self.file(&entries[0].value).map(Template::Literal)
            }
            Data::Map(_) => {
                let entries = self.map(node, "this")?;
                let mut map = Vec::with_capacity(entries.len());
                for entry in entries {
                    map.push((entry.key.clone(), self.template(&entry.value)));
                }
                let whole = map.into_iter().map(|(key, value)| Some((key, value?)));
                whole.collect::<Option<_>>().map(Template::map)
            }
            Data::Null | Data::Bool(_) | Data::Number(_) => Some(Template::Literal(node.to_json())),
        }
    }

    /// A string that is one whole expression, whether it has braces around it or not.
    pub(super) fn expression(&mut self, node: &Node) -> Option<Template> {
        match node.text() {
            Some(text) if !text.contains("{{") => {
                let bare =
                    Node { data: Data::Text(format!("{{{{ {text} }}}}")), place: node.place };
                self.template(&bare)
            }
            _ => self.template(node),
        }
    }

    fn file(&mut self, node: &Node) -> Option<serde_json::Value> {
        let path = self.text(node, "`$file`")?;
        let text = self.read_file(node, path)?;
        if let Ok(value) = serde_json::from_str(&text) {
            return Some(value);
        }
        let lines = super::Lines::new(path, &text);
        match super::parse::parse(&lines, &text) {
            Ok(node) => Some(node.to_json()),
            Err(fault) => {
                self.session.faults.push(*fault);
                None
            }
        }
    }

    /// Reads a file that the workflow refers to, once.
    pub(super) fn read_file(&mut self, node: &Node, path: &str) -> Option<String> {
        if let Some(text) = self.session.files.get(path) {
            return Some(text.clone());
        }
        match self.environment.files.read(path) {
            Ok(text) => {
                self.session.files.insert(path.to_owned(), text.clone());
                Some(text)
            }
            Err(why) => {
                let hint = Some("paths are relative to the workflow's file".to_owned());
                self.error(node.place, format!("cannot read `{path}`: {why}"), hint);
                None
            }
        }
    }
}
