//! Which step waits for which: the edges of a block, and an order that keeps to them.

use std::collections::{BTreeSet, HashMap, HashSet};

use super::super::document::Place;
use super::Checker;
use super::follow::Names;
use super::steps::{Draft, DraftWork};
use crate::template::{Reference, Segment, Template};

impl Checker<'_> {
    /// The steps of its block that a step waits for.
    pub(super) fn edges(
        &mut self,
        draft: &Draft,
        own: usize,
        index: &HashMap<String, usize>,
        names: &Names<'_>,
    ) -> Vec<usize> {
        let mut after = BTreeSet::new();
        for (need, place) in &draft.needs {
            match index.get(need) {
                Some(at) if *at == own => {
                    self.error(*place, format!("step `{need}` cannot wait for itself"), None);
                }
                Some(at) => {
                    after.insert(*at);
                }
                None => self.no_such_need(need, *place, index, names),
            }
        }
        let mut referred = Vec::new();
        references(draft, &mut |reference| {
            if let ("steps", Some(Segment::Key(id))) =
                (reference.root.as_str(), reference.segments.first())
                && let Some(at) = index.get(id)
            {
                referred.push(*at);
            }
        });
        if referred.contains(&own) {
            let message = format!("step `{}` refers to itself", draft.id);
            self.error(draft.place, message, None);
        }
        after.extend(referred.into_iter().filter(|at| *at != own));
        after.into_iter().collect()
    }

    fn no_such_need(
        &mut self,
        need: &str,
        place: Place,
        index: &HashMap<String, usize>,
        names: &Names<'_>,
    ) {
        if names.step(need).is_some() {
            let hint = match names.around {
                Some(_) => "write `needs` at the loop, whose steps wait with it",
                None => "leave it out: the steps of `steps` are settled by then",
            };
            let message = format!("step `{need}` does not stand beside this one");
            self.error(place, message, Some(hint.to_owned()));
        } else {
            let hint = self.meant(need, index.keys().map(String::as_str));
            self.error(place, format!("there is no step `{need}`"), hint);
        }
    }

    /// An order in which every step comes after those it waits for. Steps that wait for
    /// each other are a fault and come last.
    pub(super) fn in_order(&mut self, block: &[Draft]) -> Vec<usize> {
        let mut missing: Vec<usize> = block.iter().map(|draft| draft.after.len()).collect();
        let mut behind = vec![Vec::new(); block.len()];
        for (at, draft) in block.iter().enumerate() {
            draft.after.iter().for_each(|before| behind[*before].push(at));
        }
        let mut order: Vec<usize> = (0..block.len()).filter(|at| missing[*at] == 0).collect();
        let mut done = 0;
        while let Some(at) = order.get(done).copied() {
            done += 1;
            for next in &behind[at] {
                missing[*next] -= 1;
                if missing[*next] == 0 {
                    order.push(*next);
                }
            }
        }
        if order.len() < block.len() {
            let placed: HashSet<usize> = order.iter().copied().collect();
            let cycle = cycle(block, &placed);
            let names: Vec<_> = cycle.iter().map(|at| block[*at].id.as_str()).collect();
            let message = format!("steps wait for each other: {}", names.join(" → "));
            self.error(block[cycle[0]].place, message, None);
            order.extend((0..block.len()).filter(|at| !placed.contains(at)));
        }
        order
    }
}

/// Calls `visit` with every reference of a step, those of its body included.
fn references(draft: &Draft, visit: &mut dyn FnMut(&Reference)) {
    let mut each = |template: &Template| template.references().into_iter().for_each(&mut *visit);
    let own = [&draft.when, &draft.items, &draft.key];
    own.into_iter().flatten().for_each(|(template, _)| each(template));
    match &draft.work {
        DraftWork::Action { with, .. } => with.iter().for_each(|(_, _, value)| each(value)),
        DraftWork::Workflow { inputs, .. } => each(inputs),
        DraftWork::Body { steps, collect } => {
            if let Some((collect, _)) = collect {
                each(collect);
            }
            for step in steps {
                references(step, visit);
            }
        }
        DraftWork::Unknown => {}
    }
}

/// A cycle among the steps that could not be placed, its first step repeated at the end.
fn cycle(block: &[Draft], placed: &HashSet<usize>) -> Vec<usize> {
    let unplaced = |at: &usize| !placed.contains(at);
    let mut way: Vec<usize> = (0..block.len()).filter(unplaced).take(1).collect();
    let mut seen: HashSet<usize> = way.iter().copied().collect();
    while let Some(next) = way.last().and_then(|at| block[*at].after.iter().copied().find(unplaced))
    {
        if !seen.insert(next) {
            let start = way.iter().position(|at| *at == next).unwrap_or(0);
            way.drain(..start);
            way.push(next);
            break;
        }
        way.push(next);
    }
    // `after` leads backwards; people read forwards.
    way.reverse();
    way
}
