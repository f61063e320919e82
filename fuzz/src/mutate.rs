//! Changes to inputs, the same for the same seed.
//!
//! A change knows no format. What makes it reach deep is where its parts come from: other
//! inputs of the corpus, and the words of a dictionary in libFuzzer's form.

/// The most bytes of a changed input.
const LARGEST: usize = 64 << 10;

/// Numbers at the ends of what fits somewhere.
const NUMBERS: [&str; 12] = [
    "0",
    "-1",
    "1e999",
    "255",
    "32768",
    "65536",
    "2147483648",
    "4294967295",
    "9223372036854775807",
    "-9223372036854775808",
    "18446744073709551616",
    "0.0000001",
];

/// Changes inputs.
#[derive(Debug)]
pub struct Mutator<'m> {
    corpus: &'m [Vec<u8>],
    words: &'m [Vec<u8>],
    state: u64,
}

impl<'m> Mutator<'m> {
    /// A mutator that begins at a seed.
    pub fn new(corpus: &'m [Vec<u8>], words: &'m [Vec<u8>], seed: u64) -> Self {
        Self { corpus, words, state: seed }
    }

    /// The next input: one of the corpus, with a few changes.
    pub fn input(&mut self) -> Vec<u8> {
        let mut bytes = self.one_of(self.corpus).cloned().unwrap_or_default();
        for _ in 0..=self.below(4) {
            self.change(&mut bytes);
        }
        bytes.truncate(LARGEST);
        bytes
    }

    fn change(&mut self, bytes: &mut Vec<u8>) {
        let at = self.below(bytes.len() + 1);
        let end = at + self.below((bytes.len() - at).min(40) + 1);
        match self.below(10) {
            0 => bytes.iter_mut().skip(at).take(1).for_each(|byte| *byte ^= 1 << (end % 8)),
            1 => {
                let random: Vec<u8> = (0..self.below(5)).map(|_| self.next() as u8).collect();
                bytes.splice(at..end, random);
            }
            2 => drop(bytes.drain(at..end)),
            3 => {
                let times = 1 + self.below(30);
                let part = bytes[at..end].repeat(times);
                bytes.splice(at..at, part);
            }
            4 | 5 => {
                let word = self.one_of(self.words).cloned().unwrap_or_default();
                bytes.splice(at..at, word);
            }
            6 => {
                let word = self.one_of(self.words).cloned().unwrap_or_default();
                bytes.splice(at..end, word);
            }
            7 => {
                let other = self.one_of(self.corpus).cloned().unwrap_or_default();
                let from = self.below(other.len() + 1);
                bytes.splice(at.., other[from..].iter().copied());
            }
            8 => self.replace_number(bytes, at),
            _ => self.swap_lines(bytes),
        }
    }

    /// Puts another number in the place of the first one behind `at`.
    fn replace_number(&mut self, bytes: &mut Vec<u8>, at: usize) {
        let digit = |byte: &u8| byte.is_ascii_digit();
        let Some(from) = bytes[at..].iter().position(digit).map(|n| at + n) else { return };
        let end = bytes[from..].iter().position(|b| !digit(b)).map_or(bytes.len(), |n| from + n);
        let number = NUMBERS[self.below(NUMBERS.len())];
        bytes.splice(from..end, number.bytes());
    }

    fn swap_lines(&mut self, bytes: &mut Vec<u8>) {
        let mut lines: Vec<_> = bytes.split(|byte| *byte == b'\n').collect();
        let (a, b) = (self.below(lines.len()), self.below(lines.len()));
        lines.swap(a, b);
        *bytes = lines.join(&b'\n');
    }

    fn one_of<'l, T>(&mut self, list: &'l [T]) -> Option<&'l T> {
        list.get(self.below(list.len()))
    }

    /// A number below `end`; 0 where there is none.
    fn below(&mut self, end: usize) -> usize {
        (self.next() % end.max(1) as u64) as usize
    }

    /// The next number of the sequence (`SplitMix64`).
    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

/// Reads a dictionary of libFuzzer: a word in quotes a line, with `\"`, `\\` and `\xNN` in it.
pub fn words(dictionary: &str) -> Result<Vec<Vec<u8>>, String> {
    let lines = dictionary.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines
        .map(|line| {
            let (_, word) = line.split_once('"').ok_or(line)?;
            unescaped(word.strip_suffix('"').ok_or(line)?).ok_or_else(|| line.to_owned())
        })
        .collect()
}

fn unescaped(word: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut rest = word.as_bytes();
    while let [first, tail @ ..] = rest {
        (rest, ()) = match (first, tail) {
            (b'\\', [b'x', high, low, tail @ ..]) => {
                let digits = [*high, *low];
                let digits = std::str::from_utf8(&digits).ok()?;
                (tail, bytes.push(u8::from_str_radix(digits, 16).ok()?))
            }
            (b'\\', [escaped @ (b'"' | b'\\'), tail @ ..]) => (tail, bytes.push(*escaped)),
            (b'\\' | b'"', _) => return None,
            _ => (tail, bytes.push(*first)),
        };
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_yields_the_same_inputs() {
        let corpus = [b"one: 1\ntwo: 2\n".to_vec(), b"{}".to_vec()];
        let words = [b"three".to_vec()];
        let inputs = |seed| {
            let mut mutator = Mutator::new(&corpus, &words, seed);
            (0..500).map(|_| mutator.input()).collect::<Vec<_>>()
        };
        assert_eq!(inputs(1), inputs(1));
        assert_ne!(inputs(1), inputs(2));
        let new = inputs(1).into_iter().filter(|input| !corpus.contains(input)).count();
        assert!(new > 400, "{new} inputs are new");
    }

    #[test]
    fn a_dictionary_is_read_as_libfuzzer_reads_it() {
        let read = words("# marks\n\nopen=\"{{ \"\n\"a\\\"b\\\\\\x00\\xfF\"\n");
        assert_eq!(read, Ok(vec![b"{{ ".to_vec(), b"a\"b\\\0\xff".to_vec()]));
        for bad in ["open", "\"open", "\"a\\n\"", "\"\\xg0\""] {
            assert_eq!(words(bad), Err(bad.to_owned()));
        }
    }
}
