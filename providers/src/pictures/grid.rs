//! Cutting a large picture into windows that overlap.

/// A rectangle of pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Window {
    pub(crate) x: u32,
    pub(crate) y: u32,
    pub(crate) width: u32,
    pub(crate) height: u32,
}

/// Windows of at most `side` pixels that cover a picture, row by row, as few as can be; each
/// shares at least `overlap` pixels with the next.
///
/// All windows are of one size, and the shared pixels are spread evenly. `overlap` is less than
/// `side`.
pub(crate) fn windows(
    (width, height): (u32, u32),
    side: u32,
    overlap: u32,
) -> Vec<(u32, u32, Window)> {
    let (columns, rows) = (spans(width, side, overlap), spans(height, side, overlap));
    let (width, height) = (width.min(side), height.min(side));
    let mut windows = Vec::with_capacity(columns.len() * rows.len());
    for (row, y) in (0_u32..).zip(&rows) {
        for (column, x) in (0_u32..).zip(&columns) {
            windows.push((row, column, Window { x: *x, y: *y, width, height }));
        }
    }
    windows
}

/// Where windows begin along one side.
fn spans(length: u32, side: u32, overlap: u32) -> Vec<u32> {
    if length <= side {
        return vec![0];
    }
    let steps = u64::from((length - side).div_ceil(side - overlap));
    let reach = u64::from(length - side);
    (0..=steps).map(|step| u32::try_from(reach * step / steps).unwrap_or(u32::MAX)).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_page_that_fits_is_one_window() {
        let whole = Window { x: 0, y: 0, width: 30, height: 20 };
        assert_eq!(windows((30, 20), 30, 10), [(0, 0, whole)]);
    }

    #[test]
    fn windows_go_row_by_row_and_share_their_edges() {
        let found = windows((100, 30), 40, 10);
        let places: Vec<_> =
            found.iter().map(|(row, column, w)| (*row, *column, w.x, w.y)).collect();
        assert_eq!(places, [(0, 0, 0, 0), (0, 1, 30, 0), (0, 2, 60, 0)]);
        assert!(found.iter().all(|(_, _, w)| (w.width, w.height) == (40, 30)));
    }

    proptest! {
        #[test]
        fn every_pixel_is_in_a_window(length in 1_u32..5_000, side in 2_u32..600, share in 0_u32..90) {
            let overlap = side * share / 100;
            let starts = spans(length, side, overlap);
            prop_assert_eq!(starts[0], 0);
            prop_assert!(starts.last().unwrap() + side.min(length) == length);
            for pair in starts.windows(2) {
                prop_assert!(pair[0] < pair[1] && pair[1] + overlap <= pair[0] + side);
            }
        }
    }
}
