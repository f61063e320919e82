//! A page of HTML in one file.
//!
//! It needs nothing else and asks for nothing: images are in it, there is no script, and its
//! policy allows none, whatever is written into it.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use flow_core::content::ContentHash;

/// A page with this title and body. The title is escaped here, the body by who writes it.
pub(crate) fn framed(title: &str, body: &str) -> String {
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"{policy}\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>{title}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n\
         {body}</body>\n</html>\n",
        title = escaped(title),
        policy = policy(),
    )
}

/// Allows images that are in the page and its own style, and nothing else.
fn policy() -> String {
    let hex = ContentHash::of_bytes(STYLE.as_bytes()).hex();
    let pairs = hex.as_bytes().chunks(2).filter_map(|pair| std::str::from_utf8(pair).ok());
    let bytes: Vec<u8> = pairs.filter_map(|pair| u8::from_str_radix(pair, 16).ok()).collect();
    let hash = STANDARD.encode(bytes);
    format!(
        "default-src 'none'; img-src data:; style-src 'sha256-{hash}'; base-uri 'none'; \
         form-action 'none'"
    )
}

/// A text as it may stand in HTML, in an attribute as well.
pub(crate) fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            // They turn what is read around, or are no text at all.
            '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => escaped.push('\u{fffd}'),
            letter if letter.is_control() => escaped.push(' '),
            letter => escaped.push(letter),
        }
    }
    escaped
}

const STYLE: &str = "
:root { color-scheme: light dark; font: 15px/1.45 system-ui, sans-serif; }
body { margin: 2rem; }
h1 { font-size: 1.4rem; margin: 0; }
h2 { font-size: 1.1rem; }
.note { color: gray; }
.sheet { display: flex; flex-wrap: wrap; gap: 1.5rem; align-items: flex-start; }
.pages { flex: 2 1 24rem; }
table { flex: 1 1 24rem; border-collapse: collapse; }
td, th { border-bottom: 1px solid #8886; padding: .25rem .6rem; text-align: left; vertical-align: top; }
td:nth-child(2), td:nth-child(3) { overflow-wrap: anywhere; }
tr:target { background: #fb04; }
.ungrounded { background: #d334; }
figure { margin: 0 0 1.5rem; }
svg { width: 100%; max-width: 60rem; border: 1px solid #8886; }
.paper { fill: white; }
.box { fill: #1a6dd422; stroke: #1a6dd4; stroke-width: 1; vector-effect: non-scaling-stroke; }
.box:hover, .box:target { fill: #fb06; stroke: #b60; }
";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_cannot_leave_its_place() {
        assert_eq!(escaped("<script>\"'&\u{202e}\u{0}"), "&lt;script&gt;&quot;&#39;&amp;\u{fffd} ");
    }
}
