//! Rectangles that may be turned.

/// A point in pixels.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Point {
    pub(super) x: f32,
    pub(super) y: f32,
}

impl Point {
    pub(super) fn new(x: f32, y: f32) -> Self {
        Self { x, y }
    }

    /// The point a share of the way to another.
    pub(super) fn towards(self, other: Self, share: f32) -> Self {
        Self::new(self.x + (other.x - self.x) * share, self.y + (other.y - self.y) * share)
    }

    fn distance(self, other: Self) -> f32 {
        (self.x - other.x).hypot(self.y - other.y)
    }
}

/// A rectangle, turned or not: its corners in the direction of reading, from the top left.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Quad(pub(super) [Point; 4]);

impl Quad {
    /// Length along the direction of reading.
    pub(super) fn width(&self) -> f32 {
        self.0[0].distance(self.0[1])
    }

    /// Length across it.
    pub(super) fn height(&self) -> f32 {
        self.0[0].distance(self.0[3])
    }

    /// The quad with every side moved outwards.
    pub(super) fn grown(&self, by: f32) -> Self {
        let [tl, tr, _, bl] = self.0;
        let unit = |from: Point, to: Point| {
            let length = from.distance(to).max(f32::EPSILON);
            Point::new((to.x - from.x) / length * by, (to.y - from.y) / length * by)
        };
        let (along, across) = (unit(tl, tr), unit(tl, bl));
        let signs = [(-1.0, -1.0), (1.0, -1.0), (1.0, 1.0), (-1.0, 1.0)];
        let mut corners = self.0;
        for (corner, (a, b)) in corners.iter_mut().zip(signs) {
            corner.x += along.x * a + across.x * b;
            corner.y += along.y * a + across.y * b;
        }
        Self(corners)
    }

    /// The quad with its corners scaled about the origin.
    pub(super) fn scaled(&self, x: f32, y: f32) -> Self {
        Self(self.0.map(|corner| Point::new(corner.x * x, corner.y * y)))
    }

    /// The same quad, read from its top to its bottom.
    pub(super) fn downwards(&self) -> Self {
        let [tl, tr, br, bl] = self.0;
        Self([tr, br, bl, tl])
    }

    /// The same quad, read from its bottom to its top.
    pub(super) fn upwards(&self) -> Self {
        let [tl, tr, br, bl] = self.0;
        Self([bl, tl, tr, br])
    }

    /// The upright box around the part between two shares of the width.
    pub(super) fn part(&self, from: f32, to: f32) -> [f32; 4] {
        let [tl, tr, br, bl] = self.0;
        let corners =
            [tl.towards(tr, from), tl.towards(tr, to), bl.towards(br, to), bl.towards(br, from)];
        let fold = |start: f32, pick: fn(f32, f32) -> f32, value: fn(&Point) -> f32| {
            corners.iter().map(value).fold(start, pick)
        };
        [
            fold(f32::INFINITY, f32::min, |p| p.x),
            fold(f32::INFINITY, f32::min, |p| p.y),
            fold(f32::NEG_INFINITY, f32::max, |p| p.x),
            fold(f32::NEG_INFINITY, f32::max, |p| p.y),
        ]
    }
}

/// The smallest rectangle around points, however turned; none for no point.
///
/// One side of it lies on a side of the points' convex hull, so that trying each finds it.
pub(super) fn smallest_around(points: &[Point]) -> Option<Quad> {
    let hull = convex_hull(points);
    let first = *hull.first()?;
    let mut best = (f32::INFINITY, Quad([first; 4]));
    for (at, from) in hull.iter().enumerate() {
        let to = hull[(at + 1) % hull.len()];
        let length = from.distance(to);
        if length == 0.0 {
            continue;
        }
        let (ux, uy) = ((to.x - from.x) / length, (to.y - from.y) / length);
        let (mut low, mut high) =
            ((f32::INFINITY, f32::INFINITY), (f32::NEG_INFINITY, f32::NEG_INFINITY));
        for p in &hull {
            let (along, across) = (p.x * ux + p.y * uy, p.y * ux - p.x * uy);
            low = (low.0.min(along), low.1.min(across));
            high = (high.0.max(along), high.1.max(across));
        }
        let area = (high.0 - low.0) * (high.1 - low.1);
        if area < best.0 {
            let corner = |along: f32, across: f32| {
                Point::new(along * ux - across * uy, along * uy + across * ux)
            };
            let corners = [
                corner(low.0, low.1),
                corner(high.0, low.1),
                corner(high.0, high.1),
                corner(low.0, high.1),
            ];
            best = (area, upright(corners));
        }
    }
    Some(best.1)
}

/// The corners of a rectangle in the direction of reading, from the top left.
fn upright(mut corners: [Point; 4]) -> Quad {
    corners.sort_by(|a, b| a.x.total_cmp(&b.x));
    let [a, b, c, d] = corners;
    let (tl, bl) = if a.y <= b.y { (a, b) } else { (b, a) };
    let (tr, br) = if c.y <= d.y { (c, d) } else { (d, c) };
    Quad([tl, tr, br, bl])
}

fn convex_hull(points: &[Point]) -> Vec<Point> {
    let mut sorted = points.to_vec();
    sorted.sort_by(|a, b| a.x.total_cmp(&b.x).then(a.y.total_cmp(&b.y)));
    sorted.dedup();
    if sorted.len() < 3 {
        return sorted;
    }
    let turn = |a: Point, b: Point, c: Point| (b.x - a.x) * (c.y - a.y) - (b.y - a.y) * (c.x - a.x);
    let chain = |points: &mut dyn Iterator<Item = Point>| {
        let mut chain: Vec<Point> = Vec::new();
        for point in points {
            while let [.., a, b] = chain[..]
                && turn(a, b, point) <= 0.0
            {
                chain.pop();
            }
            chain.push(point);
        }
        chain.pop();
        chain
    };
    let mut hull = chain(&mut sorted.iter().copied());
    hull.extend(chain(&mut sorted.iter().rev().copied()));
    hull
}

#[cfg(test)]
mod tests {
    use super::*;

    fn points(all: &[(f32, f32)]) -> Vec<Point> {
        all.iter().map(|(x, y)| Point::new(*x, *y)).collect()
    }

    #[test]
    fn a_thin_line_keeps_its_length_and_its_height() {
        let quad =
            smallest_around(&points(&[(10.0, 5.0), (200.0, 5.0), (200.0, 7.0), (10.0, 7.0)]));
        let quad = quad.unwrap();
        assert_eq!(quad.0[0], Point::new(10.0, 5.0));
        assert!((quad.width() - 190.0).abs() < 1e-3 && (quad.height() - 2.0).abs() < 1e-3);
    }

    #[test]
    fn a_turned_rectangle_is_found_turned() {
        let quad = smallest_around(&points(&[(0.0, 0.0), (30.0, 30.0), (25.0, 35.0), (-5.0, 5.0)]));
        let quad = quad.unwrap();
        assert!((quad.width() - 30.0 * 2f32.sqrt()).abs() < 1e-3, "{quad:?}");
        assert!((quad.height() - 5.0 * 2f32.sqrt()).abs() < 1e-3, "{quad:?}");
    }

    #[test]
    fn one_point_is_a_rectangle_without_extent() {
        assert_eq!(smallest_around(&[]), None);
        let dot = smallest_around(&points(&[(3.0, 4.0)])).unwrap();
        assert_eq!((dot.width(), dot.height()), (0.0, 0.0));
    }

    #[test]
    fn growing_moves_every_side() {
        let quad =
            Quad([(0.0, 0.0), (10.0, 0.0), (10.0, 4.0), (0.0, 4.0)].map(|(x, y)| Point::new(x, y)));
        let near = |found: [f32; 4], wanted: [f32; 4]| {
            let apart = found.iter().zip(wanted).map(|(a, b)| (a - b).abs());
            assert!(apart.into_iter().all(|apart| apart < 1e-4), "{found:?}");
        };
        near(quad.grown(1.0).part(0.0, 1.0), [-1.0, -1.0, 11.0, 5.0]);
        near(quad.part(0.5, 1.0), [5.0, 0.0, 10.0, 4.0]);
    }
}
