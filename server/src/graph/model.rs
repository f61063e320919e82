//! What there is to draw, before anybody decides how.
//!
//! The model is a tree of groups. An arrow joins two items of the same group, as a step
//! waits for steps of its own block only, so every group can be drawn by itself.

use flow_core::language::{Block, OnError, Step, Work, Workflow};
use flow_core::store::StepStatus;

/// A workflow as boxes and arrows.
#[derive(Debug)]
pub(crate) struct Graph {
    /// Name of the workflow.
    pub(crate) name: String,
    /// What it is for.
    pub(crate) description: Option<String>,
    /// Its steps, and what runs after them.
    pub(crate) root: Group,
}

/// Items and the arrows between them.
#[derive(Debug, Default)]
pub(crate) struct Group {
    /// The boxes.
    pub(crate) items: Vec<Item>,
    /// The arrows; their ends are indexes into `items`.
    pub(crate) edges: Vec<Edge>,
}

/// A box: a step, or a section of the workflow.
#[derive(Debug)]
pub(crate) struct Item {
    /// Number in drawing order, unique in the graph: a name that no syntax reserves.
    pub(crate) number: usize,
    /// Its path without the keys of items; empty for a section.
    pub(crate) path: String,
    /// The step's name, else its id.
    pub(crate) title: String,
    /// What kind of box it is.
    pub(crate) kind: Kind,
    /// Whether it runs once for each of many items.
    pub(crate) repeats: bool,
    /// What else there is to know, e.g. `each page`.
    pub(crate) notes: Vec<String>,
    /// How it stands, where a run is drawn.
    pub(crate) status: Option<StepStatus>,
}

/// What a box stands for.
#[derive(Debug)]
pub(crate) enum Kind {
    /// A step that runs this action.
    Action(String),
    /// A loop body, or a sub-workflow.
    Group(Group),
    /// A block of the workflow, where there is more than the steps.
    Section(Group),
}

/// An arrow.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Edge {
    /// Where it starts.
    pub(crate) from: usize,
    /// Where it ends.
    pub(crate) to: usize,
    /// What it says.
    pub(crate) kind: EdgeKind,
}

/// What an arrow says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EdgeKind {
    /// A step waits for another.
    Needs,
    /// A section of the workflow runs after another.
    Then,
}

impl Graph {
    /// Builds the graph of a workflow. `status` is asked for each step by its path without
    /// keys, e.g. `pages/read`.
    pub(crate) fn of(workflow: &Workflow, status: &dyn Fn(&str) -> Option<StepStatus>) -> Self {
        let mut builder = Builder { status, numbers: 0 };
        Self {
            name: workflow.name.clone(),
            description: workflow.description.clone(),
            root: builder.workflow(workflow, ""),
        }
    }
}

impl Item {
    /// The group inside, where it has one with anything in it.
    pub(crate) fn inner(&self) -> Option<&Group> {
        match &self.kind {
            Kind::Action(_) => None,
            Kind::Group(group) | Kind::Section(group) => (!group.items.is_empty()).then_some(group),
        }
    }

    /// The action it runs; none for a group.
    pub(crate) fn action(&self) -> Option<&str> {
        match &self.kind {
            Kind::Action(action) => Some(action),
            Kind::Group(_) | Kind::Section(_) => None,
        }
    }

    /// Title, action and notes: the lines of its label.
    pub(crate) fn lines(&self) -> impl Iterator<Item = &str> {
        let rest = self.action().into_iter();
        std::iter::once(self.title.as_str())
            .chain(rest)
            .chain(self.notes.iter().map(String::as_str))
    }
}

struct Builder<'a> {
    status: &'a dyn Fn(&str) -> Option<StepStatus>,
    numbers: usize,
}

impl Builder<'_> {
    fn workflow(&mut self, workflow: &Workflow, prefix: &str) -> Group {
        let sections = [
            ("steps", &workflow.steps),
            ("on failure", &workflow.on_failure),
            ("finally", &workflow.finally),
        ];
        if sections[1..].iter().all(|(_, block)| block.steps.is_empty()) {
            return self.block(&workflow.steps, prefix);
        }
        let mut group = Group::default();
        for (title, block) in sections {
            if block.steps.is_empty() {
                continue;
            }
            let number = self.next_number();
            let inner = self.block(block, prefix);
            let to = group.items.len();
            group.items.push(Item {
                number,
                path: String::new(),
                title: title.into(),
                kind: Kind::Section(inner),
                repeats: false,
                notes: Vec::new(),
                status: None,
            });
            if let Some(from) = to.checked_sub(1) {
                let kind = EdgeKind::Then;
                group.edges.push(Edge { from, to, kind });
            }
        }
        group
    }

    fn block(&mut self, block: &Block, prefix: &str) -> Group {
        let items = block.steps.iter().map(|step| self.step(step, prefix)).collect();
        let kind = EdgeKind::Needs;
        let edges = block
            .steps
            .iter()
            .enumerate()
            .flat_map(|(to, step)| step.after.iter().map(move |&from| Edge { from, to, kind }));
        Group { items, edges: edges.collect() }
    }

    fn step(&mut self, step: &Step, prefix: &str) -> Item {
        let number = self.next_number();
        let path = format!("{prefix}{}", step.id);
        let inside = format!("{path}/");
        let mut notes = notes(step);
        let kind = match &step.work {
            Work::Action { name, .. } => Kind::Action(name.clone()),
            Work::Body { block, .. } => Kind::Group(self.block(block, &inside)),
            Work::Workflow { workflow, .. } => {
                notes.insert(0, format!("workflow {}", workflow.name));
                Kind::Group(self.workflow(workflow, &inside))
            }
        };
        let status = (self.status)(&path);
        Item {
            number,
            path,
            title: step.name.clone().unwrap_or_else(|| step.id.to_string()),
            kind,
            repeats: step.for_each.is_some(),
            notes,
            status,
        }
    }

    fn next_number(&mut self) -> usize {
        let number = self.numbers;
        self.numbers += 1;
        number
    }
}

/// What is worth a word beside the step's name.
fn notes(step: &Step) -> Vec<String> {
    let mut notes = Vec::new();
    if let Some(each) = &step.for_each {
        notes.push(match each.max_parallel {
            Some(most) => format!("each {}, {most} at once", each.item_name),
            None => format!("each {}", each.item_name),
        });
    }
    if step.when.is_some() {
        notes.push("conditional".into());
    }
    match &step.on_error {
        OnError::Fail => {}
        OnError::Continue | OnError::Value(_) => notes.push("may fail".into()),
    }
    notes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::samples;

    #[test]
    fn a_workflow_without_handlers_has_no_sections() {
        let graph = Graph::of(&samples::invoice(), &|_| None);
        assert!(graph.root.items.iter().all(|i| !matches!(i.kind, Kind::Section(_))));
        assert_eq!(graph.root.items.len(), 5);
    }

    #[test]
    fn handlers_become_sections_that_follow_each_other() {
        let graph = Graph::of(&samples::night(), &|_| None);
        let titles: Vec<_> = graph.root.items.iter().map(|i| i.title.as_str()).collect();
        assert_eq!(titles, ["steps", "on failure", "finally"]);
        let ends: Vec<_> = graph.root.edges.iter().map(|e| (e.from, e.to)).collect();
        assert_eq!(ends, [(0, 1), (1, 2)]);
    }

    #[test]
    fn the_status_is_asked_by_path() {
        let asked = std::cell::RefCell::new(Vec::new());
        Graph::of(&samples::night(), &|path| {
            asked.borrow_mut().push(path.to_owned());
            None
        });
        let asked = asked.into_inner();
        assert!(asked.contains(&"documents/read".to_owned()), "{asked:?}");
    }

    #[test]
    fn numbers_are_unique() {
        fn collect(group: &Group, into: &mut Vec<usize>) {
            for item in &group.items {
                into.push(item.number);
                if let Some(inner) = item.inner() {
                    collect(inner, into);
                }
            }
        }
        let graph = Graph::of(&samples::night(), &|_| None);
        let mut numbers = Vec::new();
        collect(&graph.root, &mut numbers);
        assert_eq!(numbers, (0..numbers.len()).collect::<Vec<_>>());
    }
}
