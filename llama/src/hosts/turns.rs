//! Whose turn it is: which requests may be asked now, and which models leave for that.
//!
//! Pure: what holds a turn, loads a model or ends a process is elsewhere. What holds:
//!
//! - The models that are there never take more than the budget together.
//! - A model leaves only when nobody uses it, the one that was used longest ago first.
//! - A request for a model that is there goes before an older one for a model for which
//!   another would have to leave; but only [`PATIENCE`] of them, so that nobody starves.

use std::collections::BTreeMap;

/// How many requests may go before an older one whose model is not there.
const PATIENCE: u32 = 64;

/// Which model, and how it is loaded.
pub(super) type Key = String;

/// Who is given turns, and what they take.
#[derive(Debug, Default)]
pub(super) struct Turns {
    budget: u64,
    loaded: BTreeMap<Key, Loaded>,
    waiting: Vec<Waiting>,
    /// Grows with every turn.
    clock: u64,
}

#[derive(Debug)]
struct Loaded {
    need: u64,
    /// The most turns at once.
    most: u32,
    /// Turns that are held.
    held: u32,
    /// When a turn was last given or ended.
    used: u64,
}

#[derive(Debug)]
struct Waiting {
    id: u64,
    order: u64,
    want: Want,
    /// How many went before it that came later.
    overtaken: u32,
}

/// A model that is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Want {
    pub(super) key: Key,
    /// Bytes that it takes.
    pub(super) need: u64,
    /// The most that ask it at once.
    pub(super) most: u32,
}

/// A turn that is given.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Granted {
    /// Who gets it.
    pub(super) id: u64,
    /// Models that leave first.
    pub(super) leave: Vec<Key>,
}

impl Turns {
    pub(super) fn new(budget: u64) -> Self {
        Self { budget, ..Self::default() }
    }

    /// Somebody wants a turn; `id` is theirs alone.
    pub(super) fn ask(&mut self, id: u64, order: u64, want: Want) {
        let at = self.waiting.partition_point(|other| (other.order, other.id) <= (order, id));
        self.waiting.insert(at, Waiting { id, order, want, overtaken: 0 });
    }

    /// Somebody does not wait any more.
    pub(super) fn withdraw(&mut self, id: u64) {
        self.waiting.retain(|waiting| waiting.id != id);
    }

    /// A turn has ended.
    pub(super) fn end(&mut self, key: &str) {
        self.clock += 1;
        if let Some(loaded) = self.loaded.get_mut(key) {
            loaded.held = loaded.held.saturating_sub(1);
            loaded.used = self.clock;
        }
    }

    /// How many hold a turn of a model.
    pub(super) fn held(&self, key: &str) -> u32 {
        self.loaded.get(key).map_or(0, |loaded| loaded.held)
    }

    /// Gives the next turn, if somebody may have one.
    pub(super) fn next(&mut self) -> Option<Granted> {
        let starving = self.waiting.iter().find(|waiting| waiting.overtaken >= PATIENCE);
        let starving = starving.map(|waiting| waiting.want.key.clone());
        let found = self.waiting.iter().enumerate().find_map(|(at, waiting)| {
            if starving.as_ref().is_some_and(|key| *key != waiting.want.key) {
                return None;
            }
            Some((at, self.room_for(&waiting.want, starving.is_some())?))
        });
        let (at, leave) = found?;
        let Waiting { id, want, .. } = self.waiting.remove(at);
        for key in &leave {
            self.loaded.remove(key);
        }
        for earlier in &mut self.waiting[..at] {
            if earlier.want.key != want.key {
                earlier.overtaken += 1;
            }
        }
        self.clock += 1;
        let Want { key, need, most } = want;
        let loaded = self.loaded.entry(key).or_insert(Loaded { need, most, held: 0, used: 0 });
        loaded.held += 1;
        loaded.used = self.clock;
        Some(Granted { id, leave })
    }

    /// The models that must leave for this one to be asked; none if it must wait.
    fn room_for(&self, want: &Want, at_any_rate: bool) -> Option<Vec<Key>> {
        if let Some(loaded) = self.loaded.get(&want.key) {
            return (loaded.held < loaded.most).then(Vec::new);
        }
        let is_wanted = |key: &Key| self.waiting.iter().any(|waiting| waiting.want.key == *key);
        let mut idle: Vec<_> = self
            .loaded
            .iter()
            .filter(|(key, loaded)| loaded.held == 0 && (at_any_rate || !is_wanted(key)))
            .collect();
        idle.sort_by_key(|(_, loaded)| loaded.used);
        let mut taken: u64 = self.loaded.values().map(|loaded| loaded.need).sum();
        let mut leave = Vec::new();
        let mut idle = idle.into_iter();
        while taken.saturating_add(want.need) > self.budget {
            let (key, loaded) = idle.next()?;
            taken -= loaded.need;
            leave.push(key.clone());
        }
        Some(leave)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn want(key: &str, need: u64) -> Want {
        Want { key: key.into(), need, most: 2 }
    }

    fn given(turns: &mut Turns) -> Vec<(u64, Vec<Key>)> {
        std::iter::from_fn(|| turns.next()).map(|granted| (granted.id, granted.leave)).collect()
    }

    #[test]
    fn what_fits_is_there_together_and_the_longest_unused_leaves() {
        let mut turns = Turns::new(10);
        turns.ask(1, 1, want("a", 4));
        turns.ask(2, 2, want("b", 4));
        assert_eq!(given(&mut turns), [(1, vec![]), (2, vec![])]);
        turns.ask(3, 3, want("c", 4));
        assert_eq!(given(&mut turns), [], "both are used");
        turns.end("b");
        assert_eq!(given(&mut turns), [(3, vec!["b".to_owned()])]);
        turns.end("c");
        turns.end("a");
        turns.ask(4, 4, want("b", 4));
        assert_eq!(given(&mut turns), [(4, vec!["c".to_owned()])]);
    }

    #[test]
    fn requests_for_the_model_that_is_there_go_first_in_their_order() {
        let mut turns = Turns::new(4);
        for (id, key) in [(1, "a"), (2, "b"), (3, "a"), (5, "a"), (4, "a")] {
            turns.ask(id, id, want(key, 4));
        }
        assert_eq!(given(&mut turns), [(1, vec![]), (3, vec![])], "two at once");
        turns.end("a");
        assert_eq!(given(&mut turns), [(4, vec![])]);
        turns.end("a");
        turns.end("a");
        assert_eq!(given(&mut turns), [(5, vec![])]);
        turns.end("a");
        assert_eq!(given(&mut turns), [(2, vec!["a".to_owned()])]);
    }

    #[test]
    fn nobody_starves() {
        let mut turns = Turns::new(4);
        turns.ask(0, 0, want("a", 4));
        assert_eq!(given(&mut turns).len(), 1);
        turns.ask(1, 1, want("b", 4));
        let mut later = 2..;
        let mut before = 0;
        loop {
            let id = later.next().unwrap();
            turns.ask(id, id, want("a", 4));
            turns.end("a");
            match given(&mut turns).as_slice() {
                [(1, leave)] => break assert_eq!(*leave, ["a"]),
                [_] => before += 1,
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(before, PATIENCE);
    }

    #[test]
    fn who_gives_up_is_not_waited_for() {
        let mut turns = Turns::new(4);
        turns.ask(1, 1, want("a", 4));
        turns.withdraw(1);
        assert_eq!(given(&mut turns), []);
    }

    proptest! {
        /// Whatever is asked and ended: the budget holds, nobody leaves who is used, and once
        /// turns end everybody has had one.
        #[test]
        fn the_budget_holds_and_everybody_is_served(
            asks in prop::collection::vec((0..4_usize, 0..50_u64), 1..200),
            ends in any::<u64>(),
        ) {
            let models = [("a", 3), ("b", 4), ("c", 5), ("d", 9)];
            let mut turns = Turns::new(10);
            let mut held: Vec<(u64, usize)> = Vec::new();
            let mut random = ends;
            let mut served = 0;
            let mut check = |turns: &mut Turns, held: &mut Vec<(u64, usize)>, asks: &[(usize, u64)]| {
                while let Some(Granted { id, leave }) = turns.next() {
                    for key in leave {
                        assert!(held.iter().all(|(_, model)| models[*model].0 != key), "{key} is used");
                    }
                    held.push((id, asks[id as usize].0));
                    served += 1;
                    let taken: u64 = turns.loaded.values().map(|loaded| loaded.need).sum();
                    assert!(taken <= 10, "{taken}");
                }
            };
            for (id, (model, order)) in asks.iter().enumerate() {
                let (key, need) = models[*model];
                turns.ask(id as u64, *order, want(key, need));
                check(&mut turns, &mut held, &asks);
                random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                if random >> 63 == 1 && !held.is_empty() {
                    let (_, model) = held.remove((random >> 32) as usize % held.len());
                    turns.end(models[model].0);
                    check(&mut turns, &mut held, &asks);
                }
            }
            while !held.is_empty() {
                let (_, model) = held.remove(0);
                turns.end(models[model].0);
                check(&mut turns, &mut held, &asks);
            }
            prop_assert_eq!(served, asks.len());
        }
    }
}
