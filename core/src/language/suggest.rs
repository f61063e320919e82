//! Did you mean?

/// The name most like `wrong`, if one is like enough to have been meant.
pub fn closest<'n>(wrong: &str, names: impl Iterator<Item = &'n str>) -> Option<&'n str> {
    let alike =
        |name: &str| strsim::damerau_levenshtein(&wrong.to_lowercase(), &name.to_lowercase());
    let (distance, name) = names.map(|name| (alike(name), name)).min()?;
    (distance <= 1 + wrong.len().min(name.len()) / 4).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_is_seen_and_another_word_is_not() {
        let names = ["document.ocr", "document.pages", "value.set"];
        assert_eq!(
            closest("document.ocrr", names.into_iter()),
            Some("document.ocr")
        );
        assert_eq!(
            closest("docment.page", names.into_iter()),
            Some("document.pages")
        );
        assert_eq!(closest("spreadsheet", names.into_iter()), None);
    }
}
