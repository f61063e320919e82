//! Did you mean?

/// The most bytes of a name that is compared: a slip in a longer one is seen without help.
const LONGEST: usize = 100;

/// The name most like `wrong`, if one is like enough to have been meant.
pub fn closest<'n>(wrong: &str, names: impl Iterator<Item = &'n str>) -> Option<&'n str> {
    if wrong.len() > LONGEST {
        return None;
    }
    let (wrong, length) = (wrong.to_lowercase(), wrong.chars().count());
    let near = names.filter_map(|name| {
        let enough = 1 + wrong.len().min(name.len()) / 4;
        if name.len() > LONGEST || name.chars().count().abs_diff(length) > enough {
            return None;
        }
        let distance = strsim::damerau_levenshtein(&wrong, &name.to_lowercase());
        (distance <= enough).then_some((distance, name))
    });
    near.min().map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_is_seen_and_another_word_is_not() {
        let names = ["document.ocr", "document.pages", "value.set"];
        assert_eq!(closest("document.ocrr", names.into_iter()), Some("document.ocr"));
        assert_eq!(closest("docment.page", names.into_iter()), Some("document.pages"));
        assert_eq!(closest("spreadsheet", names.into_iter()), None);
    }
}
