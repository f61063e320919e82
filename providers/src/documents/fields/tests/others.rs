//! Other schemas than the invoice's, faults of schemas, and words of any kind.

use proptest::prelude::*;
use serde_json::json;

use super::super::{extract, inconsistencies};
use super::{invoice, invoice_schema, pages, same};
use crate::documents::layout::{Page, Rect, Word};

#[test]
fn a_receipt_is_read_by_its_own_schema() {
    let schema = json!({"type": "object", "properties": {
        "company": {"type": "string"}, "date": {"type": "string"}, "total": {"type": "string"}, "address": {"type": "string"}}});
    let receipt = "
KEDAI BUKU MEWAH SDN BHD
12 Jalan Besar
50000 Kuala Lumpur
Tel: 03-1234 5678
15/01/2019 11:05:16
Pen                 2.00
Total RM           12.50
Cash               20.00
Change              7.50
";
    let found = extract(&pages(receipt), &schema).unwrap().fields;
    assert_eq!(
        json!(found),
        json!({"company": "KEDAI BUKU MEWAH SDN BHD", "date": "2019-01-15", "total": "12.5",
        "address": "12 Jalan Besar, 50000 Kuala Lumpur"})
    );
}

#[test]
fn a_form_is_read_by_names_titles_and_labels_of_the_schema() {
    let schema = json!({"type": "object", "properties": {
        "policy_number": {"type": "string"},
        "birth": {"type": "string", "format": "date", "title": "Date of birth"},
        "smoker": {"type": "boolean"},
        "premium": {"type": "number", "x-kind": "amount", "x-labels": ["Jahresbeitrag"]},
        "cover": {"type": "string", "enum": ["basic", "full"], "title": "Type of cover"},
        "plate": {"type": "string", "pattern": "^[A-Z]{2}-\\d{4}$"}}});
    let form = "
Policy number: P-4711          Date of birth: 3 May 1980
Smoker: no                     Type of cover: Full
Jahresbeitrag: 120,50 EUR
The car XY-1234 is insured.
";
    let found = extract(&pages(form), &schema).unwrap().fields;
    let expected = json!({"policy_number": "P-4711", "birth": "1980-05-03", "smoker": false, "premium": 120.5,
        "cover": "full", "plate": "XY-1234"});
    assert!(same(&json!(found), &expected), "{found:?}");
}

#[test]
fn a_schema_that_asks_for_nothing_readable_is_refused() {
    for (schema, message) in [
        (json!({}), "the schema has no `properties`, so there is nothing to look for"),
        (json!({"properties": {"a": 1}}), "property `a` of the schema is not an object"),
        (
            json!({"properties": {"a": {"x-kind": "moon"}}}),
            "property `a` has the unknown x-kind `moon`",
        ),
        (
            json!({"properties": {"a": {"pattern": "("}}}),
            "property `a` has a pattern that cannot be read: `(`",
        ),
    ] {
        assert_eq!(extract(&[], &schema).unwrap_err().to_string(), message);
    }
}

#[test]
fn what_does_not_add_up_is_said_with_its_numbers() {
    let fields = json!({"subtotal": 100, "tax": 20, "total": 125, "date": "2024-02-01", "due_date": "2024-01-01",
        "lines": [{"amount": 40}, {"amount": 50}]});
    let warnings = inconsistencies(fields.as_object().unwrap(), &invoice_schema()).unwrap();
    assert_eq!(
        warnings,
        [
            "subtotal 100.00 + tax 20.00 = 120.00, but the total is 125.00",
            "the 2 lines sum to 90.00, but the subtotal is 100.00",
            "the due date 2024-01-01 is before the date 2024-02-01",
        ]
    );
}

#[test]
fn evidence_says_where_a_value_stands() {
    let found = invoice("Invoice No: A-77\n\nTotal: $12.50");
    let total = &found.evidence["total"];
    assert_eq!((total.page, total.text.as_str()), (1, "$12.50"));
    assert_eq!(total.rect, Rect::new(62.0, 48.0, 98.0, 58.0));
}

#[test]
fn a_large_document_takes_time_in_proportion() {
    let line =
        "Item number 12 of the list costs 14.50 and Total charges for date 2024-01-02 are open\n";
    let page = line.repeat(120);
    let took = |count: usize| {
        let pages = pages(&vec![page.clone(); count].join("\u{c}"));
        let start = std::time::Instant::now();
        extract(&pages, &invoice_schema()).unwrap();
        start.elapsed().as_secs_f64()
    };
    let (few, many) = (took(5), took(40));
    assert!(many < few * 8.0 * 4.0, "5 pages took {few:.3} s, 40 pages {many:.3} s");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn words_of_any_kind_never_panic(
        words in prop::collection::vec(("\\PC{0,14}|Total|Invoice|Date:|合計1,0|Qty|Amount|[0-9.,]{1,9}", any::<[f32; 4]>(), 0.0_f32..600.0, 0.0_f32..800.0, any::<bool>()), 0..60)
    ) {
        let words = words.into_iter().map(|(text, wild, x, y, sane)| {
            let width = 6.0 * text.chars().count() as f32;
            let rect = if sane { Rect::new(x, y, x + width, y + 10.0) } else { wild.into() };
            Word { text, rect, confidence: wild[0] }
        });
        let page = Page { number: 1, width: 600.0, height: 800.0, text: String::new(), words: words.collect() };
        extract(&[page], &invoice_schema()).unwrap();
    }
}
