//! Models in several files: `NAME-00001-of-00003.gguf` and so on, all in one folder.

/// How the names of models' files end.
pub(crate) const SUFFIX: &str = ".gguf";

/// The letters of a part's name behind its stem: `-00001-of-00003.gguf`.
const TAIL: usize = "-00001-of-00003.gguf".len();

/// What the name of a part says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartName {
    /// What the names of all parts begin with.
    pub stem: String,
    /// Which it is, from 1.
    pub number: u16,
    /// How many there are.
    pub count: u16,
}

impl PartName {
    /// Reads the name of a file; none if it is not named as a part is.
    pub fn of(name: &str) -> Option<Self> {
        let (stem, tail) = name.split_at_checked(name.len().checked_sub(TAIL)?)?;
        let tail = tail.strip_prefix('-')?.strip_suffix(SUFFIX)?;
        let (number, count) = tail.split_once("-of-")?;
        let digits = |text: &str| {
            let plain = text.len() == 5 && text.bytes().all(|byte| byte.is_ascii_digit());
            plain.then(|| text.parse::<u16>().ok()).flatten()
        };
        let (number, count) = (digits(number)?, digits(count)?);
        let part = Self { stem: stem.to_owned(), number, count };
        (1..=count).contains(&number).then_some(part)
    }

    /// The names of all parts, in order.
    pub fn all(&self) -> impl Iterator<Item = String> {
        let (stem, count) = (&self.stem, self.count);
        (1..=count).map(move |number| format!("{stem}-{number:05}-of-{count:05}.gguf"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_is_known_by_its_name() {
        let part = PartName::of("big-00002-of-00003.gguf").unwrap();
        assert_eq!(part, PartName { stem: "big".into(), number: 2, count: 3 });
        let names: Vec<_> = part.all().collect();
        assert_eq!(
            names,
            ["big-00001-of-00003.gguf", "big-00002-of-00003.gguf", "big-00003-of-00003.gguf"]
        );
        for other in [
            "big.gguf",
            "big-00000-of-00003.gguf",
            "big-00004-of-00003.gguf",
            "big-+0001-of-00003.gguf",
            "big-99999-of-99999.gguf",
            "-of-.gguf",
            "é-0001-of-00003.gguf",
            "",
        ] {
            assert_eq!(PartName::of(other), None, "{other}");
        }
    }
}
