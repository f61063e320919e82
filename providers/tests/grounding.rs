//! Where the values of an answer stand on the pages: every form in which they may be printed, and
//! what is not there.

use flow_providers::documents::{Page, Rect, Word, ground};
use proptest::prelude::*;
use serde_json::{Value, json};

/// A page of lines, each word 6 points a letter wide and a line 20 points high.
fn page(number: u32, lines: &[&str]) -> Page {
    let mut words = Vec::new();
    for (at, line) in lines.iter().enumerate() {
        let (mut x, y) = (40.0, 40.0 + 20.0 * at as f32);
        for word in line.split(' ') {
            let width = 6.0 * word.chars().count() as f32;
            if !word.is_empty() {
                let rect = Rect::new(x, y, x + width, y + 10.0);
                words.push(Word { text: word.into(), rect, confidence: 1.0 });
            }
            x += width + 4.0;
        }
    }
    Page { number, width: 600.0, height: 800.0, text: String::new(), words }
}

/// Whether a value is found on a page of one line, as what words.
fn found(line: &str, value: impl Into<Value>) -> Option<String> {
    let answer = json!({ "v": value.into() });
    let grounding = ground(&[page(1, &["Heading", line, "Footer"])], &answer, &json!(true));
    let evidence = grounding.values.get("v")?;
    assert!(grounding.ungrounded.is_empty());
    assert!(evidence.rect.y0 > 55.0 && evidence.rect.y1 < 75.0, "{evidence:?}");
    Some(evidence.text.clone())
}

#[test]
fn a_number_is_found_in_every_form() {
    for line in [
        "Total 1,234.50",
        "Total 1.234,50 €",
        "Total € 1 234,50",
        "Total CHF 1'234.50",
        "Total １，２３４．５０",
        "Total 1234.5",
        "Total: $1,234.50",
        "(1,234.50)",
    ] {
        assert!(found(line, 1234.5).is_some(), "{line}");
    }
    for (line, value) in [
        ("合計 ¥1,234", 1234.0),
        ("合計1,234円", 1234.0),
        ("売上 12万円", 120_000.0),
        ("売上 3.5億円", 350_000_000.0),
        ("USt 19%", 19.0),
        ("Gewicht 5kg", 5.0),
        ("Discount -50.00", -50.0),
        ("Discount 50.00", -50.0),
        ("Menge 1.250", 1250.0),
        ("Menge 1.250", 1.25),
        ("0.0", 0.0),
    ] {
        assert!(found(line, value).is_some(), "{line}: {value}");
    }
}

#[test]
fn a_number_that_is_not_there_is_not_found() {
    for (line, value) in [
        ("Total 1,234.50", 1234.05),
        ("Total 1,234.50", 234.5),
        ("Total 1,234.50", 12345.0),
        ("Total 1,234.50", 1.0),
        ("INV-2026-17", 7.0),
        ("Tel 0301234567", 1234.0),
        ("24.11.2026", 2411.0),
        ("", 0.0),
        ("Total", 5.0),
    ] {
        assert_eq!(found(line, value), None, "{line}: {value}");
    }
}

#[test]
fn a_date_is_found_in_every_form() {
    for line in [
        "Date: 2026-11-24",
        "Datum 24.11.2026",
        "24 Nov 2026",
        "November 24, 2026",
        "11/24/2026",
        "発行日 2026年11月24日",
        "発行日：令和8年11月24日",
        "２０２６年１１月２４日",
    ] {
        assert!(found(line, "2026-11-24").is_some(), "{line}");
    }
    assert_eq!(found("Date: 2026-11-25", "2026-11-24"), None);
    assert!(found("Date 03/04/2026", "2026-04-03").is_some());
    assert!(found("Date 03/04/2026", "2026-03-04").is_some());
}

#[test]
fn a_text_is_found_whatever_its_spaces_widths_and_case() {
    for (line, value) in [
        ("Acme Ltd", "ACME Ltd."),
        ("Müller & Söhne GmbH", "Müller & Söhne GmbH"),
        ("ＡＣＭＥ　Ｌｔｄ", "ACME Ltd"),
        ("請求番号：INV-2024-00317", "INV-2024-00317"),
        ("株式会社山田商店御中", "株式会社山田商店"),
        ("ﾔﾏﾀﾞ ｼｮｳﾃﾝ", "ヤマダショウテン"),
        ("IBAN DE89 3704 0044 0532 0130 00", "DE89370400440532013000"),
        ("Rechnung Nr. 4711", "4711"),
        ("Size M", "M"),
        ("Total 119,00 €", "EUR"),
        ("Total ¥1,377,200", "JPY"),
        ("Total 119.00 EUR", "119.00 EUR"),
    ] {
        assert!(found(line, value).is_some(), "{line}: {value}");
    }
    for (line, value) in [
        ("Acme Ltd", "Acme Inc"),
        ("Rechnung Nr. 47112", "4711"),
        ("Rechnung Nr. 14711", "4711"),
        ("Commerce", "Comm"),
        ("Size XM", "M"),
        ("Total 119,00 €", "USD"),
        ("山田商店", "山川商店"),
    ] {
        assert_eq!(found(line, value), None, "{line}: {value}");
    }
}

#[test]
fn a_box_is_around_the_value_and_not_the_whole_word() {
    let answer = json!({ "vendor": "山田商店" });
    let pages = [page(3, &["株式会社山田商店御中"])];
    let evidence = &ground(&pages, &answer, &json!(true)).values["vendor"];
    assert_eq!(evidence.page, 3);
    assert_eq!(evidence.rect, Rect::new(64.0, 40.0, 88.0, 50.0));
    assert_eq!(serde_json::to_value(evidence).unwrap()["confidence"], 0.98);
}

#[test]
fn an_address_over_several_lines_is_one_value() {
    let pages = [page(1, &["Acme Ltd", "1 Main Street", "London N1", "Total 5.00"])];
    let answer = json!({ "address": "1 Main Street, London N1" });
    let evidence = &ground(&pages, &answer, &json!(true)).values["address"];
    assert!(evidence.rect.y0 < 61.0 && evidence.rect.y1 > 89.0, "{evidence:?}");
}

#[test]
fn equal_values_of_rows_are_found_in_their_own_rows() {
    let lines = ["Widget 1 10.00", "Gadget 1 10.00", "Widget 1 10.00", "Sum 30.00"];
    let row = |what: &str| json!({ "what": what, "quantity": 1, "amount": 10.0 });
    let answer = json!({ "lines": [row("Widget"), row("Gadget"), row("Widget")], "sum": 30 });
    let grounding = ground(&[page(1, &lines)], &answer, &json!(true));
    let heights = |field: &str| {
        [0, 1, 2].map(|at| grounding.values[&format!("lines.{at}.{field}")].rect.y0.round() as i32)
    };
    for field in ["what", "quantity", "amount"] {
        assert_eq!(heights(field), [40, 60, 80], "{field}");
    }
}

#[test]
fn what_is_nowhere_is_named() {
    let answer = json!({ "total": 5, "vendor": "Nobody", "lines": [{ "amount": 6.5 }] });
    let grounding = ground(&[page(1, &["Total 5"])], &answer, &json!(true));
    assert_eq!(grounding.ungrounded, ["vendor", "lines.0.amount"]);
    assert_eq!(grounding.values.keys().collect::<Vec<_>>(), ["total"]);
}

#[test]
fn words_that_the_reader_is_unsure_of_make_the_value_unsure() {
    let mut pages = [page(1, &["Total 5.00"])];
    pages[0].words[1].confidence = 0.4;
    let evidence = &ground(&pages, &json!({ "t": 5 }), &json!(true)).values["t"];
    assert!((0.6..0.75).contains(&evidence.confidence), "{}", evidence.confidence);
}

proptest! {
    #[test]
    fn an_amount_is_found_however_it_is_printed(cents in 1_i64..10_000_000) {
        let value = cents as f64 / 100.0;
        let (whole, rest) = (cents / 100, cents % 100);
        let grouped = |by: char| {
            let digits = whole.to_string();
            let groups = digits.as_bytes().rchunks(3).rev();
            let groups: Vec<_> = groups.map(|g| String::from_utf8_lossy(g).into_owned()).collect();
            groups.join(&by.to_string())
        };
        for line in [
            format!("Total {}.{rest:02}", grouped(',')),
            format!("Total {},{rest:02}", grouped('.')),
            format!("Total {},{rest:02} €", grouped(' ')),
        ] {
            prop_assert!(found(&line, value).is_some(), "{line}: {value}");
        }
    }

    #[test]
    fn no_page_and_no_value_is_too_strange(line in "\\PC{0,60}", text in "\\PC{0,30}", n in any::<f64>()) {
        let answer = json!({ "a": text, "b": n, "c": [text, { "d": n }] });
        let pages = [page(1, &[&line]), page(2, &[&text])];
        let grounding = ground(&pages, &answer, &json!({ "properties": { "a": { "format": "date" } } }));
        prop_assert!(grounding.values.len() + grounding.ungrounded.len() <= 4);
    }
}
