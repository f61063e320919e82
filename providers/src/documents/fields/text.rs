//! Normal forms of text: one for values, one for comparing labels.
//!
//! Both undo what writing systems and fonts vary freely: width (`１２` and `12`), composed
//! letters, kinds of dash. Recognition errors are not mended here: which letter a digit
//! may have been depends on what is expected, and so belongs to the typed parsers.

use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;

/// The form in which values are parsed and shown: NFKC, plain dashes and apostrophes.
pub(super) fn normalise(text: &str) -> String {
    text.nfkc()
        .map(|c| match c {
            '\u{2010}'..='\u{2015}' | '\u{2212}' => '-',
            '\u{2018}' | '\u{2019}' | '\u{02bc}' | '\u{00b4}' => '\'',
            c if c.is_whitespace() || c.is_control() => ' ',
            c => c,
        })
        .collect::<String>()
        .trim()
        .to_owned()
}

/// The form in which labels are compared: letters and digits alone, lower case, no accents.
///
/// `#` and `%` stay, because they tell `Invoice #` and `VAT %` from their bare words.
pub(super) fn fold(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.nfkd().filter(|c| !is_combining_mark(*c)) {
        match c {
            'ł' | 'Ł' => out.push('l'),
            'ø' | 'Ø' => out.push('o'),
            'đ' | 'Đ' => out.push('d'),
            'ı' => out.push('i'),
            'ß' => out.push_str("ss"),
            'æ' | 'Æ' => out.push_str("ae"),
            'œ' | 'Œ' => out.push_str("oe"),
            '#' | '%' => out.push(c),
            c if c.is_alphanumeric() => out.extend(c.to_lowercase()),
            _ => {}
        }
    }
    out
}

/// True for scripts that write no spaces between words.
pub(super) fn is_cjk(c: char) -> bool {
    matches!(c, '\u{3040}'..='\u{30ff}' | '\u{3400}'..='\u{9fff}' | '\u{f900}'..='\u{faff}' | '々' | '〆')
}

/// True where the text holds a digit.
pub(super) fn has_digit(text: &str) -> bool {
    text.chars().any(|c| c.is_ascii_digit())
}

/// Counts letters of any script.
pub(super) fn letters(text: &str) -> usize {
    text.chars().filter(|c| c.is_alphabetic()).count()
}

#[cfg(test)]
mod tests {
    use super::{fold, normalise};

    #[test]
    fn width_and_dashes_do_not_matter_to_values() {
        assert_eq!(normalise("ＩＮＶ－２０２４"), "INV-2024");
        assert_eq!(normalise(" 1\u{a0}234,56 "), "1 234,56");
    }

    #[test]
    fn accents_case_and_punctuation_do_not_matter_to_labels() {
        assert_eq!(fold("Numéro de facture :"), "numerodefacture");
        assert_eq!(fold("Do zapłaty"), "dozaplaty");
        assert_eq!(fold("Facture n°"), "facturen");
        assert_eq!(fold("Invoice #"), "invoice#");
        assert_eq!(fold("請求番号："), "請求番号");
    }
}
