//! Which entry of a table a model's name means.
//!
//! A name is listed as it is, or without the date of its snapshot (`gpt-4o-2024-08-06`), its
//! tag (`llava:13b`) or the folder that the service puts before it (`models/…`), or by a
//! pattern that ends in `*`; the first of these that is found counts, the longest pattern
//! before the others.

use std::collections::BTreeMap;

/// The entry of a model. The pattern `*` alone is left out: it is nobody's own.
pub(super) fn find<'t, T>(table: &'t BTreeMap<String, T>, model: &str) -> Option<&'t T> {
    let bare = model.strip_prefix("models/").unwrap_or(model);
    let untagged = bare.split_once(':').map_or(bare, |(family, _)| family);
    let names = [model, bare, undated(bare), untagged];
    names.into_iter().find_map(|name| table.get(name)).or_else(|| {
        let patterns = table.iter().filter_map(|(name, entry)| {
            let start = name.strip_suffix('*').filter(|start| !start.is_empty())?;
            bare.starts_with(start).then_some((start.len(), entry))
        });
        patterns.max_by_key(|(length, _)| *length).map(|(_, entry)| entry)
    })
}

/// A name without what marks a snapshot of a model.
fn undated(name: &str) -> &str {
    let digits = |text: &str, counts: &[usize]| {
        counts.contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit())
    };
    if let Some((start, _)) = name.rsplit_once('@').filter(|(_, date)| digits(date, &[8])) {
        return start;
    }
    let mut parts = name.rsplitn(4, '-');
    let (day, month, year) = (parts.next(), parts.next(), parts.next());
    if let (Some(day), Some(month), Some(year), Some(start)) = (day, month, year, parts.next())
        && digits(day, &[2])
        && digits(month, &[2])
        && digits(year, &[4])
    {
        return start;
    }
    match name.rsplit_once('-') {
        Some((start, mark)) if mark == "latest" || digits(mark, &[3, 4, 8]) => start,
        _ => name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn snapshots_and_tags_are_the_model_unless_they_are_listed_themselves() {
        let names = ["gpt-4o", "gpt-4o-2024-05-13", "llava", "gpt-4o-mini*", "gpt-*", "x", "*"];
        let table: BTreeMap<_, _> = names.iter().map(|name| ((*name).to_owned(), *name)).collect();
        for (model, entry) in [
            ("gpt-4o", Some("gpt-4o")),
            ("gpt-4o-2024-08-06", Some("gpt-4o")),
            ("gpt-4o-2024-05-13", Some("gpt-4o-2024-05-13")),
            ("gpt-4o-mini-2024-07-18", Some("gpt-4o-mini*")),
            ("gpt-4o-audio-preview", Some("gpt-*")),
            ("llava:13b", Some("llava")),
            ("models/x-001", Some("x")),
            ("x-latest", Some("x")),
            ("x@20241022", Some("x")),
            ("x-20241022", Some("x")),
            ("x-2024", Some("x")),
            ("x-24", None),
            ("x-1-2", None),
            ("other", None),
        ] {
            assert_eq!(find(&table, model).copied(), entry, "{model}");
        }
    }
}
