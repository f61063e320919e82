//! What things are called: the dictionary of concepts, their labels in many languages,
//! month names, currency marks and legal forms.
//!
//! The knowledge is data (`labels.json`, compiled in); this module indexes it. A label is
//! compared folded (see [`super::text::fold`]), exactly first, then within one or two edits
//! for long ones, because recognition confuses letters. One phrase may name several
//! concepts (`VAT` is an amount and a registration number): the type of what stands beside
//! it decides. Labels of a schema join the dictionary for one extraction.

use std::collections::HashMap;
use std::sync::LazyLock;

use serde::Deserialize;

use super::text::fold;

/// What a value is, which decides how it is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Kind {
    Amount,
    Number,
    Date,
    Currency,
    Party,
    Address,
    Identifier,
    Text,
    Boolean,
    Table,
}

/// A concept by its place in the dictionary; those behind its end belong to the schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct ConceptId(pub(super) u16);

/// A concept of the dictionary.
pub(super) struct Concept {
    pub(super) id: ConceptId,
    pub(super) name: String,
    pub(super) kind: Kind,
    pub(super) column: bool,
    names: Vec<String>,
}

/// The built-in knowledge, indexed.
pub(super) struct Dictionary {
    concepts: Vec<Concept>,
    phrases: HashMap<String, Vec<Meaning>>,
    by_length: Vec<Vec<String>>,
    /// Phrases by their form without what recognition confuses.
    alike: HashMap<String, String>,
    months: HashMap<String, i8>,
    pub(super) currencies: HashMap<String, String>,
    pub(super) legal_forms: Vec<String>,
    pub(super) legal_forms_cjk: Vec<String>,
}

/// What a phrase can mean, and in which language.
#[derive(Clone, Debug)]
pub(super) struct Meaning {
    pub(super) concept: ConceptId,
    pub(super) language: Option<&'static str>,
}

#[derive(Deserialize)]
struct Source {
    concepts: serde_json::Map<String, serde_json::Value>,
    months: HashMap<String, Vec<String>>,
    currencies: HashMap<String, String>,
    legal_forms: Vec<String>,
    legal_forms_cjk: Vec<String>,
}

#[derive(Deserialize)]
struct ConceptSource {
    kind: Kind,
    #[serde(default)]
    column: bool,
    names: Vec<String>,
    labels: HashMap<String, Vec<String>>,
}

const LONGEST_PHRASE: usize = 48;
const LANGUAGES: [&str; 14] =
    ["en", "de", "fr", "es", "it", "nl", "pt", "pl", "sv", "da", "no", "cs", "ja", "zh"];

static DICTIONARY: LazyLock<Dictionary> = LazyLock::new(|| {
    let source: Source = serde_json::from_str(include_str!("labels.json"))
        .expect("labels.json is compiled in and tested");
    Dictionary::index(source)
});

impl Dictionary {
    /// The built-in dictionary.
    pub(super) fn get() -> &'static Self {
        &DICTIONARY
    }

    fn index(source: Source) -> Self {
        let mut concepts = Vec::new();
        let mut phrases: HashMap<String, Vec<Meaning>> = HashMap::new();
        for (place, (name, value)) in source.concepts.into_iter().enumerate() {
            let entry: ConceptSource =
                serde_json::from_value(value).expect("labels.json is compiled in and tested");
            let id = ConceptId(place as u16);
            for (language, labels) in entry.labels {
                let language = LANGUAGES.into_iter().find(|l| *l == language);
                for label in labels {
                    let meanings = phrases.entry(fold(&label)).or_default();
                    meanings.push(Meaning { concept: id, language });
                }
            }
            let names = entry.names.iter().map(|n| fold(n)).collect();
            concepts.push(Concept { id, name, kind: entry.kind, column: entry.column, names });
        }
        let mut by_length = vec![Vec::new(); LONGEST_PHRASE + 1];
        for phrase in phrases.keys() {
            let length = phrase.chars().count();
            if phrase.is_ascii() && (6..=LONGEST_PHRASE).contains(&length) {
                by_length[length].push(phrase.clone());
            }
        }
        for bucket in &mut by_length {
            bucket.sort();
        }
        let mut alike: Vec<(String, String)> = phrases
            .keys()
            .filter(|p| p.is_ascii() && p.len() > 4)
            .map(|p| (without_confusion(p), p.clone()))
            .collect();
        alike.sort();
        let months = source
            .months
            .into_values()
            .flat_map(|names| names.into_iter().zip(1..))
            .flat_map(|(name, number)| {
                let short: String = fold(&name).chars().take(3).collect();
                [(fold(&name), number), (short, number)]
            })
            .filter(|(name, number)| {
                !AMBIGUOUS_MONTHS.iter().any(|(m, n)| m == name && n != number)
            })
            .collect();
        Self {
            concepts,
            phrases,
            by_length,
            alike: alike.into_iter().collect(),
            months,
            currencies: source.currencies,
            legal_forms: source.legal_forms.iter().map(|f| fold(f)).collect(),
            legal_forms_cjk: source.legal_forms_cjk,
        }
    }

    /// The concept with this name in the dictionary.
    pub(super) fn concept(&self, name: &str) -> Option<&Concept> {
        self.concepts.iter().find(|c| c.name == name)
    }

    /// The concept with this identity; none for those of a schema.
    pub(super) fn by_id(&self, id: ConceptId) -> Option<&Concept> {
        self.concepts.get(usize::from(id.0))
    }

    /// The concept that a property of this name most likely asks for.
    pub(super) fn asked_by(&self, name: &str, column: bool) -> Option<&Concept> {
        let folded = fold(name);
        let fits = |c: &&Concept| c.column == column;
        let mut fitting = self.concepts.iter().filter(fits);
        fitting.clone().find(|c| fold(&c.name) == folded || c.names.contains(&folded)).or_else(
            || {
                let meanings = self.phrases.get(&folded)?;
                fitting.find(|c| meanings.iter().any(|m| m.concept == c.id))
            },
        )
    }

    /// Number of concepts; identities from here on are free for a schema.
    pub(super) fn len(&self) -> u16 {
        self.concepts.len() as u16
    }

    /// Month 1 to 12 of a folded name or its first three letters.
    pub(super) fn month(&self, folded: &str) -> Option<i8> {
        self.months.get(folded).copied()
    }
}

/// Three letters that begin two months in different languages mean the commoner one.
const AMBIGUOUS_MONTHS: [(&str, i8); 6] =
    [("mar", 3), ("jui", 0), ("cer", 0), ("lis", 0), ("maj", 5), ("mai", 5)];

/// The dictionary with the labels of one schema.
pub(super) struct Labels {
    base: &'static Dictionary,
    extra: HashMap<String, Vec<Meaning>>,
    longest_extra: usize,
}

/// Phrases found, and how exactly they were written.
#[derive(Clone, Debug)]
pub(super) struct Match {
    pub(super) meanings: Vec<Meaning>,
    pub(super) quality: f32,
}

impl Labels {
    pub(super) fn new(extra: impl IntoIterator<Item = (String, ConceptId)>) -> Self {
        let mut own: HashMap<String, Vec<Meaning>> = HashMap::new();
        for (phrase, concept) in extra {
            let folded = fold(&phrase);
            if !folded.is_empty() {
                own.entry(folded).or_default().push(Meaning { concept, language: None });
            }
        }
        let longest_extra = own.keys().map(|p| p.chars().count()).max().unwrap_or(0);
        Self { base: Dictionary::get(), extra: own, longest_extra }
    }

    /// Longest phrase known, in characters.
    pub(super) fn longest(&self) -> usize {
        self.longest_extra.max(LONGEST_PHRASE)
    }

    /// Meanings of exactly this folded phrase; those of the schema come before all others.
    pub(super) fn exact(&self, folded: &str) -> Option<Match> {
        let meanings = match (self.extra.get(folded), self.base.phrases.get(folded)) {
            (Some(own), None) => own.clone(),
            (Some(own), Some(base)) => own.iter().chain(base).cloned().collect(),
            (None, Some(base)) => base.clone(),
            (None, None) => return None,
        };
        Some(Match { meanings, quality: 1.0 })
    }

    /// Meanings of the phrase nearest to this one, where it is near enough to be a misreading.
    pub(super) fn fuzzy(&self, folded: &str) -> Option<Match> {
        if let Some(phrase) = self.base.alike.get(&without_confusion(folded)) {
            let found = self.exact(phrase)?;
            return Some(Match { quality: 0.95, ..found });
        }
        let length = folded.len();
        if !folded.is_ascii() || !(6..=LONGEST_PHRASE).contains(&length) {
            return None;
        }
        let edits = if length < 11 { 1 } else { 2 };
        let mut best: Option<(usize, &str)> = None;
        let near =
            self.base.by_length[length - edits..=(length + edits).min(LONGEST_PHRASE)].iter();
        let own = self.extra.keys().filter(|p| p.len().abs_diff(length) <= edits && p.len() > 5);
        for phrase in near.flatten().chain(own) {
            if !shares_an_end(phrase.as_bytes(), folded.as_bytes()) {
                continue;
            }
            let distance = strsim::levenshtein(phrase, folded);
            if distance <= edits && best.is_none_or(|(d, _)| distance < d) {
                best = Some((distance, phrase));
            }
        }
        let (distance, phrase) = best?;
        let found = self.exact(phrase)?;
        Some(Match { quality: 1.0 - 0.1 * distance as f32, ..found })
    }

    /// Length in bytes of the longest label that this word begins with, for words that have
    /// their value glued to them.
    pub(super) fn prefix(
        &self,
        word: &str,
        boundary: impl Fn(char, char) -> bool,
    ) -> Option<usize> {
        let ends: Vec<(usize, char)> = word.char_indices().take(LONGEST_PHRASE).collect();
        ends.windows(2)
            .rev()
            .filter(|pair| boundary(pair[0].1, pair[1].1))
            .map(|pair| pair[1].0)
            .find(|end| {
                let folded = fold(&word[..*end]);
                folded.chars().count() > 1 && self.exact(&folded).is_some()
            })
    }
}

/// A phrase with the letters that recognition confuses made one.
fn without_confusion(folded: &str) -> String {
    let one = |c| match c {
        '1' | 'l' => 'i',
        '0' => 'o',
        '5' => 's',
        '8' => 'b',
        c => c,
    };
    folded.replace("rn", "m").chars().map(one).collect()
}

fn shares_an_end(a: &[u8], b: &[u8]) -> bool {
    a.first() == b.first() || a.last() == b.last()
}

#[cfg(test)]
mod tests {
    use super::{Dictionary, Labels};

    fn names(found: &super::Match) -> Vec<&'static str> {
        found
            .meanings
            .iter()
            .filter_map(|m| Dictionary::get().by_id(m.concept))
            .map(|c| c.name.as_str())
            .collect()
    }

    #[test]
    fn a_label_is_found_through_a_misread_letter() {
        let labels = Labels::new([]);
        assert!(names(&labels.fuzzy("invoicenumbcr").unwrap()).contains(&"invoice_number"));
        assert!(names(&labels.fuzzy("rechnungsdatun").unwrap()).contains(&"invoice_date"));
        assert!(names(&labels.fuzzy("t0tal").unwrap()).contains(&"total"));
        assert!(names(&labels.fuzzy("lnvoicenurnber").unwrap()).contains(&"invoice_number"));
        assert!(labels.fuzzy("totem").is_none());
    }

    #[test]
    fn a_property_name_asks_for_its_concept() {
        let dictionary = Dictionary::get();
        for (property, concept) in [
            ("number", "invoice_number"),
            ("invoiceNumber", "invoice_number"),
            ("total", "total"),
            ("amount_due", "total"),
            ("company", "vendor"),
            ("due_date", "due_date"),
            ("Rechnungsdatum", "invoice_date"),
        ] {
            assert_eq!(dictionary.asked_by(property, false).unwrap().name, concept, "{property}");
        }
        assert_eq!(dictionary.asked_by("amount", true).unwrap().name, "amount");
    }

    #[test]
    fn months_are_known_in_every_language() {
        for (name, number) in [
            ("august", 8),
            ("aout", 8),
            ("mrt", 3),
            ("stycznia", 1),
            ("dez", 12),
            ("juillet", 7),
            ("maj", 5),
        ] {
            assert_eq!(Dictionary::get().month(name), Some(number), "{name}");
        }
    }
}
