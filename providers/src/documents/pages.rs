//! Which pages of a document are meant: `1-3,7,9-`.

use std::fmt;
use std::str::FromStr;

/// A choice of pages, by number from 1; all of them by default.
///
/// Written as numbers and ranges between commas. `9-` runs to the last page, `-3` starts
/// at the first. The order is kept, a page named twice is taken once.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct PageSelection(Vec<Span>);

/// Pages `first` to `last`; to the end of the document where there is no `last`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Span {
    first: u32,
    last: Option<u32>,
}

/// A selection of pages that makes no sense.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PageSelectionError {
    /// Nothing is selected.
    #[error("no pages in `{selection}`, write for instance `1-3,7,9-`")]
    Empty {
        /// What was written.
        selection: String,
    },
    /// A part is neither a number nor a range.
    #[error("`{part}` in `{selection}` is neither a page nor a range of pages")]
    NotANumber {
        /// The part.
        part: String,
        /// What was written.
        selection: String,
    },
    /// Pages count from 1.
    #[error("`{part}` in `{selection}` names page 0, pages count from 1")]
    Zero {
        /// The part.
        part: String,
        /// What was written.
        selection: String,
    },
    /// A range ends before it starts.
    #[error("`{part}` in `{selection}` ends before it starts")]
    Backwards {
        /// The part.
        part: String,
        /// What was written.
        selection: String,
    },
    /// A page lies beyond the end of the document.
    #[error("page {page} is selected, the document has {pages}")]
    Beyond {
        /// The page.
        page: u32,
        /// Pages in the document.
        pages: u32,
    },
}

impl PageSelection {
    /// The numbers of the pages meant in a document of `pages` pages, in the order they
    /// are written.
    ///
    /// Fails where a page is named that the document does not have.
    pub fn select(&self, pages: u32) -> Result<Vec<u32>, PageSelectionError> {
        let mut taken = vec![false; pages as usize];
        let mut selected = Vec::new();
        for span in &self.0 {
            let last = span.last.unwrap_or(pages);
            let beyond = span.first.max(last);
            if beyond > pages {
                return Err(PageSelectionError::Beyond {
                    page: if span.first > pages { span.first } else { last },
                    pages,
                });
            }
            for page in span.first..=last {
                let taken = &mut taken[page as usize - 1];
                if !*taken {
                    *taken = true;
                    selected.push(page);
                }
            }
        }
        Ok(selected)
    }
}

impl PageSelection {
    /// The most pages that may be meant, however many there are; `None` where a range is open.
    pub(crate) fn most(&self) -> Option<u64> {
        let length = |span: &Span| Some(u64::from(span.last? - span.first) + 1);
        self.0.iter().map(length).sum()
    }
}

impl Default for PageSelection {
    fn default() -> Self {
        Self(vec![Span { first: 1, last: None }])
    }
}

impl FromStr for PageSelection {
    type Err = PageSelectionError;

    fn from_str(selection: &str) -> Result<Self, Self::Err> {
        if selection.trim().is_empty() {
            return Err(PageSelectionError::Empty { selection: selection.to_owned() });
        }
        selection
            .split(',')
            .map(|part| Span::parse(part.trim(), selection))
            .collect::<Result<_, _>>()
            .map(Self)
    }
}

impl Span {
    fn parse(part: &str, selection: &str) -> Result<Self, PageSelectionError> {
        let wrong = || PageSelectionError::NotANumber {
            part: part.to_owned(),
            selection: selection.to_owned(),
        };
        let number = |text: &str| text.trim().parse::<u32>().map_err(|_| wrong());
        let span = match part.split_once('-') {
            None => {
                let page = number(part)?;
                Self { first: page, last: Some(page) }
            }
            Some(("", "")) => return Err(wrong()),
            Some((first, "")) => Self { first: number(first)?, last: None },
            Some(("", last)) => Self { first: 1, last: Some(number(last)?) },
            Some((first, last)) => Self { first: number(first)?, last: Some(number(last)?) },
        };
        if span.first == 0 || span.last == Some(0) {
            return Err(PageSelectionError::Zero {
                part: part.to_owned(),
                selection: selection.to_owned(),
            });
        }
        if span.last.is_some_and(|last| last < span.first) {
            return Err(PageSelectionError::Backwards {
                part: part.to_owned(),
                selection: selection.to_owned(),
            });
        }
        Ok(span)
    }
}

impl fmt::Display for PageSelection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, span) in self.0.iter().enumerate() {
            let comma = if i == 0 { "" } else { "," };
            match span.last {
                None => write!(f, "{comma}{}-", span.first)?,
                Some(last) if last == span.first => write!(f, "{comma}{last}")?,
                Some(last) => write!(f, "{comma}{}-{last}", span.first)?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn select(selection: &str, pages: u32) -> Result<Vec<u32>, String> {
        selection.parse::<PageSelection>().and_then(|s| s.select(pages)).map_err(|e| e.to_string())
    }

    #[test]
    fn pages_are_selected_in_the_order_written_and_once() {
        assert_eq!(select("1-3,7,9-", 10), Ok(vec![1, 2, 3, 7, 9, 10]));
        assert_eq!(select(" 3 , -2, 1-3 ", 5), Ok(vec![3, 1, 2]));
        assert_eq!(PageSelection::default().select(3), Ok(vec![1, 2, 3]));
        assert_eq!(PageSelection::default().to_string(), "1-");
    }

    #[test]
    fn the_most_pages_are_known_where_no_range_is_open() {
        let most = |selection: &str| selection.parse::<PageSelection>().expect("valid").most();
        assert_eq!((most("1-3,7"), most("-2,2"), most("9-")), (Some(4), Some(3), None));
    }

    #[test]
    fn a_selection_is_written_back_as_it_was_meant() {
        let selection: PageSelection = "1-3, 7,9-".parse().expect("valid");
        assert_eq!(selection.to_string(), "1-3,7,9-");
    }

    #[test]
    fn each_way_to_be_wrong_is_named() {
        for (selection, message) in [
            ("", "no pages in ``, write for instance `1-3,7,9-`"),
            ("1,,2", "`` in `1,,2` is neither a page nor a range of pages"),
            ("two", "`two` in `two` is neither a page nor a range of pages"),
            ("1,-", "`-` in `1,-` is neither a page nor a range of pages"),
            ("1-2-3", "`1-2-3` in `1-2-3` is neither a page nor a range of pages"),
            (
                "99999999999",
                "`99999999999` in `99999999999` is neither a page nor a range of pages",
            ),
            ("0-2", "`0-2` in `0-2` names page 0, pages count from 1"),
            ("5-3", "`5-3` in `5-3` ends before it starts"),
            ("2,12", "page 12 is selected, the document has 10"),
            ("11-", "page 11 is selected, the document has 10"),
            ("1-4294967295", "page 4294967295 is selected, the document has 10"),
        ] {
            assert_eq!(select(selection, 10), Err(message.to_owned()), "{selection}");
        }
    }
}
