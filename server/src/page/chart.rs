//! Bars, drawn on the server.

use flow_core::units::Money;
use serde::Serialize;

use super::format::dollars;

const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 200.0;
const LEFT: f64 = 62.0;
const BOTTOM: f64 = 24.0;
const TOP: f64 = 10.0;

/// The most dates that are written below the bars.
const DATES: usize = 8;

/// A chart of what days cost, each day a bar of parts.
#[derive(Serialize)]
pub(super) struct Chart {
    width: f64,
    height: f64,
    left: f64,
    bars: Vec<Bar>,
    lines: Vec<Line>,
    dates: Vec<Date>,
}

#[derive(Serialize)]
struct Bar {
    x: f64,
    y: f64,
    width: f64,
    height: f64,
    colour: usize,
    label: String,
}

#[derive(Serialize)]
struct Line {
    y: f64,
    label: String,
}

#[derive(Serialize)]
struct Date {
    x: f64,
    label: String,
}

/// A day: its name, and what its parts cost, each with its colour and name.
pub(super) struct Day {
    pub(super) name: String,
    pub(super) parts: Vec<(usize, String, Money)>,
}

impl Chart {
    pub(super) fn of(days: &[Day]) -> Self {
        let sum = |day: &Day| day.parts.iter().map(|(.., cost)| *cost).sum::<Money>().usd();
        let most = days.iter().map(sum).fold(0.0, f64::max);
        let top = nice(most);
        let (room, high) = (WIDTH - LEFT, HEIGHT - BOTTOM - TOP);
        let slot = room / days.len().max(1) as f64;
        let width = (slot * 0.72).min(48.0);
        let mut bars = Vec::new();
        let mut dates = Vec::new();
        let every = days.len().div_ceil(DATES).max(1);
        for (at, day) in days.iter().enumerate() {
            let x = LEFT + slot * at as f64 + (slot - width) / 2.0;
            let mut base = HEIGHT - BOTTOM;
            for (colour, name, cost) in &day.parts {
                let height = if top > 0.0 { high * cost.usd() / top } else { 0.0 };
                base -= height;
                let label = format!("{}, {name}: {}", day.name, dollars(*cost));
                bars.push(Bar { x, y: base, width, height, colour: *colour, label });
            }
            if at % every == 0 {
                let label = day.name.get(5..).unwrap_or(&day.name).to_owned();
                dates.push(Date { x: x + width / 2.0, label });
            }
        }
        let lines = [0.0, 0.5, 1.0].map(|share| Line {
            y: HEIGHT - BOTTOM - high * share,
            label: dollars(Money::from_micros((top * share * 1e6) as i64)),
        });
        Self { width: WIDTH, height: HEIGHT, left: LEFT, bars, lines: lines.into(), dates }
    }
}

/// The next larger of 1, 2 and 5 times a power of ten.
fn nice(most: f64) -> f64 {
    if most <= 0.0 {
        return 0.0;
    }
    let power = 10.0_f64.powf(most.log10().floor());
    let steps = [1.0, 2.0, 5.0, 10.0].map(|step| step * power);
    steps.into_iter().find(|step| *step >= most * 0.999_999).unwrap_or(most)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scale_ends_at_a_round_number() {
        for (most, top) in [(0.0, 0.0), (0.7, 1.0), (1.2, 2.0), (30.0, 50.0), (100.0, 100.0)] {
            assert!((nice(most) - top).abs() < 1e-9, "{most}");
        }
    }

    #[test]
    fn bars_stand_on_the_ground_and_below_the_top() {
        let part = |micros| (0, "m".to_owned(), Money::from_micros(micros));
        let day = |parts| Day { name: "2026-01-01".to_owned(), parts };
        let chart = Chart::of(&[day(vec![part(3_000_000), part(1_000_000)]), day(Vec::new())]);
        let lowest = chart.bars.iter().map(|bar| bar.y + bar.height).fold(0.0, f64::max);
        assert!((lowest - (HEIGHT - BOTTOM)).abs() < 1e-9);
        assert!(chart.bars.iter().all(|bar| bar.y >= TOP));
        assert_eq!(chart.lines[2].label, "$5.00");
    }
}
