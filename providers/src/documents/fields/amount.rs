//! Amounts and numbers in the ways that the world writes them.
//!
//! `1.234,56`, `1,234.56`, `1 234,56`, `1'234.56`, `1,23,456.00`, `¥1,377,200`, `(12.00)`,
//! `12.00-`, `12,-`. A single separator before three digits is ambiguous: the style of the
//! document decides ([`Style`]), without one it groups thousands. Letters that recognition
//! takes for digits are mended only where a decimal separator and digits surround them.

use super::labels::Dictionary;

/// A decimal number, exact to six places.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Decimal(i64);

const SCALE: i64 = 1_000_000;

impl Decimal {
    pub(super) fn from_f64(value: f64) -> Self {
        Self((value * SCALE as f64).round() as i64)
    }

    pub(super) fn to_f64(self) -> f64 {
        self.0 as f64 / SCALE as f64
    }

    pub(super) fn is_zero(self) -> bool {
        self.0 == 0
    }

    pub(super) fn abs(self) -> Self {
        Self(self.0.saturating_abs())
    }

    pub(super) fn plus(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }

    pub(super) fn minus(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }

    pub(super) fn times(self, other: Self) -> Self {
        Self::from_f64(self.to_f64() * other.to_f64())
    }

    /// True when both differ by no more than rounding does.
    pub(super) fn about(self, other: Self, tolerance: f64) -> bool {
        self.minus(other).abs().to_f64() <= tolerance + 1e-9
    }

    /// A JSON number: whole where the value is.
    pub(super) fn to_json(self) -> serde_json::Value {
        if self.0 % SCALE == 0 { (self.0 / SCALE).into() } else { self.to_f64().into() }
    }
}

/// A number as it was written.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Amount {
    pub(super) value: Decimal,
    /// Digits behind the decimal separator.
    pub(super) decimals: usize,
    /// Code of the currency written with it, or its mark where that is shared (`?$`).
    pub(super) currency: Option<&'static str>,
    pub(super) percent: bool,
    /// Thousands are grouped.
    pub(super) grouped: bool,
    /// Letters were taken for digits.
    pub(super) mended: bool,
}

impl Amount {
    /// How much this looks like money, 0 to 1.
    pub(super) fn plausibility(&self) -> f32 {
        let form = match (self.currency.is_some(), self.decimals, self.grouped) {
            (true, 0..=2, _) | (false, 2, _) => 1.0,
            (false, 0, true) => 0.9,
            (true, _, _) => 0.85,
            (false, 0, false) => 0.6,
            (false, _, _) => 0.55,
        };
        if self.mended { form * 0.85 } else { form }
    }
}

/// The decimal separator of a document, where it is known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Style {
    pub(super) decimal: Option<char>,
}

impl Style {
    /// Learns the decimal separator from numbers that leave no doubt.
    pub(super) fn learn<'a>(words: impl Iterator<Item = &'a str>) -> Self {
        let (mut dots, mut commas) = (0_usize, 0_usize);
        for word in words {
            match doubtless_decimal(word) {
                Some('.') => dots += 1,
                Some(',') => commas += 1,
                _ => {}
            }
        }
        let decimal = match dots.cmp(&commas) {
            std::cmp::Ordering::Greater => Some('.'),
            std::cmp::Ordering::Less => Some(','),
            std::cmp::Ordering::Equal => None,
        };
        Self { decimal }
    }
}

fn doubtless_decimal(word: &str) -> Option<char> {
    let core = word.trim_matches(|c: char| !c.is_ascii_digit());
    let valid = core.chars().all(|c| c.is_ascii_digit() || matches!(c, '.' | ',' | '\''));
    let at = core.rfind(['.', ','])?;
    let separator = core[at..].chars().next()?;
    let alone = core.matches(separator).count() == 1;
    (valid && alone && core.len() - at == 3 && core.len() < 16).then_some(separator)
}

/// Reads a whole text as one amount.
pub(super) fn parse(text: &str, style: Style) -> Option<Amount> {
    let text = text.trim();
    if text.len() > 48 || text.chars().filter(char::is_ascii_digit).count() > 13 {
        return None;
    }
    if let Some(amount) = parse_clean(text, style) {
        return Some(amount);
    }
    let mended = mend(text)?;
    parse_clean(&mended, style).map(|amount| Amount { mended: true, ..amount })
}

fn parse_clean(text: &str, style: Style) -> Option<Amount> {
    let first = text.find(|c: char| c.is_ascii_digit())?;
    let last = text.rfind(|c: char| c.is_ascii_digit())?;
    let (before, core, after) = (&text[..first], &text[first..=last], &text[last + 1..]);
    let (lead, tail) = (Affix::read(before, true)?, Affix::read(after, false)?);
    let (magnitude, decimals, grouped) = digits(core, style)?;
    let negative = lead.minus || tail.minus || (lead.bracket && tail.bracket);
    let value = if negative { Decimal(-magnitude.0) } else { magnitude };
    let currency = lead.currency.or(tail.currency);
    Some(Amount { value, decimals, currency, percent: tail.percent, grouped, mended: false })
}

/// What stands before or behind the digits.
#[derive(Default)]
struct Affix {
    minus: bool,
    bracket: bool,
    percent: bool,
    currency: Option<&'static str>,
}

impl Affix {
    fn read(text: &str, before: bool) -> Option<Self> {
        let mut affix = Self::default();
        let mut name = String::new();
        for c in text.chars() {
            match c {
                '-' | '△' | '▲' if before => affix.minus = true,
                // `12,-` and `12.-` stand for whole units, `12-` for a negative amount.
                '-' => affix.minus = !text.starts_with([',', '.']),
                '(' if before => affix.bracket = true,
                ')' if !before => affix.bracket = true,
                '%' if !before => affix.percent = true,
                '+' | ' ' | '.' | ',' | ':' | '*' | '/' | ';' | '=' => {}
                c => name.extend(c.to_lowercase()),
            }
        }
        if !name.is_empty() {
            affix.currency = Some(currency_mark(&name)?);
        }
        Some(affix)
    }
}

/// Code of a currency mark or name; marks of several currencies begin with `?`.
pub(super) fn currency_mark(name: &str) -> Option<&'static str> {
    let key = name.trim_end_matches('.').to_lowercase();
    Dictionary::get().currencies.get(key.as_str()).map(String::as_str)
}

fn digits(core: &str, style: Style) -> Option<(Decimal, usize, bool)> {
    if core.contains(|c: char| !c.is_ascii_digit() && !". ,'".contains(c)) {
        return None;
    }
    let spaced = core.contains([' ', '\'']);
    let core: String = if spaced { join_groups(core)? } else { core.to_owned() };
    let decimal = decimal_place(&core, style);
    let (whole, fraction) = match decimal {
        Some(at) => (&core[..at], &core[at + 1..]),
        None => (core.as_str(), ""),
    };
    let grouped = whole.contains(['.', ',']);
    if (grouped && !well_grouped(whole)) || !fraction.chars().all(|c| c.is_ascii_digit()) {
        return None;
    }
    let whole: String = whole.chars().filter(char::is_ascii_digit).collect();
    if whole.len() > 12 || fraction.len() > 6 {
        return None;
    }
    let units: i64 = whole.parse().ok()?;
    let parts: i64 = format!("{fraction:0<6}").parse().ok()?;
    Some((Decimal(units * SCALE + parts), fraction.len(), grouped || spaced))
}

/// Joins thousands that are set apart by spaces or apostrophes.
fn join_groups(core: &str) -> Option<String> {
    let groups: Vec<&str> = core.split([' ', '\'']).collect();
    let (first, rest) = groups.split_first()?;
    let whole = |g: &str| g.len() == 3 && g.chars().all(|c| c.is_ascii_digit());
    let (last, middle) = rest.split_last()?;
    let last_whole = last.split(['.', ',']).next().unwrap_or("");
    let head = (1..=3).contains(&first.len()) && first.chars().all(|c| c.is_ascii_digit());
    (head && middle.iter().all(|g| whole(g)) && whole(last_whole)).then(|| groups.concat())
}

fn decimal_place(core: &str, style: Style) -> Option<usize> {
    let last = core.rfind(['.', ','])?;
    let separator = core.as_bytes()[last] as char;
    let other = if separator == '.' { ',' } else { '.' };
    let behind = core.len() - last - 1;
    if core.matches(separator).count() > 1 {
        return None;
    }
    if core.contains(other) || behind != 3 || last > 3 || core.starts_with('0') {
        return Some(last);
    }
    (style.decimal == Some(separator)).then_some(last)
}

/// Groups of three, or the Indian two-two-three.
fn well_grouped(whole: &str) -> bool {
    let separator = if whole.contains(',') { ',' } else { '.' };
    let groups: Vec<&str> = whole.split(separator).collect();
    let digits = |g: &&str| g.chars().all(|c| c.is_ascii_digit());
    let Some((last, head)) = groups.split_last() else {
        return false;
    };
    let Some((first, middle)) = head.split_first() else {
        return false;
    };
    let width = if separator == ',' && middle.iter().all(|g| g.len() == 2) { 2 } else { 3 };
    groups.iter().all(digits)
        && last.len() == 3
        && (1..=3).contains(&first.len())
        && middle.iter().all(|g| g.len() == width)
}

/// Takes letters for the digits that they resemble, inside what is clearly a number.
fn mend(text: &str) -> Option<String> {
    let digits = text.chars().filter(char::is_ascii_digit).count();
    let alike = text.chars().filter(|c| "OolISB".contains(*c)).count();
    if alike == 0 || alike > digits || !text.contains(['.', ',']) {
        return None;
    }
    let swap = |c| match c {
        'O' | 'o' => '0',
        'l' | 'I' => '1',
        'S' => '5',
        'B' => '8',
        c => c,
    };
    Some(text.chars().map(swap).collect())
}

#[cfg(test)]
mod tests {
    use super::{Decimal, Style, parse};
    use proptest::prelude::*;

    fn value(text: &str) -> Option<f64> {
        parse(text, Style::default()).map(|a| a.value.to_f64())
    }

    #[test]
    fn amounts_are_read_in_every_locale() {
        for (text, expected) in [
            ("1.234,56", 1234.56),
            ("1,234.56", 1234.56),
            ("1 234,56", 1234.56),
            ("1'234.56", 1234.56),
            ("1,23,456.00", 123_456.0),
            ("¥1,377,200", 1_377_200.0),
            ("1,377,200円", 1_377_200.0),
            ("(12.00)", -12.0),
            ("-12", -12.0),
            ("12,-", 12.0),
            ("12.00-", -12.0),
            ("€ -9,32", -9.32),
            ("-€ 9,32", -9.32),
            ("Rs. 319.00", 319.0),
            ("CHF 1'234.50", 1234.5),
            ("45,93 €", 45.93),
            ("12,50 zł", 12.5),
            ("0.01", 0.01),
            ("0.125", 0.125),
            ("1,250", 1250.0),
            ("$4.1O", 4.10),
        ] {
            assert_eq!(value(text), Some(expected), "{text}");
        }
    }

    #[test]
    fn what_is_no_amount_is_refused() {
        for text in [
            "28.11.2022",
            "2022-01-01",
            "INV-1",
            "",
            "€",
            "12.34.56",
            "FR76 10107",
            "1,2345,6",
            "99999999999999999999",
        ] {
            assert_eq!(value(text), None, "{text}");
        }
    }

    #[test]
    fn the_style_of_the_document_decides_three_digits() {
        let dot = Style::learn(["4.11", "1.87"].into_iter());
        let comma = Style::learn(["4,11", "1,87"].into_iter());
        assert_eq!(parse("1.234", dot).unwrap().value, Decimal::from_f64(1.234));
        assert_eq!(parse("1.234", comma).unwrap().value, Decimal::from_f64(1234.0));
    }

    proptest! {
        #[test]
        fn an_amount_survives_every_format(cents in 0_i64..100_000_000_000) {
            let (units, rest) = (cents / 100, cents % 100);
            let expected = Decimal(cents * 10_000);
            for (group, decimal) in [(",", '.'), (".", ','), (" ", ','), ("'", '.'), ("", '.'), ("", ',')] {
                let text = format!("{}{decimal}{rest:02}", grouped(units, group));
                prop_assert_eq!(parse(&text, Style::default()).map(|a| a.value), Some(expected), "{}", text);
            }
        }

        #[test]
        fn no_text_is_too_strange(text in "\\PC{0,40}") {
            let _ = parse(&text, Style { decimal: Some(',') });
        }
    }

    fn grouped(units: i64, separator: &str) -> String {
        let digits = units.to_string();
        let mut out = String::new();
        for (i, c) in digits.chars().enumerate() {
            if i > 0 && (digits.len() - i).is_multiple_of(3) {
                out.push_str(separator);
            }
            out.push(c);
        }
        out
    }
}
