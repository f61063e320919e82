//! Judging one value, and counting what came of a field.

use serde_json::{Value, json};

/// What a value is against the known one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The same.
    Exact,
    /// The same but for case, spaces and marks, or the form of a number.
    Normalised,
    /// Another.
    Wrong,
    /// Null, where an answer is known.
    Missing,
}

impl Verdict {
    /// The word for it.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Exact => "exact",
            Self::Normalised => "normalised",
            Self::Wrong => "wrong",
            Self::Missing => "missing",
        }
    }

    /// Whether it counts as right.
    pub(crate) fn is_right(self) -> bool {
        match self {
            Self::Exact | Self::Normalised => true,
            Self::Wrong | Self::Missing => false,
        }
    }
}

/// A value and what it is.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Judged {
    pub(crate) field: String,
    pub(crate) known: Value,
    pub(crate) found: Value,
    pub(crate) verdict: Verdict,
    /// Whether the value stands on the page; none where nobody looked.
    pub(crate) grounded: Option<bool>,
}

impl Judged {
    pub(crate) fn to_value(&self) -> Value {
        json!({
            "field": self.field,
            "known": self.known,
            "found": self.found,
            "verdict": self.verdict.as_str(),
            "grounded": self.grounded,
        })
    }
}

/// What came of a field over all cases.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Field {
    pub(crate) name: String,
    pub(crate) known: usize,
    pub(crate) exact: usize,
    pub(crate) normalised: usize,
    pub(crate) missing: usize,
    /// Of the values that were found and looked for, those that stand on the page.
    pub(crate) grounded: usize,
    pub(crate) looked_for: usize,
}

impl Field {
    pub(crate) fn new(name: &str) -> Self {
        let name = name.to_owned();
        Self { name, known: 0, exact: 0, normalised: 0, missing: 0, grounded: 0, looked_for: 0 }
    }

    pub(crate) fn count(&mut self, judged: &Judged) {
        self.known += 1;
        match judged.verdict {
            Verdict::Exact => self.exact += 1,
            Verdict::Normalised => self.normalised += 1,
            Verdict::Missing => self.missing += 1,
            Verdict::Wrong => {}
        }
        if let Some(grounded) = judged.grounded {
            self.looked_for += 1;
            self.grounded += usize::from(grounded);
        }
    }

    /// Values that are right, in whatever form.
    pub(crate) fn right(&self) -> usize {
        self.exact + self.normalised
    }

    pub(crate) fn to_value(&self) -> Value {
        json!({
            "field": self.name,
            "known": self.known,
            "exact": self.exact,
            "normalised": self.right(),
            "missing": self.missing,
            "grounded": self.grounded,
            "looked_for": self.looked_for,
        })
    }
}

/// Judges a value.
pub(crate) fn judge(known: &Value, found: &Value) -> Verdict {
    if found.is_null() && !known.is_null() {
        return Verdict::Missing;
    }
    if same(known, found) {
        return Verdict::Exact;
    }
    if let (Some(a), Some(b)) = (number(known), number(found)) {
        return if (a - b).abs() < 0.005 { Verdict::Normalised } else { Verdict::Wrong };
    }
    match (letters(known), letters(found)) {
        (a, b) if !a.is_empty() && a == b => Verdict::Normalised,
        _ => Verdict::Wrong,
    }
}

/// Whether two values are the same; 4 and 4.0 are.
fn same(a: &Value, b: &Value) -> bool {
    match (a.as_f64(), b.as_f64()) {
        (Some(a), Some(b)) => a.to_bits() == b.to_bits() || (a - b).abs() < f64::EPSILON,
        _ => a == b,
    }
}

fn number(value: &Value) -> Option<f64> {
    value.as_f64().or_else(|| value.as_str()?.trim().parse().ok())
}

/// A value without case, spaces and marks.
fn letters(value: &Value) -> String {
    let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    text.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_right_in_whatever_form() {
        for (known, found, verdict) in [
            (json!("INV-1"), json!("INV-1"), Verdict::Exact),
            (json!(4), json!(4.0), Verdict::Exact),
            (json!(null), json!(null), Verdict::Exact),
            (json!("#INV 1"), json!("inv-1"), Verdict::Normalised),
            (json!("0.01"), json!(0.01), Verdict::Normalised),
            (json!(530_848_134), json!("530848134"), Verdict::Normalised),
            (json!(["A", "b"]), json!(["a", "B"]), Verdict::Normalised),
            (json!("INV-1"), json!("INV-2"), Verdict::Wrong),
            (json!(119.0), json!(119.01), Verdict::Wrong),
            (json!("株式会社"), json!("株式會社"), Verdict::Wrong),
            (json!("-"), json!("*"), Verdict::Wrong),
            (json!(null), json!("x"), Verdict::Wrong),
            (json!("x"), json!(null), Verdict::Missing),
        ] {
            assert_eq!(judge(&known, &found), verdict, "{known} {found}");
        }
    }
}
