//! The reader on real and built pages.

use super::extract;
use crate::documents::layout::Page;
use serde_json::Value;

fn invoice_schema() -> Value {
    serde_json::from_str(include_str!("../../../../workflows/schemas/invoice.json")).unwrap()
}

#[test]
#[ignore = "development only"]
fn dump() {
    use std::io::Write as _;
    let Ok(folder) = std::env::var("FX") else {
        return;
    };
    let mut out = std::io::stderr();
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|e| e.unwrap().path())
        .filter(|p| p.extension().is_some_and(|e| e == "json"))
        .collect();
    files.sort();
    for file in files {
        let pages: Vec<Page> =
            serde_json::from_str(&std::fs::read_to_string(&file).unwrap()).unwrap();
        let start = std::time::Instant::now();
        let found = extract(&pages, &invoice_schema()).unwrap();
        let took = start.elapsed();
        writeln!(
            out,
            "== {} {took:?} missing {:?} warnings {:?}",
            file.display(),
            found.missing,
            found.warnings
        )
        .unwrap();
        for (name, value) in &found.fields {
            let e = found.evidence.get(name);
            if name == "lines" {
                for row in value.as_array().into_iter().flatten() {
                    writeln!(out, "   {row}").unwrap();
                }
            } else {
                writeln!(
                    out,
                    "  {name}: {value}  {:?}",
                    e.map(|e| (e.confidence, e.text.as_str()))
                )
                .unwrap();
            }
        }
    }
}
