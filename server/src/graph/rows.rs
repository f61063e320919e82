//! Rows of a group: a small layered layout, from top to bottom.
//!
//! ```text
//! rank      longest path from the top; a full row pushes the next box down
//! thread    an arrow over several rows gets a thread through each row between;
//!           arrows of one box share their thread
//! order     barycentres, down and up
//! x         each box as near to its neighbours' mean as its row allows (exact, by
//!           isotonic regression)
//! ```
//!
//! Boxes of a row never overlap. No arrow runs through a box between its rows unless the
//! graph is so dense that threads were given up ([`MAX_THREADS`]). Crossings are few, not
//! fewest.

use super::layout::Stroke;
use super::model::{EdgeKind, Group};

/// Space between boxes of a row.
const GAP: f64 = 28.0;
/// Space between threads, and between a thread and a box.
const THREAD_GAP: f64 = 14.0;
/// Space between rows, where arrows run; more where they run far.
const ROW_GAP: f64 = 44.0;
const MAX_ROW_GAP: f64 = 110.0;
/// Boxes in a row; a fan-out of hundreds becomes a block that fits a screen's width.
const ROW: usize = 8;
/// Rounds of ordering and of straightening.
const SWEEPS: usize = 8;
/// Threads drawn in a group. Beyond, long arrows run straight: such a picture shows its
/// density and no single arrow.
pub(crate) const MAX_THREADS: usize = 20_000;

/// A box, or a thread where an arrow passes a row.
#[derive(Debug)]
pub(crate) struct Node {
    row: usize,
    pub(crate) width: f64,
    height: f64,
    /// Its centre.
    pub(crate) x: f64,
    thread: bool,
}

/// The rows of a group while they are worked on.
#[derive(Debug)]
pub(crate) struct Rows {
    /// Boxes first, by their index in the group, then threads.
    pub(crate) nodes: Vec<Node>,
    /// Nodes of each row, from left to right.
    ordered: Vec<Vec<usize>>,
    /// Pairs of nodes, mostly of neighbouring rows, joined by a stroke.
    links: Vec<(usize, usize, EdgeKind)>,
    /// Links of each node, upwards and downwards.
    above: Vec<Vec<usize>>,
    below: Vec<Vec<usize>>,
    /// Top of each row, and the bottom of the last.
    tops: Vec<f64>,
    heights: Vec<f64>,
}

impl Rows {
    pub(crate) fn new(group: &Group, sizes: &[(f64, f64)]) -> Self {
        let nodes = ranks(group)
            .into_iter()
            .zip(sizes)
            .map(|(row, &(width, height))| Node { row, width, height, x: 0.0, thread: false })
            .collect();
        let mut rows = Self {
            nodes,
            ordered: Vec::new(),
            links: Vec::new(),
            above: Vec::new(),
            below: Vec::new(),
            tops: Vec::new(),
            heights: Vec::new(),
        };
        rows.link(group);
        rows.ordered = vec![Vec::new(); rows.nodes.iter().map(|n| n.row + 1).max().unwrap_or(0)];
        for (index, node) in rows.nodes.iter().enumerate() {
            let row = &mut rows.ordered[node.row];
            // Threads start in the middle of a row, between the boxes that they serve.
            let place = if node.thread { row.len() / 2 } else { row.len() };
            row.insert(place, index);
        }
        rows.above = vec![Vec::new(); rows.nodes.len()];
        rows.below = vec![Vec::new(); rows.nodes.len()];
        for &(from, to, _) in &rows.links {
            rows.above[to].push(from);
            rows.below[from].push(to);
        }
        rows
    }

    /// Turns arrows into links, with threads through the rows between.
    ///
    /// An arrow goes by the thread of the end that has more arrows: a fan-out comes down
    /// in one thread that branches, a fan-in gathers into one.
    fn link(&mut self, group: &Group) {
        let boxes = self.nodes.len();
        let (mut leaving, mut entering) = (vec![0_u32; boxes], vec![0_u32; boxes]);
        for edge in &group.edges {
            leaving[edge.from] += 1;
            entering[edge.to] += 1;
        }
        let mut threads = Threads { down: vec![Vec::new(); boxes], up: vec![Vec::new(); boxes] };
        for edge in &group.edges {
            let (from, to, kind) = (edge.from, edge.to, edge.kind);
            let between = self.nodes[to].row - self.nodes[from].row - 1;
            if between == 0 || self.nodes.len() > boxes + MAX_THREADS {
                self.links.push((from, to, kind));
            } else if leaving[from] >= entering[to] {
                self.grow(&mut threads.down[from], from, between, kind, Direction::Down);
                self.links.push((threads.down[from][between - 1], to, kind));
            } else {
                self.grow(&mut threads.up[to], to, between, kind, Direction::Up);
                self.links.push((from, threads.up[to][between - 1], kind));
            }
        }
    }

    /// Makes the thread of `end` pass at least `length` rows.
    fn grow(
        &mut self,
        thread: &mut Vec<usize>,
        end: usize,
        length: usize,
        kind: EdgeKind,
        direction: Direction,
    ) {
        while thread.len() < length {
            let last = thread.last().copied().unwrap_or(end);
            let new = self.nodes.len();
            let row = match direction {
                Direction::Down => self.nodes[last].row + 1,
                Direction::Up => self.nodes[last].row - 1,
            };
            self.nodes.push(Node { row, width: 0.0, height: 0.0, x: 0.0, thread: true });
            self.links.push(match direction {
                Direction::Down => (last, new, kind),
                Direction::Up => (new, last, kind),
            });
            thread.push(new);
        }
    }

    /// Orders each row by the mean place of its neighbours in the row above, then below.
    pub(crate) fn order(&mut self) {
        let mut place = vec![0.0; self.nodes.len()];
        for row in &self.ordered {
            note_places(row, &mut place);
        }
        for sweep in 0..SWEEPS {
            let down = sweep % 2 == 0;
            for step in 0..self.ordered.len() {
                let index = if down { step } else { self.ordered.len() - 1 - step };
                let neighbours = if down { &self.above } else { &self.below };
                let row = &mut self.ordered[index];
                let wish = |node: usize| mean(&neighbours[node], &place).unwrap_or(place[node]);
                let mut keyed: Vec<_> = row.iter().map(|&node| (wish(node), node)).collect();
                keyed.sort_by(|a, b| a.0.total_cmp(&b.0));
                row.clear();
                row.extend(keyed.into_iter().map(|(_, node)| node));
                note_places(row, &mut place);
            }
        }
    }

    /// Moves each node under the mean of its neighbours as far as its row allows.
    pub(crate) fn straighten(&mut self) {
        let mut xs = vec![0.0; self.nodes.len()];
        for row in &self.ordered {
            let offsets = self.offsets(row);
            let middle = offsets.last().copied().unwrap_or(0.0) / 2.0;
            for (&node, offset) in row.iter().zip(offsets) {
                xs[node] = offset - middle;
            }
        }
        for sweep in 0..=SWEEPS {
            for step in 0..self.ordered.len() {
                let down = sweep % 2 == 0;
                let index = if down { step } else { self.ordered.len() - 1 - step };
                let row = &self.ordered[index];
                let wish = |&node: &usize| (self.wish(node, down, &xs), self.weight(node));
                let wishes: Vec<_> = row.iter().map(wish).collect();
                for (&node, x) in row.iter().zip(nearest(&wishes, &self.offsets(row))) {
                    xs[node] = x;
                }
            }
        }
        for (node, x) in self.nodes.iter_mut().zip(xs) {
            node.x = x;
        }
        self.stack();
    }

    /// Where a node would like to stand: under the mean of its neighbours in the row just
    /// placed, or straight on where it is a thread.
    fn wish(&self, node: usize, down: bool, xs: &[f64]) -> f64 {
        let (above, below) = (&self.above[node], &self.below[node]);
        let (first, second) = if down { (above, below) } else { (below, above) };
        let thread = |other: &&usize| self.nodes[node].thread && self.nodes[**other].thread;
        if let Some(&same) = first.iter().find(thread) {
            return xs[same];
        }
        mean(first, xs).or_else(|| mean(second, xs)).unwrap_or(xs[node])
    }

    /// How much a node's wish counts: boxes make way for threads, so that these run straight.
    fn weight(&self, node: usize) -> f64 {
        if self.nodes[node].thread { 1e6 } else { 1.0 }
    }

    /// Finds the height of each row and of the space below it.
    fn stack(&mut self) {
        let count = self.ordered.len();
        let mut reach = vec![0.0_f64; count];
        for &(from, to, _) in &self.links {
            let (from, to) = (&self.nodes[from], &self.nodes[to]);
            reach[from.row] = reach[from.row].max((from.x - to.x).abs());
        }
        let height =
            |row: &Vec<usize>| row.iter().map(|&n| self.nodes[n].height).fold(0.0, f64::max);
        self.heights = self.ordered.iter().map(height).collect();
        let mut y = 0.0;
        for (height, reach) in self.heights.iter().zip(reach) {
            self.tops.push(y);
            y += height + (ROW_GAP + reach / 16.0).min(MAX_ROW_GAP);
        }
    }

    /// Least distances of a row's nodes from its first, centre to centre.
    fn offsets(&self, row: &[usize]) -> Vec<f64> {
        let mut offsets = Vec::with_capacity(row.len());
        let mut x = 0.0;
        for (place, &index) in row.iter().enumerate() {
            let node = &self.nodes[index];
            if place > 0 {
                let before = &self.nodes[row[place - 1]];
                let gap = if before.thread || node.thread { THREAD_GAP } else { GAP };
                x += f64::midpoint(before.width, node.width) + gap;
            }
            offsets.push(x);
        }
        offsets
    }

    pub(crate) fn top(&self, node: &Node) -> f64 {
        self.tops[node.row] + (self.heights[node.row] - node.height) / 2.0
    }

    pub(crate) fn height(&self) -> f64 {
        let last = self.tops.last().zip(self.heights.last());
        last.map_or(0.0, |(top, height)| top + height)
    }

    pub(crate) fn strokes(&self) -> Vec<Stroke> {
        let stroke = |&(from, to, kind): &(usize, usize, EdgeKind)| {
            let (from, to) = (&self.nodes[from], &self.nodes[to]);
            let bottom = self.tops[from.row] + self.heights[from.row];
            // A thread starts at the top of its row, so that its strokes meet.
            let start =
                if from.thread { self.tops[from.row] } else { self.top(from) + from.height };
            let end = if to.thread { self.tops[to.row] } else { self.top(to) };
            Stroke {
                from: (from.x, start),
                bend: (bottom, self.tops[to.row]),
                to: (to.x, end),
                head: !to.thread,
                kind,
            }
        };
        self.links.iter().map(stroke).collect()
    }
}

/// Threads that leave a box downwards and that gather into a box from above; each the
/// nodes by distance from the box.
struct Threads {
    down: Vec<Vec<usize>>,
    up: Vec<Vec<usize>>,
}

#[derive(Clone, Copy)]
enum Direction {
    Down,
    Up,
}

/// Gives each item its row: below all it waits for, at most [`ROW`] small boxes a row.
fn ranks(group: &Group) -> Vec<usize> {
    let count = group.items.len();
    let mut waiting = vec![0_usize; count];
    let mut behind = vec![Vec::new(); count];
    for edge in &group.edges {
        waiting[edge.to] += 1;
        behind[edge.from].push(edge.to);
    }
    let mut rank = vec![0_usize; count];
    let mut filled: Vec<usize> = Vec::new();
    let mut first_free = 0;
    let mut ready: Vec<usize> = (0..count).filter(|&i| waiting[i] == 0).collect();
    let mut next = 0;
    while let Some(&item) = ready.get(next) {
        next += 1;
        while filled.get(first_free).is_some_and(|&boxes| boxes >= ROW) {
            first_free += 1;
        }
        let mut row = rank[item].max(first_free);
        while filled.get(row).is_some_and(|&boxes| boxes >= ROW) {
            row += 1;
        }
        rank[item] = row;
        filled.resize(filled.len().max(row + 1), 0);
        filled[row] += 1;
        for &other in &behind[item] {
            rank[other] = rank[other].max(row + 1);
            waiting[other] -= 1;
            if waiting[other] == 0 {
                ready.push(other);
            }
        }
    }
    rank
}

fn note_places(row: &[usize], place: &mut [f64]) {
    for (index, &node) in row.iter().enumerate() {
        place[node] = (index as f64 + 0.5) / row.len() as f64;
    }
}

fn mean(nodes: &[usize], of: &[f64]) -> Option<f64> {
    let sum: f64 = nodes.iter().map(|&n| of[n]).sum();
    (!nodes.is_empty()).then(|| sum / nodes.len() as f64)
}

/// Finds the places nearest to `wishes`, each with its weight (least squares), that keep
/// the distances of `offsets`: isotonic regression, by pooling neighbours that wish to swap.
fn nearest(wishes: &[(f64, f64)], offsets: &[f64]) -> Vec<f64> {
    struct Pool {
        base: f64,
        weight: f64,
        nodes: usize,
    }
    let mut pools: Vec<Pool> = Vec::new();
    for (&(wish, weight), offset) in wishes.iter().zip(offsets) {
        let mut pool = Pool { base: wish - offset, weight, nodes: 1 };
        while let Some(last) = pools.pop_if(|last| last.base > pool.base) {
            let weight = last.weight + pool.weight;
            pool.base = (last.base * last.weight + pool.base * pool.weight) / weight;
            pool.weight = weight;
            pool.nodes += last.nodes;
        }
        pools.push(pool);
    }
    let bases = pools.iter().flat_map(|pool| std::iter::repeat_n(pool.base, pool.nodes));
    bases.zip(offsets).map(|(base, offset)| base + offset).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_the_nearest_that_keep_their_distance() {
        let equal = |wishes: &[f64]| wishes.iter().map(|&w| (w, 1.0)).collect::<Vec<_>>();
        assert_eq!(nearest(&equal(&[0.0, 10.0]), &[0.0, 5.0]), [0.0, 10.0]);
        assert_eq!(nearest(&equal(&[0.0, 0.0]), &[0.0, 10.0]), [-5.0, 5.0]);
        let three = nearest(&equal(&[9.0, 1.0, 50.0]), &[0.0, 2.0, 4.0]);
        assert_eq!(three, [4.0, 6.0, 50.0]);
    }

    #[test]
    fn a_heavy_node_stays_where_it_is() {
        assert_eq!(nearest(&[(0.0, 1.0), (0.0, 3.0)], &[0.0, 8.0]), [-6.0, 2.0]);
    }
}
