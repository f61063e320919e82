//! What was missed, side by side, as one page of HTML that needs nothing else.

use std::fmt::Write;

use super::{Column, Verdict};
use crate::page::{escaped, framed};
use crate::world::shown;

/// The most letters of a value that are shown.
const LONGEST: usize = 200;

/// Draws how each model did, and each value that is not right.
pub(crate) fn html(workflow: &str, columns: &[Column]) -> String {
    let mut body = String::new();
    _ = writeln!(body, "<h1>{}</h1>", escaped(workflow));
    for column in columns {
        _ = writeln!(body, "<h2>{}</h2>", escaped(column.name()));
        body.push_str("<table>\n<tr><th>field</th><th>exact</th><th>normalised</th><th>missing</th><th>grounded</th><th>known</th></tr>\n");
        for field in column.fields() {
            _ = writeln!(
                body,
                "<tr><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{} of {}</td><td>{}</td></tr>",
                escaped(&field.name),
                field.exact,
                field.right(),
                field.missing,
                field.grounded,
                field.looked_for,
                field.known
            );
        }
        body.push_str("</table>\n");
    }
    body.push_str(
        "<h2>What is not right</h2>\n<table>\n<tr><th>case</th><th>field</th><th>known</th>",
    );
    for column in columns {
        _ = write!(body, "<th>{}</th>", escaped(column.name()));
    }
    body.push_str("</tr>\n");
    for (case, field) in missed(columns) {
        row(case, field, columns, &mut body);
    }
    body.push_str("</table>\n");
    framed(workflow, &body)
}

/// The cases and fields that a model got wrong, in order.
fn missed(columns: &[Column]) -> Vec<(&str, &str)> {
    let mut missed: Vec<(&str, &str)> = Vec::new();
    for column in columns {
        for outcome in &column.outcomes {
            if outcome.error.is_some() && !missed.contains(&(outcome.case.as_str(), "")) {
                missed.push((&outcome.case, ""));
            }
            for judged in outcome.judged.iter().filter(|judged| !judged.verdict.is_right()) {
                if !missed.contains(&(outcome.case.as_str(), judged.field.as_str())) {
                    missed.push((&outcome.case, &judged.field));
                }
            }
        }
    }
    missed.sort_unstable();
    missed
}

fn row(case: &str, field: &str, columns: &[Column], body: &mut String) {
    let outcomes = || columns.iter().filter_map(|c| c.outcomes.iter().find(|o| o.case == case));
    let known = outcomes().flat_map(|o| &o.judged).find(|judged| judged.field == field);
    let known = known.map(|judged| shown(&judged.known, LONGEST)).unwrap_or_default();
    _ = write!(
        body,
        "<tr><td>{}</td><td>{}</td><td>{}</td>",
        escaped(case),
        escaped(field),
        escaped(&known)
    );
    for outcome in outcomes() {
        let judged = outcome.judged.iter().find(|judged| judged.field == field);
        let (class, text) = match (judged, &outcome.error) {
            (_, Some(error)) => ("ungrounded", error.clone()),
            (None, None) => ("", String::new()),
            (Some(judged), None) => match judged.verdict {
                Verdict::Exact | Verdict::Normalised => ("", shown(&judged.found, LONGEST)),
                Verdict::Wrong => ("ungrounded", shown(&judged.found, LONGEST)),
                Verdict::Missing => ("ungrounded", "missing".to_owned()),
            },
        };
        _ = write!(body, "<td class=\"{class}\">{}</td>", escaped(&text));
    }
    body.push_str("</tr>\n");
}
