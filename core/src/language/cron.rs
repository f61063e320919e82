//! Whether a text is a cron expression.
//!
//! Only the form is checked here: five fields (minute, hour, day, month, weekday) or six
//! with seconds first. When it ticks is for the server to say, by the crate `croner`; a test
//! there holds this against it, for what is taken here must tick there.

const FIELDS: [(&str, u32, u32, &[&str]); 6] = [
    ("second", 0, 59, &[]),
    ("minute", 0, 59, &[]),
    ("hour", 0, 23, &[]),
    (DAY, 1, 31, &[]),
    (
        "month",
        1,
        12,
        &["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"],
    ),
    (WEEKDAY, 0, 7, &["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"]),
];

const DAY: &str = "day";
const WEEKDAY: &str = "weekday";

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
            if !is_choice(choice, name, *low, *high, words) {
                return Err(format!("`{part}` is no {name} ({low} to {high})"));
            }
        }
    }
    Ok(())
}

fn is_choice(choice: &str, field: &str, low: u32, high: u32, words: &[&str]) -> bool {
    let number = |text: &str| {
        let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        digits.then(|| text.parse().ok()).flatten()
    };
    let value = |text: &str| {
        let word = words.iter().position(|word| word.eq_ignore_ascii_case(text));
        let offset = u32::from(low == 1);
        let value = word.map(|at| at as u32 + offset).or_else(|| number(text));
        value.filter(|value| (low..=high).contains(value))
    };
    // The last day of a month, and the second Friday of one.
    match (field, choice.split_once('#')) {
        (DAY, None) if choice == "L" => return true,
        (WEEKDAY, Some((day, place))) => {
            return value(day).is_some() && number(place).is_some_and(|n| (1..=5).contains(&n));
        }
        (_, _) => {}
    }
    let (range, step) = match choice.split_once('/') {
        Some((range, step)) => (range, Some(step)),
        None => (choice, None),
    };
    if !step.is_none_or(|step| number(step).is_some_and(|step| step > 0 && step <= high)) {
        return false;
    }
    match range.split_once('-') {
        _ if range == "*" || (range == "?" && matches!(field, DAY | WEEKDAY)) => true,
        Some((from, to)) => matches!((value(from), value(to)), (Some(a), Some(b)) if a <= b),
        // A step goes from somewhere to somewhere.
        None => step.is_none() && value(range).is_some(),
    }
}

#[cfg(test)]
mod tests {
    use super::check;

    #[test]
    fn usual_expressions_are_taken_and_others_say_why() {
        for good in [
            "0 2 * * *",
            "*/15 8-18 * * MON-FRI",
            "0 0 1,15 JAN *",
            "30 0 2 * * *",
            "0 9 L * ?",
            "0 9 * * FRI#2",
        ] {
            assert_eq!(check(good), Ok(()), "{good}");
        }
        for (bad, why) in [
            ("0 2 * *", "it has 4 fields, and 5 or 6 are needed"),
            ("61 2 * * *", "`61` is no minute (0 to 59)"),
            ("0 2 * * FRI-MON", "`FRI-MON` is no weekday (0 to 7)"),
            ("0/0 2 * * *", "`0/0` is no minute (0 to 59)"),
            ("5/10 2 * * *", "`5/10` is no minute (0 to 59)"),
            ("L 2 * * *", "`L` is no minute (0 to 59)"),
            ("0 2 * * FRI#6", "`FRI#6` is no weekday (0 to 7)"),
            ("0 +2 * * *", "`+2` is no hour (0 to 23)"),
        ] {
            assert_eq!(check(bad), Err(why.into()), "{bad}");
        }
    }
}
