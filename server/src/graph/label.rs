//! Text that must fit a box.

/// Columns of a label where somebody else draws the box.
pub(crate) const LABEL_COLUMNS: usize = 60;

/// Cuts a text to a number of columns, the last an ellipsis.
pub(crate) fn cut(text: &str, most: usize) -> String {
    if columns(text) <= most {
        return text.into();
    }
    let mut used = 1;
    let fits = text.chars().take_while(|&c| {
        used += width(c);
        used <= most
    });
    let mut cut: String = fits.collect();
    cut.truncate(cut.trim_end().len());
    cut.push('…');
    cut
}

/// Counts the columns that a text takes.
pub(crate) fn columns(text: &str) -> usize {
    text.chars().map(width).sum()
}

/// Columns of a character, roughly: from Hangul on, scripts are mostly wide.
fn width(c: char) -> usize {
    if c < '\u{1100}' || ('\u{2000}'..'\u{2e80}').contains(&c) { 1 } else { 2 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_cut_by_columns() {
        assert_eq!(cut("short", 5), "short");
        assert_eq!(cut("longer", 5), "long…");
        assert_eq!(cut("one two", 5), "one…");
        assert_eq!(cut("請求書を読む", 7), "請求書…");
    }
}
