//! A hub that behaves as the real one does, and every way in which a download can break.

use std::path::{Path, PathBuf};
use std::sync::Mutex;

use async_trait::async_trait;
use flow_core::engine::Clock;
use tempfile::TempDir;

use super::*;

#[path = "../../tests/support/hub.rs"]
mod server;

use server::{Asked, COMMIT, Fault, HubServer};

/// Where the file of most tests is.
const PLACE: &str = "/org/name/resolve/main/model.gguf";

const FILE: Wanted<'static> =
    Wanted { repository: "org/name", revision: "main", path: "model.gguf" };

/// A clock that lets no time go by, and knows what was waited.
#[derive(Default)]
struct Impatient(Mutex<Vec<Duration>>);

#[async_trait]
impl Clock for Impatient {
    fn now_ms(&self) -> i64 {
        0
    }

    fn elapsed(&self) -> Duration {
        Duration::ZERO
    }

    async fn sleep(&self, duration: Duration) {
        self.0.lock().unwrap().push(duration);
    }
}

/// A server with a file, a client, and a place for a part.
struct World {
    server: HubServer,
    hub: Hub,
    bytes: Vec<u8>,
    folder: TempDir,
    clock: Impatient,
    told: Vec<Told>,
}

impl World {
    fn new(length: usize) -> Self {
        let server = HubServer::new();
        let bytes: Vec<u8> = (0..length as u32).map(|n| (n.wrapping_mul(97) >> 5) as u8).collect();
        server.put(PLACE, bytes.clone());
        let hub = Hub::new(Some(&server.address), Some("token-1234".into())).unwrap();
        let folder = tempfile::tempdir().unwrap();
        Self { server, hub, bytes, folder, clock: Impatient::default(), told: Vec::new() }
    }

    fn part(&self) -> PathBuf {
        self.folder.path().join("model.gguf")
    }

    async fn get(&mut self) -> Result<Fetched, Failure> {
        self.get_as(Expected::default()).await
    }

    async fn get_as(&mut self, expected: Expected) -> Result<Fetched, Failure> {
        let told = &mut self.told;
        let part = self.folder.path().join("model.gguf");
        let mut tell = |what| told.push(what);
        let cancel = CancellationToken::new();
        self.hub.download(FILE, expected, &part, &self.clock, &cancel, &mut tell).await
    }

    async fn fails(&mut self) -> Failure {
        self.get().await.unwrap_err()
    }

    /// Makes sure that the file is whole and nothing else is left.
    async fn succeeds(&mut self) {
        let fetched = self.get().await.unwrap();
        assert_eq!(fetched.sha256, ContentHash::of_bytes(&self.bytes));
        assert_eq!(fetched.size, self.bytes.len() as u64);
        assert_eq!(std::fs::read(self.part()).unwrap(), self.bytes);
        assert_eq!(self.left(), ["model.gguf"]);
    }

    fn left(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.folder.path()).unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    fn waits(&self) -> Vec<u64> {
        self.clock.0.lock().unwrap().iter().map(Duration::as_secs).collect()
    }

    fn anew(&self) -> Vec<&'static str> {
        let why = |told: &Told| match told {
            Told::Anew { why } => Some(*why),
            Told::Began { .. } | Told::Came { .. } | Told::Broke { .. } => None,
        };
        self.told.iter().filter_map(why).collect()
    }
}

/// Bytes of a file that comes in several pieces.
const LARGE: usize = 5 << 20;

#[tokio::test]
async fn a_hub_says_what_it_has_and_the_token_stays_with_it() {
    let mut world = World::new(1000);
    let offer = world.hub.look(FILE, &CancellationToken::new()).await.unwrap();
    assert_eq!(offer.size, Some(1000));
    assert_eq!(offer.sha256, Some(ContentHash::of_bytes(&world.bytes)));
    assert_eq!(offer.commit.as_deref(), Some(COMMIT));
    let asked = |who, method: &str, path: &str, token: bool| Asked {
        who,
        method: method.into(),
        path: path.into(),
        range: None,
        token: token.then(|| "Bearer token-1234".into()),
    };
    assert_eq!(world.server.asked(), [asked("hub", "HEAD", PLACE, true)]);
    world.succeeds().await;
    assert_eq!(
        world.server.asked(),
        [
            asked("hub", "HEAD", PLACE, true),
            asked("host", "GET", &format!("{PLACE}?signature=secret"), false),
        ]
    );
    assert_eq!(world.told, [Told::Began { at: 0, size: Some(1000) }, Told::Came { at: 1000 }]);
}

#[tokio::test]
async fn a_repository_that_moved_is_followed_and_odd_names_are_asked_for_as_they_are() {
    let world = World::new(0);
    world.server.put("/new/name/resolve/refs%2Fpr%2F1/a%20folder/m%C3%A9.gguf", vec![7; 9]);
    let wanted =
        Wanted { repository: "old/name", revision: "refs/pr/1", path: "a folder/mé.gguf" };
    let offer = world.hub.look(wanted, &CancellationToken::new()).await.unwrap();
    assert_eq!(offer.size, Some(9));
    let tokens: Vec<_> = world.server.asked().into_iter().map(|asked| asked.token).collect();
    assert_eq!(
        tokens,
        [Some("Bearer token-1234".to_owned()), Some("Bearer token-1234".to_owned())]
    );
}

#[tokio::test]
async fn a_connection_that_breaks_goes_on_where_it_was() {
    let mut world = World::new(LARGE);
    world.server.faults([Fault::Cut(3 << 20), Fault::Cut(100)]);
    world.succeeds().await;
    let ranges = world.server.ranges();
    assert_eq!(ranges.len(), 3, "{ranges:?}");
    assert_eq!(ranges[..2], [None, Some(format!("bytes={}-", 3 << 20))]);
    assert_eq!(ranges[2], Some(format!("bytes={}-", (3 << 20) + 100)));
    assert_eq!(world.waits(), [0, 0], "bytes came each time");
    assert_eq!(world.anew(), [] as [&str; 0]);
}

#[tokio::test]
async fn what_came_before_a_death_is_not_asked_for_again() {
    let mut world = World::new(LARGE);
    world.server.faults([Fault::Cut(2 << 20), Fault::Hold(1 << 20)]);
    let part = world.part();
    // The future is dropped in the middle, which is what a death is for its part.
    let came = async {
        let _ = world.get().await;
    };
    tokio::select! {
        () = came => panic!("it is held"),
        () = reached(part.clone(), 3 << 20) => {}
    }
    released(&part).await;
    let here = std::fs::metadata(&part).unwrap().len();
    world.told.clear();
    world.server.asked();
    world.succeeds().await;
    assert_eq!(world.server.ranges(), [Some(format!("bytes={here}-"))]);
    assert_eq!(world.told[0], Told::Began { at: here, size: Some(LARGE as u64) });
}

/// Waits until nobody adds to a part: the thread that writes may be a moment behind.
async fn released(part: &Path) {
    while part.with_file_name("model.gguf.lock").exists() {
        tokio::task::yield_now().await;
    }
}

async fn reached(part: PathBuf, length: u64) {
    while std::fs::metadata(&part).map_or(0, |about| about.len()) < length {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_whole_part_is_only_checked() {
    let mut world = World::new(LARGE);
    world.server.faults([Fault::Cut(LARGE)]);
    world.succeeds().await;
    // As after a death between the last byte and the end of the pull.
    let state = serde_json::json!({
        "etag": format!("\"{}\"", ContentHash::of_bytes(&world.bytes).hex()),
        "validator": null,
        "size": LARGE,
    });
    std::fs::write(world.folder.path().join("model.gguf.json"), state.to_string()).unwrap();
    world.server.asked();
    world.succeeds().await;
    assert_eq!(world.server.ranges(), [] as [Option<String>; 0]);
}

#[tokio::test]
async fn a_file_that_changed_in_between_begins_anew() {
    let mut world = World::new(LARGE);
    world.server.faults([Fault::Cut(2 << 20), Fault::Status(404)]);
    let failure = world.fails().await;
    assert_eq!(failure.message, "the hub has no `model.gguf` of `org/name`");
    let other: Vec<u8> = world.bytes.iter().rev().copied().collect();
    world.server.put(PLACE, other.clone());
    world.bytes = other;
    world.succeeds().await;
    assert_eq!(world.anew(), ["it is another file now"]);
    assert_eq!(world.server.ranges().last(), Some(&None));
}

/// The hub says the same, and its host has other bytes by then.
#[tokio::test]
async fn a_host_that_has_another_file_is_taken_from_its_start() {
    let mut world = World::new(LARGE);
    world.server.faults([Fault::Cut(2 << 20), Fault::Status(404)]);
    world.fails().await;
    let hash = ContentHash::of_bytes(&world.bytes).hex();
    let other: Vec<u8> = world.bytes.iter().rev().copied().collect();
    world.server.put_as(PLACE, other.clone(), Some(hash.clone()));
    let failure = world.fails().await;
    assert_eq!(
        failure.message,
        format!(
            "`model.gguf` came with the hash {}, and has to have sha256:{hash}",
            ContentHash::of_bytes(&other)
        )
    );
    assert_eq!(failure.hint.as_deref(), Some("it was removed: the same command begins anew"));
    assert_eq!(world.anew(), ["its host gives no part of it, or has another"]);
    assert_eq!(world.left(), [] as [String; 0]);
}

#[tokio::test]
async fn a_host_that_gives_no_parts_or_wrong_ones_is_asked_for_the_whole() {
    for (fault, why) in [
        (Fault::Whole, "its host gives no part of it, or has another"),
        (Fault::Shifted, "its host gave another part than was asked for"),
    ] {
        let mut world = World::new(LARGE);
        world.server.faults([Fault::Cut(2 << 20), fault]);
        world.succeeds().await;
        assert_eq!(world.anew(), [why]);
    }
}

#[tokio::test]
async fn an_answer_that_is_too_short_goes_on_and_one_that_is_too_long_is_refused() {
    let mut world = World::new(LARGE);
    world.server.faults([Fault::Short(1 << 20)]);
    world.succeeds().await;
    assert_eq!(world.server.ranges(), [None, Some(format!("bytes={}-", 1 << 20))]);
    let mut world = World::new(1000);
    world.server.faults([Fault::Long(1)]);
    let failure = world.fails().await;
    assert_eq!(failure.message, "the host of `model.gguf` gave more than the 1000 bytes it has");
    assert_eq!(world.left(), [] as [String; 0]);
}

#[tokio::test]
async fn a_host_that_stays_away_is_given_up_after_a_while() {
    let mut world = World::new(1000);
    world.server.faults(vec![Fault::Status(503); 5]);
    let failure = world.fails().await;
    assert_eq!(failure.message, "the hub answered `model.gguf` of `org/name` with status 503");
    assert_eq!(world.waits(), [1, 2, 4, 8]);
    world.succeeds().await;
}

#[tokio::test]
async fn nobody_is_there() {
    let hub = Hub::new(Some("http://127.0.0.1:1"), None).unwrap();
    let failure = hub.look(FILE, &CancellationToken::new()).await.unwrap_err();
    assert_eq!(
        failure.message,
        "provider `hub`: cannot reach `http://127.0.0.1:1`: Connection refused (os error 111)"
    );
    assert_eq!(
        failure.hint.as_deref(),
        Some("see that there is a network, and what `FLOW_HUB` names")
    );
}

#[tokio::test]
async fn what_a_hub_refuses_is_said_in_words() {
    let world = World::new(10);
    let base = &world.server.address;
    let anonymous = Hub::new(Some(base), None).unwrap();
    for (status, word, token, message, hint) in [
        (
            404,
            "EntryNotFound",
            true,
            "there is no file `model.gguf` in `org/name`",
            Some(format!("see its files at {base}/org/name/tree/main")),
        ),
        (
            404,
            "RevisionNotFound",
            true,
            "`org/name` has no revision `main`",
            Some(format!("see its revisions at {base}/org/name")),
        ),
        (
            403,
            "GatedRepo",
            true,
            "`org/name` is given only to who accepted its terms",
            Some(format!("accept them at {base}/org/name, and set `HF_TOKEN` to a token of yours")),
        ),
        (
            401,
            "RepoNotFound",
            false,
            "the hub shows no repository `org/name`",
            Some("see how it is spelt; if it is private, set `HF_TOKEN`".to_owned()),
        ),
        (
            401,
            "",
            false,
            "the hub shows no repository `org/name`",
            Some("see how it is spelt; if it is private, set `HF_TOKEN`".to_owned()),
        ),
        (
            404,
            "RepoNotFound",
            true,
            "the hub shows no repository `org/name` to the owner of `HF_TOKEN`",
            None,
        ),
        (
            401,
            "",
            true,
            "the hub does not take the token in `HF_TOKEN`",
            Some(format!("see your tokens at {base}/settings/tokens")),
        ),
        (
            404,
            "",
            true,
            "the hub has no `model.gguf` of `org/name`",
            Some(format!("see {base}/org/name")),
        ),
        (418, "", true, "the hub answered `model.gguf` of `org/name` with status 418", None),
    ] {
        world.server.refuses(status, word);
        let hub = if token { &world.hub } else { &anonymous };
        let failure = hub.look(FILE, &CancellationToken::new()).await.unwrap_err();
        assert_eq!((failure.message.as_str(), failure.hint), (message, hint), "{status} {word}");
    }
}

#[tokio::test]
async fn a_file_that_is_not_the_one_that_is_known_is_not_taken() {
    let mut world = World::new(1000);
    let sha256 = Some(ContentHash::of_bytes(b"another"));
    let failure = world.get_as(Expected { size: None, sha256 }).await.unwrap_err();
    assert_eq!(
        failure.message,
        format!(
            "`model.gguf` of `org/name` is another file now: its hash is {}, and was {}",
            ContentHash::of_bytes(&world.bytes),
            ContentHash::of_bytes(b"another")
        )
    );
    let failure = world.get_as(Expected { size: Some(7), sha256: None }).await.unwrap_err();
    assert_eq!(
        failure.message,
        "`model.gguf` of `org/name` is another file now: its size is 1000, and was 7"
    );
    assert_eq!(failure.hint.as_deref(), Some("pull it as `hf:ORG/NAME:FILE` if you trust it"));
}

#[tokio::test]
async fn two_do_not_pull_one_file_at_once() {
    let mut world = World::new(LARGE);
    world.server.faults([Fault::Hold(2 << 20)]);
    let (hub, part, clock) = (world.hub.clone(), world.part(), Impatient::default());
    let first = async {
        let mut tell = |_| ();
        let cancel = CancellationToken::new();
        let _ = hub.download(FILE, Expected::default(), &part, &clock, &cancel, &mut tell).await;
    };
    let second = async {
        reached(world.part(), 1 << 20).await;
        world.fails().await
    };
    let failure = tokio::select! {
        () = first => panic!("it is held"),
        failure = second => failure,
    };
    assert_eq!(failure.message, "another process pulls `model.gguf` now");
    assert_eq!(
        failure.hint.as_deref(),
        Some("wait for it, or end it: the same command goes on then")
    );
}

#[tokio::test]
async fn a_stop_ends_it_and_keeps_what_came() {
    let mut world = World::new(LARGE);
    world.server.faults([Fault::Hold(2 << 20)]);
    let cancel = CancellationToken::new();
    let part = world.part();
    let stop = async {
        reached(part.clone(), 1 << 20).await;
        cancel.cancel();
    };
    let mut tell = |_| ();
    let get =
        world.hub.download(FILE, Expected::default(), &part, &world.clock, &cancel, &mut tell);
    let (failure, ()) = tokio::join!(get, stop);
    assert_eq!(failure.unwrap_err().message, "the pull was stopped");
    let here = std::fs::metadata(&part).unwrap().len();
    world.server.asked();
    world.succeeds().await;
    assert_eq!(world.server.ranges(), [Some(format!("bytes={here}-"))]);
}

#[test]
fn an_address_that_is_none_is_said() {
    for (address, why) in [
        ("hub.example.org", "relative URL without a base"),
        ("ftp://hub.example.org", "only http and https are asked"),
    ] {
        let failure = Hub::new(Some(address), None).unwrap_err();
        assert_eq!(failure.message, format!("`{address}` is no address of a hub: {why}"));
    }
    let failure = Hub::new(None, Some("a\nb".into())).unwrap_err();
    assert_eq!(failure.message, "`HF_TOKEN` holds letters that no token has");
    assert!(!format!("{:?}", Hub::new(None, Some("token-1234".into()))).contains("1234"));
}
