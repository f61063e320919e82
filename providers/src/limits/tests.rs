//! The limiter against a service that counts what reaches it, in a time that is made up.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::limiter::{Limiter, Next};
use super::told::{Left, Measure};
use super::*;

/// A call as it is going to be.
#[derive(Clone, Debug)]
struct Plan {
    model: &'static str,
    asked: Duration,
    /// From when it is let go until it is sent.
    prepared: Duration,
    /// From when it is sent until its answer begins.
    latency: Duration,
    /// The part of that, or of 50 ms, that it is on its way to the service.
    way: f64,
    /// From when its answer begins until it ends.
    written: Duration,
    estimated: u64,
    taken: u64,
    /// Whether it is given up instead of being sent.
    given_up: bool,
}

fn plan() -> impl Strategy<Value = Plan> {
    let ms = |most: u64| (0..=most).prop_map(Duration::from_millis);
    let tokens = (1u64..2_000).prop_flat_map(|most| (Just(most), 0..=most));
    let way = (prop_oneof![Just("a"), Just("b")], 0.0..1.0f64, prop::bool::weighted(0.05));
    (way, ms(3_000), ms(300), prop_oneof![ms(5), ms(8_000)], ms(2_000), tokens).prop_map(
        |((model, way, given_up), asked, prepared, latency, written, (estimated, taken))| Plan {
            model,
            asked,
            prepared,
            latency,
            way,
            written,
            estimated,
            taken,
            given_up,
        },
    )
}

fn settings() -> impl Strategy<Value = LimitSettings> {
    let rate = |range: std::ops::Range<f64>| prop::option::of(range);
    (prop::option::of(1u32..6), rate(0.5..40.0), rate(30.0..900.0), rate(2_000.0..50_000.0))
        .prop_map(|(concurrency, requests_per_second, requests_per_minute, tokens_per_minute)| {
            LimitSettings {
                concurrency,
                requests_per_second,
                requests_per_minute,
                tokens_per_minute,
            }
        })
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Ended(usize),
    Answered(usize),
    Sent(usize),
    Asked(usize),
}

/// What a service saw of a call.
#[derive(Clone, Copy, Debug)]
struct Seen {
    model: &'static str,
    at: Duration,
    tokens: u64,
}

/// What came of plans.
#[derive(Default)]
struct Story {
    seen: Vec<Seen>,
    /// The plans in the order in which they were let go, and who of their model waited then.
    let_go: Vec<(usize, Vec<usize>)>,
    /// The most that were on their way at once, by model; all together under no name.
    most: BTreeMap<&'static str, u32>,
}

/// Lets a limiter and a service live through these plans, each ready in its order.
fn live(limiter: &mut Limiter, own: LimitSettings, plans: &[Plan]) -> Story {
    let mut story = Story::default();
    let mut events: std::collections::BTreeSet<_> =
        plans.iter().enumerate().map(|(at, plan)| (plan.asked, Event::Asked(at))).collect();
    let mut ids: BTreeMap<u64, usize> = BTreeMap::new();
    let mut waiting: Vec<usize> = Vec::new();
    let mut flying: BTreeMap<&str, u32> = BTreeMap::new();
    let mut now = Duration::ZERO;
    loop {
        let next = loop {
            match limiter.next(now) {
                Next::Go(id) => {
                    let at: usize = ids[&id];
                    let plan = &plans[at];
                    waiting.retain(|other| *other != at);
                    let beside = waiting.iter().copied();
                    let beside = beside.filter(|at| plans[*at].model == plan.model).collect();
                    story.let_go.push((at, beside));
                    for key in [plan.model, ""] {
                        let count = flying.entry(key).or_default();
                        *count += 1;
                        let most = story.most.entry(key).or_default();
                        *most = (*most).max(*count);
                    }
                    let then = if plan.given_up { Event::Ended(at) } else { Event::Sent(at) };
                    events.insert((now + plan.prepared, then));
                }
                Next::Nobody(next) => break next,
            }
        };
        let event = events.first().copied();
        match (event, next) {
            (Some((time, _)), Some(next)) if next < time => {
                assert!(next > now, "nobody may go, and yet there is nothing to wait for");
                now = next;
                continue;
            }
            (None, Some(next)) => {
                now = next;
                continue;
            }
            (None, None) => break,
            (Some(_), _) => {}
        }
        let (time, event) = event.expect("there is one");
        events.remove(&(time, event));
        now = time;
        let id = |at: usize| ids.iter().find(|(_, other)| **other == at).map(|(id, _)| *id);
        match event {
            Event::Asked(at) => {
                let plan = &plans[at];
                let amount = Amount { input: plan.estimated, output: 0 };
                ids.insert(limiter.ask(plan.model, own, at as u64, amount), at);
                waiting.push(at);
            }
            Event::Sent(at) => {
                let plan = &plans[at];
                limiter.sent(id(at).expect("it asked"), now);
                let way = plan.latency.min(Duration::from_millis(50)).mul_f64(plan.way);
                story.seen.push(Seen { model: plan.model, at: now + way, tokens: plan.taken });
                events.insert((now + plan.latency, Event::Answered(at)));
            }
            Event::Answered(at) => {
                limiter.answered(id(at).expect("it asked"), &[], now);
                events.insert((now + plans[at].written, Event::Ended(at)));
            }
            Event::Ended(at) => {
                let (plan, id) = (&plans[at], id(at).expect("it asked"));
                limiter.used(id, Amount { input: plan.taken, output: 0 });
                limiter.end(id, now);
                for key in [plan.model, ""] {
                    *flying.entry(key).or_default() -= 1;
                }
            }
        }
    }
    assert_eq!(waiting, [] as [usize; 0], "some wait for ever");
    story.seen.sort_by_key(|seen| seen.at);
    story
}

/// That no span of time holds more than was allowed.
fn kept(seen: &[Seen], settings: LimitSettings) -> Result<(), TestCaseError> {
    let second = Duration::from_secs(1);
    let rates =
        [(settings.requests_per_second, second), (settings.requests_per_minute, 60 * second)];
    for (rate, span) in rates {
        let Some(rate) = rate else { continue };
        // As many as one second of the rate allows, in the time that the rate gives them.
        let few = (rate / span.as_secs_f64()).floor().max(1.0);
        let mut windows = vec![(few as usize, span.mul_f64(few / rate))];
        windows.extend((rate.floor() > few).then_some((rate.floor() as usize, span)));
        for (most, span) in windows {
            for calls in seen.windows(most + 1) {
                let between = calls[most].at.abs_diff(calls[0].at) + Duration::from_nanos(100);
                prop_assert!(between >= span, "{most} in {span:?}, and one more in {between:?}");
            }
        }
    }
    if let Some(most) = settings.tokens_per_minute {
        for (at, first) in seen.iter().enumerate() {
            let within = seen[at..].iter().take_while(|seen| seen.at < first.at + 60 * second);
            let sum: u64 = within.map(|seen| seen.tokens).sum();
            prop_assert!(sum as f64 <= most, "{sum} tokens from {:?}", first.at);
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn no_span_of_time_holds_more_than_is_allowed_and_everybody_goes_in_order(
        all in settings(), own in settings(), plans in prop::collection::vec(plan(), 1..60),
    ) {
        let mut limiter = Limiter::new(all);
        let story = live(&mut limiter, own, &plans);
        kept(&story.seen, all)?;
        for model in ["a", "b"] {
            let seen = story.seen.iter().filter(|seen| seen.model == model).copied();
            kept(&seen.collect::<Vec<_>>(), own)?;
            let most = story.most.get(model).copied().unwrap_or(0);
            prop_assert!(own.concurrency.is_none_or(|allowed| most <= allowed));
        }
        let most = story.most.get("").copied().unwrap_or(0);
        prop_assert!(all.concurrency.is_none_or(|allowed| most <= allowed));
        prop_assert_eq!(story.let_go.len(), plans.len());
        for (at, waiting) in &story.let_go {
            prop_assert!(waiting.iter().all(|other| at < other), "{} before {:?}", at, waiting);
        }
    }
}

const MS: Duration = Duration::from_millis(1);

fn one(limiter: &mut Limiter, model: &str, tokens: u64) -> u64 {
    let amount = Amount { input: tokens, output: 0 };
    limiter.ask(model, LimitSettings::default(), 0, amount)
}

fn answered(limiter: &mut Limiter, id: u64, said: &[(Measure, Left)], now: Duration) {
    limiter.sent(id, now);
    limiter.answered(id, said, now);
    limiter.end(id, now);
}

fn left(remaining: f64, reset: Option<u64>) -> [(Measure, Left); 1] {
    let reset = reset.map(Duration::from_millis);
    [(Measure::Requests, Left { limit: 5.0, remaining, reset })]
}

#[test]
fn a_model_that_waits_does_not_keep_the_others_back_and_is_not_starved() {
    let mut limiter = Limiter::new(LimitSettings {
        tokens_per_minute: Some(1_000.0),
        ..LimitSettings::default()
    });
    let first = one(&mut limiter, "a", 600);
    let (large, small) = (one(&mut limiter, "a", 900), one(&mut limiter, "b", 300));
    assert_eq!(limiter.next(MS), Next::Go(first));
    assert_eq!(limiter.next(MS), Next::Go(small), "its model was not served yet");
    let again = one(&mut limiter, "b", 50);
    assert_eq!(limiter.next(MS), Next::Nobody(None), "it is the turn of the large one");
    limiter.begun(first, MS);
    limiter.begun(small, MS);
    // Two seconds to be sent, one for the way, and a minute.
    assert_eq!(limiter.next(MS), Next::Nobody(Some(Duration::from_secs(63) + MS)));
    answered(&mut limiter, first, &[], MS);
    answered(&mut limiter, small, &[], 2 * MS);
    let free = Duration::from_mins(1) + 2 * MS;
    assert_eq!(limiter.next(3 * MS), Next::Nobody(Some(free)));
    assert_eq!(limiter.next(free), Next::Go(large));
    assert_eq!(limiter.next(free), Next::Go(again));
}

#[test]
fn tokens_that_were_not_taken_are_free_for_others() {
    let mut limiter = Limiter::new(LimitSettings {
        tokens_per_minute: Some(1_000.0),
        ..LimitSettings::default()
    });
    let (first, second) = (one(&mut limiter, "a", 5_000), one(&mut limiter, "a", 500));
    assert_eq!(limiter.next(MS), Next::Go(first), "more than ever fits goes alone");
    assert_eq!(limiter.next(MS), Next::Nobody(None));
    limiter.sent(first, MS);
    limiter.used(first, Amount { input: 400, output: 100 });
    assert_eq!(limiter.next(MS), Next::Go(second));
}

#[test]
fn what_the_service_says_is_left_is_kept_to() {
    let mut limiter = Limiter::default();
    let ids: Vec<_> = (0..10).map(|_| one(&mut limiter, "a", 1)).collect();
    for id in &ids[..2] {
        assert_eq!(limiter.next(MS), Next::Go(*id), "nothing is known yet");
    }
    limiter.sent(ids[0], MS);
    limiter.answered(ids[0], &left(2.0, Some(900)), MS);
    assert_eq!(limiter.next(MS), Next::Go(ids[2]), "two are left, one is on its way");
    let reset = 901 * MS;
    assert_eq!(limiter.next(MS), Next::Nobody(Some(reset)));
    answered(&mut limiter, ids[1], &[], 2 * MS);
    answered(&mut limiter, ids[2], &left(0.0, Some(899)), 2 * MS);
    assert_eq!(limiter.next(2 * MS), Next::Nobody(Some(reset)));
    // The service counts anew then.
    for id in &ids[3..8] {
        assert_eq!(limiter.next(reset), Next::Go(*id));
    }
    assert_eq!(limiter.next(reset), Next::Nobody(None), "an answer will tell");
    for id in &ids[3..8] {
        answered(&mut limiter, *id, &left(0.0, None), reset);
    }
    assert_eq!(limiter.next(reset), Next::Go(ids[8]), "nobody else would ever tell");
    assert_eq!(limiter.next(reset), Next::Nobody(None));
}

#[test]
fn an_answer_that_comes_late_tells_nothing_new() {
    let mut limiter = Limiter::default();
    let ids: Vec<_> = (0..4).map(|_| one(&mut limiter, "a", 1)).collect();
    for id in &ids[..2] {
        assert_eq!(limiter.next(MS), Next::Go(*id));
    }
    for id in &ids[2..] {
        assert_eq!(limiter.next(MS), Next::Go(*id));
    }
    answered(&mut limiter, ids[3], &left(0.0, Some(500)), MS);
    answered(&mut limiter, ids[0], &left(3.0, Some(500)), 2 * MS);
    one(&mut limiter, "a", 1);
    assert_eq!(limiter.next(3 * MS), Next::Nobody(Some(501 * MS)));
}

#[test]
fn a_pause_that_was_asked_for_holds_for_the_model() {
    let mut limiter = Limiter::default();
    let (first, second) = (one(&mut limiter, "a", 1), one(&mut limiter, "a", 1));
    assert_eq!(limiter.next(MS), Next::Go(first));
    limiter.sent(first, MS);
    assert_eq!(limiter.next(MS), Next::Go(second));
    limiter.refused(first, false, Some(500 * MS), MS);
    let (third, other) = (one(&mut limiter, "a", 1), one(&mut limiter, "b", 1));
    assert_eq!(limiter.next(2 * MS), Next::Go(other));
    assert_eq!(limiter.next(2 * MS), Next::Nobody(Some(501 * MS)));
    assert_eq!(limiter.next(501 * MS), Next::Go(third));
}

/// How many calls go within a second from `from` on, each over at once.
fn in_a_second(limiter: &mut Limiter, from: Duration) -> usize {
    let mut count = 0;
    for ms in 0..1_000 {
        let now = from + ms * MS;
        let id = one(limiter, "a", 1);
        match limiter.next(now) {
            Next::Go(gone) => {
                answered(limiter, gone, &[], now);
                count += 1;
            }
            Next::Nobody(_) => limiter.end(id, now),
        }
    }
    count
}

#[test]
fn a_refusal_nobody_foresaw_halves_the_rate_and_it_recovers() {
    let mut limiter = Limiter::default();
    let second = Duration::from_secs(1);
    assert_eq!(in_a_second(&mut limiter, second), 1_000);
    let (first, late) = (one(&mut limiter, "a", 1), one(&mut limiter, "a", 1));
    assert_eq!(limiter.next(2 * second), Next::Go(first));
    assert_eq!(limiter.next(2 * second), Next::Go(late));
    limiter.refused(first, true, None, 2 * second);
    // It was on its way already: its refusal says the same.
    limiter.refused(late, true, None, 2 * second);
    let halved = in_a_second(&mut limiter, 2 * second);
    assert!((490..=540).contains(&halved), "{halved}");
    let later = in_a_second(&mut limiter, 12 * second);
    assert!((730..=800).contains(&later), "{later}");
    assert_eq!(in_a_second(&mut limiter, 63 * second), 1_000, "forgotten");
}

#[test]
fn one_who_goes_away_leaves_no_trace() {
    let mut limiter = Limiter::new(LimitSettings {
        concurrency: Some(1),
        requests_per_minute: Some(1.0),
        ..LimitSettings::default()
    });
    let (first, second) = (one(&mut limiter, "a", 1), one(&mut limiter, "a", 1));
    assert_eq!(limiter.next(MS), Next::Go(first));
    limiter.end(second, MS);
    let third = one(&mut limiter, "a", 1);
    assert_eq!(limiter.next(MS), Next::Nobody(None));
    limiter.end(first, 2 * MS);
    // The distance is kept; what was never sent counts no more.
    let minute = Duration::from_mins(1);
    assert_eq!(limiter.next(2 * MS), Next::Nobody(Some(minute)));
    assert_eq!(limiter.next(minute), Next::Go(third));
}

#[test]
fn settings_that_are_wrong_are_named() {
    for (key, value, message) in [
        ("concurrency", "0", "provider `x`: `concurrency` is a whole number from 1, not `0`"),
        ("concurrency", "1.5", "provider `x`: `concurrency` is a whole number from 1, not `1.5`"),
        (
            "requests_per_minute",
            "-3",
            "provider `x`: `requests_per_minute` is a number above 0, not `-3`",
        ),
        (
            "requests_per_second",
            "\"5\"",
            "provider `x`: `requests_per_second` is a number above 0, not `\"5\"`",
        ),
        (
            "tokens_per_minute",
            "0",
            "provider `x`: `tokens_per_minute` is a number above 0, not `0`",
        ),
    ] {
        let value = serde_json::from_str(value).unwrap();
        let settings = serde_json::Map::from_iter([(key.to_owned(), value)]);
        let failure = LimitSettings::read("provider `x`", &settings).unwrap_err();
        assert_eq!(failure.message, message);
    }
}
