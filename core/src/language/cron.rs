//! Whether a text is a cron expression.
//!
//! Only the form is checked here: five fields (minute, hour, day, month, weekday) or six
//! with seconds first. When it ticks is for the scheduler of triggers to say.

const FIELDS: [(&str, u32, u32, &[&str]); 6] = [
    ("second", 0, 59, &[]),
    ("minute", 0, 59, &[]),
    ("hour", 0, 23, &[]),
    ("day", 1, 31, &[]),
    (
        "month",
        1,
        12,
        &["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"],
    ),
    ("weekday", 0, 7, &["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"]),
];

/// Says what is wrong with a cron expression.
pub(super) fn check(text: &str) -> Result<(), String> {
    let parts: Vec<&str> = text.split_whitespace().collect();
    let fields = match parts.len() {
        5 => &FIELDS[1..],
        6 => &FIELDS[..],
        n => return Err(format!("it has {n} fields, and 5 or 6 are needed")),
    };
    for (part, (name, low, high, words)) in parts.iter().zip(fields) {
        for choice in part.split(',') {
            if !is_choice(choice, *low, *high, words) {
                return Err(format!("`{part}` is no {name} ({low} to {high})"));
            }
        }
    }
    Ok(())
}

fn is_choice(choice: &str, low: u32, high: u32, words: &[&str]) -> bool {
    let (range, step) = choice.split_once('/').unwrap_or((choice, "1"));
    if !step.parse::<u32>().is_ok_and(|step| step > 0 && step <= high) {
        return false;
    }
    if matches!(range, "*" | "?" | "L") {
        return true;
    }
    let value = |text: &str| {
        let word = words.iter().position(|word| word.eq_ignore_ascii_case(text));
        let offset = u32::from(low == 1);
        word.map(|at| at as u32 + offset).or_else(|| text.parse().ok())
    };
    let within = |text: &str| value(text).filter(|value| (low..=high).contains(value));
    match range.split_once('-') {
        Some((from, to)) => matches!((within(from), within(to)), (Some(a), Some(b)) if a <= b),
        None => within(range).is_some(),
    }
}

#[cfg(test)]
mod tests {
    use super::check;

    #[test]
    fn usual_expressions_are_taken_and_others_say_why() {
        for good in ["0 2 * * *", "*/15 8-18 * * MON-FRI", "0 0 1,15 JAN *", "30 0 2 * * *"] {
            assert_eq!(check(good), Ok(()), "{good}");
        }
        for (bad, why) in [
            ("0 2 * *", "it has 4 fields, and 5 or 6 are needed"),
            ("61 2 * * *", "`61` is no minute (0 to 59)"),
            ("0 2 * * FRI-MON", "`FRI-MON` is no weekday (0 to 7)"),
            ("0/0 2 * * *", "`0/0` is no minute (0 to 59)"),
        ] {
            assert_eq!(check(bad), Err(why.into()), "{bad}");
        }
    }
}
