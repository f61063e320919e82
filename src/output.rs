//! The two streams: data on stdout, everything for people on stderr.
//!
//! A reader that went away (`flow runs | head`) ends the output and is no error.

use std::io::{self, Write};

use serde_json::Value;

/// Prints data.
pub(crate) fn data(text: &str) {
    write(&mut io::stdout().lock(), text);
}

/// Prints a JSON value as data.
pub(crate) fn json(value: &Value) {
    data(&format!("{value:#}\n"));
}

/// A JSON array that is printed as it comes, for it may be long.
pub(crate) struct Array {
    empty: bool,
}

impl Array {
    /// Begins one.
    pub(crate) fn begin() -> Self {
        Self { empty: true }
    }

    /// Prints its next values.
    pub(crate) fn push(&mut self, values: impl Iterator<Item = Value>) {
        let mut text = String::new();
        for value in values {
            text.push_str(if self.empty { "[\n  " } else { ",\n  " });
            text.push_str(&format!("{value:#}").replace('\n', "\n  "));
            self.empty = false;
        }
        data(&text);
    }

    /// Ends it.
    pub(crate) fn end(self) {
        data(if self.empty { "[]\n" } else { "\n]\n" });
    }
}

/// Prints something for people.
pub(crate) fn note(text: &str) {
    write(&mut io::stderr().lock(), text);
}

fn write(stream: &mut dyn Write, text: &str) {
    let _ = stream.write_all(text.as_bytes()).and_then(|()| stream.flush());
}

/// A time in milliseconds since 1970 as people read it, in their own zone.
pub(crate) fn time(millis: i64) -> String {
    match jiff::Timestamp::from_millisecond(millis) {
        Ok(at) => {
            let local = at.to_zoned_datetime(jiff::tz::TimeZone::system());
            local.strftime("%Y-%m-%d %H:%M:%S").to_string()
        }
        Err(_) => millis.to_string(),
    }
}

/// A number of bytes as people read it.
pub(crate) fn bytes(count: u64) -> String {
    let units = ["KiB", "MiB", "GiB", "TiB"];
    let (mut size, mut shown) = (count as f64, None);
    for unit in units {
        if size < 1024.0 {
            break;
        }
        (size, shown) = (size / 1024.0, Some(unit));
    }
    shown.map_or_else(|| format!("{count} bytes"), |unit| format!("{size:.1} {unit}"))
}

/// A duration in milliseconds as people read it.
pub(crate) fn duration(millis: i64) -> String {
    match millis {
        ..1000 => format!("{millis} ms"),
        1000..60_000 => format!("{:.1} s", millis as f64 / 1000.0),
        60_000..3_600_000 => format!("{} min {} s", millis / 60_000, millis % 60_000 / 1000),
        _ => format!("{} h {} min", millis / 3_600_000, millis % 3_600_000 / 60_000),
    }
}

/// A table with a line of heads, its columns as wide as what stands in them.
pub(crate) fn table(heads: &[&str], rows: &[Vec<String>]) -> String {
    let width = |column: usize| {
        let cells = rows.iter().map(|row| row[column].chars().count());
        cells.chain([heads[column].len()]).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..heads.len()).map(width).collect();
    let mut text = String::new();
    let heads = heads.iter().map(|head| (*head).to_owned()).collect::<Vec<_>>();
    for row in std::iter::once(&heads).chain(rows) {
        let cells: Vec<_> = row.iter().zip(&widths).map(|(cell, w)| format!("{cell:w$}")).collect();
        text.push_str(cells.join("  ").trim_end());
        text.push('\n');
    }
    text
}
