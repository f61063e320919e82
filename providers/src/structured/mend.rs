//! Taking JSON out of a text in which a model wrapped it, with what is wrong only in its form.
//!
//! What is put right never changes what is meant: fences and words around the value, the
//! reasoning before it, commas before a closing bracket, line breaks within a text. A value
//! that was cut short is not completed, and words that are no JSON are not guessed at.

use serde_json::Value;

/// The most places in a text at which a value is looked for.
const MOST_STARTS: usize = 200;

/// A value that was found in a text.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Mended {
    /// The value.
    pub(super) value: Value,
    /// What was put right, in words.
    pub(super) fixes: Vec<&'static str>,
}

/// Every object and list that stands in a text and in no other, in order.
pub(super) fn values_in(text: &str) -> Vec<Mended> {
    let (text, thought) = without_reasoning(text);
    let mut found = Vec::new();
    let mut from = 0;
    for _ in 0..MOST_STARTS {
        let Some(start) = text[from..].find(['{', '[']).map(|at| from + at) else { break };
        let read = scanned(&text[start..])
            .and_then(|scanned| Some((serde_json::from_str(&scanned.json).ok()?, scanned)));
        let Some((value, scanned)) = read else {
            from = start + 1;
            continue;
        };
        let end = start + scanned.length;
        let mut fixes = Vec::new();
        if thought {
            fixes.push("the reasoning before it left out");
        }
        fixes.extend(around(&text[..start], &text[end..]));
        fixes.extend(scanned.fixes());
        found.push(Mended { value, fixes });
        from = end;
    }
    found
}

/// The text behind the reasoning that some models write first, and whether there was any.
fn without_reasoning(text: &str) -> (&str, bool) {
    let text = text.trim_start_matches('\u{feff}').trim();
    let behind = text.strip_prefix("<think>").and_then(|text| text.split_once("</think>"));
    behind.map_or((text, false), |(_, rest)| (rest.trim(), true))
}

/// What stands around a value.
fn around(before: &str, after: &str) -> Option<&'static str> {
    let fence = |text: &str| text.contains("```");
    if fence(before) || fence(after) {
        return Some("taken out of a code fence");
    }
    let nothing = before.trim().is_empty() && after.trim().is_empty();
    (!nothing).then_some("the text around it left out")
}

/// The start of a text up to the end of the value that begins there.
struct Scanned {
    /// The value as JSON.
    json: String,
    /// How many bytes of the text it takes.
    length: usize,
    commas: bool,
    breaks: bool,
}

impl Scanned {
    fn fixes(&self) -> impl Iterator<Item = &'static str> {
        let commas = self.commas.then_some("commas before a closing bracket left out");
        let breaks = self.breaks.then_some("line breaks within a text written as JSON has them");
        commas.into_iter().chain(breaks)
    }
}

/// Reads to the bracket that closes the first one; none where there is none.
fn scanned(text: &str) -> Option<Scanned> {
    let mut scanned = Scanned { json: String::new(), length: 0, commas: false, breaks: false };
    let (mut depth, mut in_text, mut escaped) = (0_usize, false, false);
    for (at, letter) in text.char_indices() {
        if in_text {
            match letter {
                _ if escaped => escaped = false,
                '\\' => escaped = true,
                '"' => in_text = false,
                '\n' | '\r' | '\t' => {
                    scanned.breaks = true;
                    scanned.json.push_str(match letter {
                        '\n' => "\\n",
                        '\r' => "\\r",
                        _ => "\\t",
                    });
                    continue;
                }
                _ => {}
            }
        } else {
            match letter {
                '"' => in_text = true,
                '{' | '[' => depth += 1,
                '}' | ']' => {
                    scanned.commas |= drop_comma(&mut scanned.json);
                    depth -= 1;
                }
                _ => {}
            }
        }
        scanned.json.push(letter);
        if depth == 0 {
            scanned.length = at + letter.len_utf8();
            return Some(scanned);
        }
    }
    None
}

/// Takes the comma off the end, where something stands before it that it could follow.
fn drop_comma(json: &mut String) -> bool {
    let Some(before) = json.trim_end().strip_suffix(',') else { return false };
    // `{,}` and `[1,,]` are no slip of the pen.
    if before.trim_end().ends_with(['{', '[', ',', ':']) {
        return false;
    }
    json.truncate(before.len());
    true
}
