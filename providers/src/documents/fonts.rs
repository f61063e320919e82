//! Fonts whose tables are made to fill memory.
//!
//! Two tables of a font hold ranges: the map from glyphs to characters (`ToUnicode`) and
//! the widths (`W`). A range is two numbers of 32 bits, so that one line of text stands
//! for four billion entries, and a reader writes down each. No font has more than 65,536
//! glyphs: a table with far more entries is not read.

use hayro::hayro_syntax::Pdf;
use hayro::hayro_syntax::object::dict::keys::{TO_UNICODE, W};
use hayro::hayro_syntax::object::{Array, Dict, MaybeRef, Object, Stream};

use super::error::Fault;

/// Glyphs a font can have.
const GLYPHS: u64 = 1 << 16;

/// Entries that all ranges of one table may have together.
const ENTRIES: u64 = 16 * GLYPHS;

/// How deep a font may be written into other objects.
const DEPTH: usize = 8;

/// Refuses a file with a table of widths that no font can have, which neither its words
/// nor its pixels survive.
pub(crate) fn check_widths(pdf: &Pdf) -> Result<(), Fault> {
    let mut most = 0;
    all_dicts(pdf, &mut |dict| {
        most = dict.get::<Array<'_>>(W).map_or(0, |widths| spans(&widths));
        most <= ENTRIES
    });
    if most > ENTRIES {
        return Err(Fault::FontTooLarge { entries: most, max: ENTRIES });
    }
    Ok(())
}

/// Whether each map to characters is of a size that a font can have; only words need it.
pub(crate) fn maps_are_sane(pdf: &Pdf) -> bool {
    all_dicts(pdf, &mut |dict| {
        let map = dict.get::<Stream<'_>>(TO_UNICODE);
        map.and_then(|map| map.decoded_data().ok()).is_none_or(|map| entries(&map) <= ENTRIES)
    })
}

/// Whether all dictionaries of the file pass, however they are written into others.
fn all_dicts(pdf: &Pdf, pass: &mut dyn FnMut(&Dict<'_>) -> bool) -> bool {
    let objects = pdf.objects();
    objects.into_iter().all(|object| all_within(&object, DEPTH, pass))
}

fn all_within(object: &Object<'_>, depth: usize, pass: &mut dyn FnMut(&Dict<'_>) -> bool) -> bool {
    // What stands behind a reference is an object of the file, and looked at as such.
    let mut inner = |value: MaybeRef<Object<'_>>| match value {
        MaybeRef::NotRef(object) if depth > 0 => all_within(&object, depth - 1, pass),
        MaybeRef::NotRef(_) | MaybeRef::Ref(_) => true,
    };
    let dict = match object {
        Object::Dict(dict) => dict,
        Object::Stream(stream) => stream.dict(),
        Object::Array(array) => return array.raw_iter().all(inner),
        Object::Null(_)
        | Object::Boolean(_)
        | Object::Number(_)
        | Object::String(_)
        | Object::Name(_) => return true,
    };
    dict.entries().all(|(_, value)| inner(value)) && pass(dict)
}

/// Entries that the spans of a table of widths stand for.
///
/// A span is `first last width`, or `first [width …]`, whose entries are written out.
fn spans(widths: &Array<'_>) -> u64 {
    let mut sum = 0_u64;
    let mut items = widths.iter::<Object<'_>>();
    while let (Some(first), Some(next)) = (items.next(), items.next()) {
        if let (Object::Number(first), Object::Number(last)) = (first, next) {
            let span = (last.as_f64() - first.as_f64()).max(0.0) as u64;
            sum = sum.saturating_add(span);
            items.next();
        }
    }
    sum
}

/// Entries that the ranges of a map stand for.
///
/// A range is `<first> <last> <character>`, or `<first> <last> [<character> …]`, whose
/// entries are written out.
fn entries(map: &[u8]) -> u64 {
    let mut sum = 0_u64;
    let mut tokens = Tokens(map).skip_while(|t| *t != Token::Word(b"beginbfrange"));
    let mut range = [None; 2];
    while let Some(token) = tokens.next() {
        range = match (token, range) {
            (Token::Code(code), [None, _]) => [Some(code), None],
            (Token::Code(code), [first, None]) => [first, Some(code)],
            (Token::Code(_), [Some(first), Some(last)]) => {
                sum = sum.saturating_add(u64::from(last.saturating_sub(first)) + 1);
                [None; 2]
            }
            (Token::Word(b"["), _) => {
                tokens.by_ref().find(|t| *t == Token::Word(b"]"));
                [None; 2]
            }
            (Token::Word(b"endbfrange"), _) => {
                tokens.by_ref().find(|t| *t == Token::Word(b"beginbfrange"));
                [None; 2]
            }
            (Token::Word(_), _) => [None; 2],
        };
    }
    sum
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Token<'a> {
    /// A number in hexadecimal digits between angle brackets.
    Code(u32),
    /// Anything else between spaces, and each square bracket.
    Word(&'a [u8]),
}

struct Tokens<'a>(&'a [u8]);

impl<'a> Iterator for Tokens<'a> {
    type Item = Token<'a>;

    fn next(&mut self) -> Option<Token<'a>> {
        let text = self.0.trim_ascii_start();
        let end =
            |stops: &dyn Fn(u8) -> bool| text.iter().position(|&b| stops(b)).unwrap_or(text.len());
        match text.first()? {
            b'<' => {
                let close = end(&|b| b == b'>');
                self.0 = text.get(close + 1..).unwrap_or_default();
                Some(Token::Code(code(&text[1..close])))
            }
            b'[' | b']' => {
                self.0 = &text[1..];
                Some(Token::Word(&text[..1]))
            }
            _ => {
                let stop = end(&|b| b.is_ascii_whitespace() || b"<[]".contains(&b));
                self.0 = &text[stop..];
                Some(Token::Word(&text[..stop]))
            }
        }
    }
}

/// The last four bytes of a number; what is no digit counts for nothing.
fn code(digits: &[u8]) -> u32 {
    let digit = |b: &u8| char::from(*b).to_digit(16);
    digits.iter().filter_map(digit).fold(0, |code, digit| code << 4 | digit)
}

#[cfg(test)]
mod tests {
    use super::entries;

    #[test]
    fn ranges_are_counted_by_their_ends() {
        for (map, count) in [
            ("", 0),
            ("beginbfchar <01> <0041> endbfchar", 0),
            ("1 beginbfrange <00><ff><0041> endbfrange", 256),
            ("beginbfrange <00> <01> [<0041> <D835DC00>] <10> <1f> <0061> endbfrange", 16),
            ("beginbfrange <00000000> <FFFFFFFF> <0041>", 1 << 32),
            ("beginbfrange <0> <1> <0> endbfrange x beginbfrange <0> <2> <0> endbfrange", 5),
        ] {
            assert_eq!(entries(map.as_bytes()), count, "{map}");
        }
    }
}
