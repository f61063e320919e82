//! Whether two values say the same, in whatever form they are written.
//!
//! Looser than equality and stricter than likeness: an identifier keeps its zeros, a date that
//! can be read in two ways is not the same as one of them, and an amount without a currency is
//! not one in a currency and one in another.

use serde_json::Value;

use super::amount::{self, Amount, Style};
use super::date::{self, Order};
use super::text::{fold, normalise};

/// Whether two values of an answer are the same: numbers and amounts by what they come to, dates
/// by their day, texts but for case, spaces, accents and marks, lists and objects by their parts.
pub(crate) fn same_value(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Null, Value::Null) => true,
        (Value::Bool(one), Value::Bool(other)) => one == other,
        (Value::Number(one), Value::Number(other)) => {
            one == other || near(one.as_f64(), other.as_f64())
        }
        (Value::String(text), Value::Number(number))
        | (Value::Number(number), Value::String(text)) => {
            near(money(text).map(|amount| amount.value.to_f64()), number.as_f64())
        }
        (Value::String(one), Value::String(other)) => same_text(one, other),
        (Value::Array(one), Value::Array(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(a, b)| same_value(a, b))
        }
        (Value::Object(one), Value::Object(other)) => {
            // A key that is not there is null.
            let keys = one.keys().chain(other.keys());
            let of = |map: &serde_json::Map<String, Value>, key: &str| {
                map.get(key).cloned().unwrap_or_default()
            };
            keys.into_iter().all(|key| same_value(&of(one, key), &of(other, key)))
        }
        (
            Value::Null
            | Value::Bool(_)
            | Value::Number(_)
            | Value::String(_)
            | Value::Array(_)
            | Value::Object(_),
            _,
        ) => false,
    }
}

fn same_text(one: &str, other: &str) -> bool {
    let (a, b) = (fold(one), fold(other));
    if normalise(one) == normalise(other) {
        return true;
    }
    if let (Some(one), Some(other)) = (date::parse(&normalise(one)), date::parse(&normalise(other)))
    {
        return [Order::DayFirst, Order::MonthFirst]
            .iter()
            .all(|order| one.resolve(*order) == other.resolve(*order));
    }
    if let (Some(one), Some(other)) = (money(one), money(other))
        && (is_money(&one) || is_money(&other))
    {
        return one.value == other.value && one.currency == other.currency;
    }
    !a.is_empty() && a == b
}

fn money(text: &str) -> Option<Amount> {
    amount::parse(&normalise(text), Style::default()).filter(|amount| !amount.mended)
}

/// Whether a number is written as an amount is, and not as an identifier may be.
fn is_money(amount: &Amount) -> bool {
    amount.currency.is_some() || amount.decimals > 0 || amount.grouped
}

/// Whether two numbers are one but for how machines keep them.
fn near(one: Option<f64>, other: Option<f64>) -> bool {
    let (Some(one), Some(other)) = (one, other) else { return false };
    (one - other).abs() <= 1e-9 * one.abs().max(other.abs())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values_are_the_same_in_whatever_form() {
        for (one, other) in [
            (json!(null), json!(null)),
            (json!(4), json!(4.0)),
            (json!(0.1 + 0.2), json!(0.3)),
            (json!("1.234,50 €"), json!("€1,234.50")),
            (json!("1.234,50 €"), json!(1234.5)),
            (json!("¥12,000"), json!("￥１２，０００")),
            (json!("24 Nov 2026"), json!("2026-11-24")),
            (json!("2026年11月24日"), json!("2026-11-24")),
            (json!("令和8年11月24日"), json!("24.11.2026")),
            (json!("ACME Tools, Ltd."), json!("Acme Tools Ltd")),
            (json!("ＡＢＣ"), json!("abc")),
            (json!([{ "a": 1, "b": null }]), json!([{ "a": 1.0 }])),
        ] {
            assert!(same_value(&one, &other), "{one} {other}");
            assert!(same_value(&other, &one), "{other} {one}");
        }
    }

    #[test]
    fn values_that_differ_are_not_made_the_same() {
        for (one, other) in [
            (json!(null), json!(0)),
            (json!(null), json!("")),
            (json!(119.0), json!(119.01)),
            (json!("€ 10.00"), json!("$ 10.00")),
            (json!("1.234,50 €"), json!("1.234,05 €")),
            (json!("0012"), json!("12")),
            (json!("INV-1"), json!("INV-2")),
            // Read as the fourth of March or as the third of April.
            (json!("03/04/2026"), json!("2026-04-03")),
            (json!("2026-11-24"), json!("2026-11-25")),
            (json!("株式会社"), json!("株式會社")),
            (json!("-"), json!("*")),
            (json!([1, 2]), json!([2, 1])),
            (json!([1]), json!([1, 1])),
            (json!({ "a": 1 }), json!({ "a": 1, "b": 2 })),
            (json!(true), json!("true")),
        ] {
            assert!(!same_value(&one, &other), "{one} {other}");
            assert!(!same_value(&other, &one), "{other} {one}");
        }
    }
}
