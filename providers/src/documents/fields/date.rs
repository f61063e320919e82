//! Calendar dates in the ways that the world writes them.
//!
//! `2014-08-03`, `August 3 , 2014`, `3. August 2014`, `18 de abril de 2014`, `28/11/2022`,
//! `20-10-15`, `2024年3月31日`, `令和6年3月31日`, `R6.3.31`. Where day and month can be
//! swapped, the document decides: see [`Order`].

use jiff::civil;

use super::labels::Dictionary;
use super::text::fold;

/// A date as it was written.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Written {
    /// Only one reading is possible.
    Certain(civil::Date, Option<Order>),
    /// Both readings are: day first, then month first.
    Either { day_first: civil::Date, month_first: civil::Date },
}

/// Which of two numbers is the day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    DayFirst,
    MonthFirst,
}

impl Written {
    /// The date, read in this order where it matters.
    pub(super) fn resolve(self, order: Order) -> civil::Date {
        match (self, order) {
            (Self::Certain(date, _), _) => date,
            (Self::Either { day_first, .. }, Order::DayFirst) => day_first,
            (Self::Either { month_first, .. }, Order::MonthFirst) => month_first,
        }
    }

    /// The order that this date proves for its document.
    pub(super) fn proves(self) -> Option<Order> {
        match self {
            Self::Certain(_, order) => order,
            Self::Either { .. } => None,
        }
    }

    /// True where both readings are possible and differ.
    pub(super) fn is_ambiguous(self) -> bool {
        matches!(self, Self::Either { day_first, month_first } if day_first != month_first)
    }
}

#[derive(Clone, Debug, PartialEq)]
enum Piece {
    Number(i16, usize),
    Month(i8),
    Era(i16),
    Mark(char),
}

/// Reads a whole text as one date.
pub(super) fn parse(text: &str) -> Option<Written> {
    let text = text.trim_end_matches([',', '.', ';', ')', ' ']);
    if text.len() > 40 {
        return None;
    }
    let pieces = lex(text)?;
    numeric(&pieces).or_else(|| named(&pieces))
}

/// True where a date can begin with this word; a cheap test before [`parse`].
pub(super) fn may_begin(word: &str) -> bool {
    word.starts_with(|c: char| c.is_ascii_digit()) || era(word).is_some() || month(word).is_some()
}

fn month(word: &str) -> Option<i8> {
    let alphabetic = |c: char| c.is_alphabetic() || c == '.' || c == ',' || c == '\'';
    let word = word.trim_end_matches(|c: char| c.is_ascii_digit() || c == '-' || c == '/');
    if word.len() > 16 || !word.chars().all(alphabetic) {
        return None;
    }
    Dictionary::get().month(&fold(word))
}

const ERAS: [(&str, i16); 8] = [
    ("令和", 2018),
    ("平成", 1988),
    ("昭和", 1925),
    ("大正", 1911),
    ("R", 2018),
    ("H", 1988),
    ("S", 1925),
    ("T", 1911),
];

fn era(word: &str) -> Option<(&'static str, i16)> {
    ERAS.into_iter().find(|(name, _)| {
        word.strip_prefix(name).is_some_and(|rest| {
            rest.starts_with(|c: char| c.is_ascii_digit() || c == '元')
                || (name.len() > 1 && rest.is_empty())
        })
    })
}

fn lex(text: &str) -> Option<Vec<Piece>> {
    let mut pieces = Vec::new();
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        if pieces.len() > 8 {
            return None;
        }
        if pieces.is_empty()
            && let Some((name, year)) = era(rest)
        {
            pieces.push(Piece::Era(year));
            rest = &rest[name.len()..];
            continue;
        }
        let (piece, length) = if c.is_ascii_digit() {
            let length = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
            (Some(Piece::Number(rest[..length].parse().ok()?, length)), length)
        } else if c.is_alphabetic() && !"年月日元".contains(c) {
            let length = rest.find(|c: char| !c.is_alphabetic()).unwrap_or(rest.len());
            let word = fold(&rest[..length]);
            if GLUE.contains(&word.as_str()) {
                (None, length)
            } else {
                (Some(Piece::Month(Dictionary::get().month(&word)?)), length)
            }
        } else {
            let piece = match c {
                ' ' | ',' | '\'' | '°' | '日' => None,
                '元' => Some(Piece::Number(1, 1)),
                '.' | '/' | '-' | '年' | '月' => Some(Piece::Mark(c)),
                _ => return None,
            };
            (piece, c.len_utf8())
        };
        pieces.extend(piece);
        rest = &rest[length..];
    }
    Some(pieces)
}

/// Words that dates are held together with.
const GLUE: [&str; 15] =
    ["de", "del", "of", "the", "st", "nd", "rd", "th", "er", "den", "dne", "r", "do", "di", "o"];

fn numeric(pieces: &[Piece]) -> Option<Written> {
    use Piece::{Era, Mark, Number};
    match *pieces {
        [Number(year, 4), Mark(one), Number(month, 1..=2), Mark(two), Number(day, 1..=2)]
            if one == two || (one == '年' && two == '月') =>
        {
            certain(year, month, day)
        }
        [Era(base), Number(y, 1..=2), Mark(_), Number(m, 1..=2), Mark(_), Number(d, 1..=2)] => {
            certain(base + y, m, d)
        }
        [
            Number(first, 1..=2),
            Mark(one),
            Number(second, 1..=2),
            Mark(two),
            Number(year, width @ (2 | 4)),
        ] if one == two && "./-".contains(one) => either(first, second, full_year(year, width)),
        _ => None,
    }
}

fn named(pieces: &[Piece]) -> Option<Written> {
    use Piece::{Mark, Month, Number};
    let bare: Vec<&Piece> = pieces.iter().filter(|p| !matches!(p, Mark('.' | '-' | '/'))).collect();
    match *bare.as_slice() {
        [Number(d, 1..=2), Month(m), Number(y, width @ (2 | 4))]
        | [Month(m), Number(d, 1..=2), Number(y, width @ (2 | 4))] => {
            certain(full_year(*y, *width), i16::from(*m), *d)
        }
        [Number(y, 4), Month(m), Number(d, 1..=2)] => certain(*y, i16::from(*m), *d),
        _ => None,
    }
}

fn full_year(year: i16, width: usize) -> i16 {
    match (width, year) {
        (2, 0..70) => 2000 + year,
        (2, _) => 1900 + year,
        _ => year,
    }
}

fn date(year: i16, month: i16, day: i16) -> Option<civil::Date> {
    if !(1900..=2199).contains(&year) {
        return None;
    }
    civil::Date::new(year, i8::try_from(month).ok()?, i8::try_from(day).ok()?).ok()
}

fn certain(year: i16, month: i16, day: i16) -> Option<Written> {
    date(year, month, day).map(|d| Written::Certain(d, None))
}

fn either(a: i16, b: i16, year: i16) -> Option<Written> {
    match (date(year, b, a), date(year, a, b)) {
        (Some(day_first), Some(month_first)) => Some(Written::Either { day_first, month_first }),
        (Some(date), None) => Some(Written::Certain(date, Some(Order::DayFirst))),
        (None, Some(date)) => Some(Written::Certain(date, Some(Order::MonthFirst))),
        (None, None) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::{Order, parse};
    use proptest::prelude::*;

    fn iso(text: &str) -> Option<String> {
        parse(text).map(|d| d.resolve(Order::DayFirst).to_string())
    }

    #[test]
    fn dates_are_read_in_every_form() {
        for (text, expected) in [
            ("2014-08-03", "2014-08-03"),
            ("2014/8/3", "2014-08-03"),
            ("August 3 , 2014", "2014-08-03"),
            ("Aug. 3rd, 2014", "2014-08-03"),
            ("3. August 2014", "2014-08-03"),
            ("18 april 2014", "2014-04-18"),
            ("18 de abril de 2014", "2014-04-18"),
            ("1er janvier 2022", "2022-01-01"),
            ("28/11/2022", "2022-11-28"),
            ("28 / 11 / 2022", "2022-11-28"),
            ("20-10-2015", "2015-10-20"),
            ("20.10.15", "2015-10-20"),
            ("03-Mar-2024", "2024-03-03"),
            ("2 stycznia 2022 r.", "2022-01-02"),
            ("2024年3月31日", "2024-03-31"),
            ("令和6年3月31日", "2024-03-31"),
            ("令和元年5月1日", "2019-05-01"),
            ("R6.3.31", "2024-03-31"),
            ("Jan 1, 2022", "2022-01-01"),
            ("12 Sept 2023", "2023-09-12"),
        ] {
            assert_eq!(iso(text).as_deref(), Some(expected), "{text}");
        }
    }

    #[test]
    fn what_is_no_date_is_refused() {
        for text in [
            "2022",
            "31/02/2022",
            "12.50",
            "August 2014",
            "1-2",
            "",
            "12 34 2014",
            "13/13/2013",
            "may",
            "2014-08-033",
        ] {
            assert_eq!(iso(text), None, "{text}");
        }
    }

    #[test]
    fn only_a_date_that_reads_both_ways_is_ambiguous() {
        assert!(parse("03/04/2022").unwrap().is_ambiguous());
        assert!(!parse("04/04/2022").unwrap().is_ambiguous());
        assert_eq!(parse("13/04/2022").unwrap().proves(), Some(Order::DayFirst));
        assert_eq!(parse("04/13/2022").unwrap().proves(), Some(Order::MonthFirst));
    }

    proptest! {
        #[test]
        fn a_date_survives_every_format(y in 1970_i16..2070, m in 1_i8..=12, d in 1_i8..=28) {
            let date = jiff::civil::date(y, m, d);
            let months = ["January", "February", "March", "April", "May", "June", "July", "August",
                "September", "October", "November", "December"];
            let name = months[m as usize - 1];
            for text in [
                date.to_string(),
                format!("{y}年{m}月{d}日"),
                format!("{d:02}.{m:02}.{y}"),
                format!("{d}/{m}/{y}"),
                format!("{name} {d}, {y}"),
                format!("{d}. {} {y}", &name[..3]),
            ] {
                prop_assert_eq!(iso(&text), Some(date.to_string()), "{}", text);
            }
        }

        #[test]
        fn no_text_is_too_strange(text in "\\PC{0,40}") {
            let _ = parse(&text);
        }
    }
}
