//! Painters who never give up and viewers who never leave, whatever is killed; and what is judged of
//! them in the end.

use std::net::SocketAddr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use loadgen::history::Others;
use pixel_canvas::{ChunkId, Color, Sequence, Turn};
use pixel_protocol::binary::{Reason, ToClient, ToServer};
use serde_json::{Value, json};

use super::binary::{Answered, Binary};
use super::history::{self, Acknowledged, Seen};
use super::json::Json;
use super::socket::Opening;
use super::split::Split;
use super::{AtTheEnd, Request, eventually, get};

/// The canvas of the crowd: one chunk.
const CANVAS: &str = "wide";
const SIDE: u32 = 256;
const CHUNK: ChunkId = ChunkId { cx: 0, cy: 0 };
const CHUNK_PATH: &str = "/api/canvases/wide/chunks/0/0";
/// What is painted last of all, and where: who holds it holds everything.
const LAST: (u32, u32, &str) = (SIDE - 1, SIDE - 1, "#FEDCBA");
/// Where the others paint, one after the other.
const PLACES: u32 = SIDE * SIDE - 1;
const BACKGROUND: &str = "#FFFFFF";
/// A guest may have 10,000 keys in ten minutes: a painter becomes another guest before.
const PLACEMENTS_PER_GUEST: usize = 2_500;
/// In the end everybody takes back so many more of what they painted, if they have so many.
const TAKEN_BACK_AT_LAST: usize = 3;
/// Before somebody is asked again who is away.
const RETRY: Duration = Duration::from_millis(5);

/// Everybody on one canvas of a [`Split`].
pub struct Crowd {
    apis: Vec<SocketAddr>,
    gateways: Vec<SocketAddr>,
    frontend: SocketAddr,
    next: AtomicU32,
    /// Raised when the painters are to end what they are at.
    stop: AtomicBool,
    /// Raised when nobody waits for viewers any more: they have all of it, or a painter panicked.
    over: AtomicBool,
    acknowledged: Mutex<Vec<Acknowledged>>,
}

/// What a viewer held in the end, and what it went through.
#[derive(Debug)]
pub struct Viewed {
    dialect: &'static str,
    pixels: Vec<u8>,
    /// How often it came back, and how often it had to load afresh.
    pub returns: usize,
    pub resyncs: usize,
    /// The longest time between two updates that it saw.
    pub longest_gap: Duration,
}

/// The canvas of the crowd, as the host describes it.
fn description() -> Value {
    json!({"id": CANVAS, "name": "Wide", "width": SIDE, "height": SIDE})
}

impl Viewed {
    fn new(dialect: &'static str) -> Self {
        Self { dialect, pixels: Vec::new(), returns: 0, resyncs: 0, longest_gap: Duration::ZERO }
    }

    fn saw_an_update(&mut self, last: &mut Option<Instant>) {
        let now = Instant::now();
        let gap = last.replace(now).map_or(Duration::ZERO, |last| now - last);
        self.longest_gap = self.longest_gap.max(gap);
    }
}

impl Crowd {
    /// Makes the canvas.
    pub fn on<R>(split: &Split<R>) -> Self {
        split.make_canvas(&description());
        Self::at(
            split.apis.iter().map(|api| api.api()).collect(),
            split.gateways.iter().map(|gateway| gateway.gateway()).collect(),
            split.frontend.frontend(),
        )
    }

    /// Makes the canvas as the host, where everything is behind one door.
    pub fn behind(door: SocketAddr, host_token: &str) -> Self {
        let request = Request::new("POST", "/api/canvases").json(&description()).bearer(host_token);
        let answer = request.send(door);
        assert_eq!(answer.status, 201, "{answer:?}");
        Self::at(vec![door], vec![door], door)
    }

    fn at(apis: Vec<SocketAddr>, gateways: Vec<SocketAddr>, frontend: SocketAddr) -> Self {
        Self {
            apis,
            gateways,
            frontend,
            next: AtomicU32::new(0),
            stop: AtomicBool::new(false),
            over: AtomicBool::new(false),
            acknowledged: Mutex::default(),
        }
    }

    /// Six paint, and take some of it back, and four view while `act` goes on; then everything is judged. Answers with how many
    /// placements were acknowledged, and what the viewers went through.
    pub fn paint_while(self, act: impl FnOnce(&Self)) -> (usize, Vec<Viewed>) {
        let views = thread::scope(|scope| {
            let crowd = &self;
            let _ends = [AtTheEnd(&crowd.stop), AtTheEnd(&crowd.over)];
            let painters: Vec<_> = (0..2)
                .map(|turn| scope.spawn(move || crowd.paint_by_request(turn)))
                .chain((0..4).map(|turn| scope.spawn(move || crowd.paint_by_socket(turn))))
                .collect();
            let viewers: Vec<_> = (0..2)
                .map(|turn| scope.spawn(move || crowd.view_json(turn)))
                .chain((0..2).map(|turn| scope.spawn(move || crowd.view_binary(turn))))
                .collect();
            act(crowd);
            crowd.stop.store(true, Ordering::SeqCst);
            painters.into_iter().for_each(|painter| painter.join().expect("a painter did not panic"));
            crowd.paint_last();
            let view = |viewer: thread::ScopedJoinHandle<'_, Viewed>| viewer.join();
            viewers.into_iter().map(view).collect::<Result<Vec<_>, _>>().expect("a viewer did not panic")
        });
        (self.judge(&views), views)
    }

    /// Whether a viewer that holds these pixels is done.
    fn is_seen(&self, pixels: &[u8]) -> bool {
        is_complete(pixels) || self.over.load(Ordering::SeqCst)
    }

    /// Placements acknowledged so far.
    fn count(&self) -> usize {
        self.acknowledged.lock().expect("no painter panics").len()
    }

    /// Waits until so many more are acknowledged.
    pub fn wait_for(&self, more: usize) {
        let goal = self.count() + more;
        eventually("the painters go on", || self.count() >= goal);
    }

    /// The longest time since then in which nothing was acknowledged.
    pub fn longest_pause(&self, since: Instant) -> Duration {
        let mut last = since;
        let mut longest = Duration::ZERO;
        let acknowledged = self.acknowledged.lock().expect("no painter panics");
        for answered in acknowledged.iter().map(|ack| ack.answered).filter(|answered| *answered > since) {
            longest = longest.max(answered.saturating_duration_since(last));
            last = answered;
        }
        longest
    }

    /// A number that nobody else has; `None` when the scenario is over.
    fn fresh(&self) -> Option<u32> {
        (!self.stop.load(Ordering::SeqCst)).then(|| self.next.fetch_add(1, Ordering::SeqCst))
    }

    fn keep(&self, seen: Seen, sent: Instant) {
        let acknowledged = Acknowledged { seen, sent, answered: Instant::now() };
        self.acknowledged.lock().expect("no painter panics").push(acknowledged);
    }

    /// A guest of its own, so that keys are its own too.
    fn guest(&self) -> String {
        let mut token = None;
        eventually("an api makes a guest", || {
            let made = Request::new("POST", "/api/guests").try_send(self.frontend);
            let made = made.ok().filter(|answer| answer.status < 300);
            token = made.and_then(|answer| answer.json()["token"].as_str().map(str::to_owned));
            token.is_some()
        });
        token.expect("it was made")
    }

    /// Paints by requests, at one api after the other.
    fn paint_by_request(&self, turn: usize) {
        self.paint_as(|token, key, ask| {
            let path = |what: &str| format!("/api/canvases/{CANVAS}/{what}");
            let request = match ask {
                Ask::Place { x, y, color } => Request::new("PUT", &path("pixels"))
                    .json(&json!({"pixels": [{"x": x, "y": y, "color": color}]})),
                Ask::Walk(Turn::Undo, count) => {
                    Request::new("POST", &path("undo")).json(&json!({"count": count}))
                }
                Ask::Walk(Turn::Redo, count) => {
                    Request::new("POST", &path("redo")).json(&json!({"count": count}))
                }
            };
            let request = request.bearer(token).header("idempotency-key", &key.to_string());
            self.ask_until_placed(&request, turn)
        });
    }

    /// The sequence of what was placed last.
    fn ask_until_placed(&self, request: &Request, mut turn: usize) -> u64 {
        loop {
            match request.clone().try_send(self.apis[turn % self.apis.len()]) {
                Ok(answer) if answer.status == 200 => {
                    return answer.json()["sequence"].as_u64().expect("a sequence");
                }
                // A proxy has words of its own for a service that is gone: 502, or 504.
                Ok(answer) => assert!(matches!(answer.status, 502..=504), "{answer:?}"),
                Err(_) => {}
            }
            turn += 1;
            thread::sleep(RETRY);
        }
    }

    /// Paints over sockets, at one gateway after the other.
    fn paint_by_socket(&self, mut turn: usize) {
        let mut open: Option<(String, Binary)> = None;
        self.paint_as(|token, key, ask| {
            loop {
                let Some((_, client)) = open.as_mut().filter(|(of, _)| of == token) else {
                    turn += 1;
                    let gateway = self.gateways[turn % self.gateways.len()];
                    let opening = Opening::at(&format!("/ws?canvas={CANVAS}")).bearer(token);
                    let client = Binary::open_through(gateway, self.frontend, &opening).ok();
                    open = client.map(|client| (token.to_owned(), client));
                    thread::sleep(RETRY);
                    continue;
                };
                match ask {
                    Ask::Place { x, y, color } => client.submit(key, &[(*x, *y, color)]),
                    Ask::Walk(turn, count) => {
                        client.say(&ToServer::Retrace { turn: *turn, key, count: *count })
                    }
                };
                match client.try_answer(key) {
                    Ok(Answered::Accepted { first, count }) if count == ask.count() => {
                        return first + u64::from(count) - 1;
                    }
                    Ok(Answered::Refused {
                        reason: Reason::Unavailable | Reason::Unknown | Reason::Busy,
                        ..
                    }) => thread::sleep(RETRY),
                    Ok(other) => panic!("{other:?}"),
                    Err(_) => open = None,
                }
            }
        });
    }

    /// Paints, and takes some of it back, as a guest: `ask` asks under a key until it is acknowledged,
    /// and says the last sequence that it took.
    fn paint_as(&self, mut ask: impl FnMut(&str, u64, &Ask) -> u64) {
        let (mut token, mut key) = (self.guest(), 0);
        // What this guest painted and did not take back, by number.
        let mut standing: Vec<u32> = Vec::new();
        let mut acknowledged = |token: &str, asked: Ask, seen: &dyn Fn(u64) -> Vec<Seen>| {
            key += 1;
            let sent = Instant::now();
            let last = ask(token, key, &asked);
            seen(last).into_iter().for_each(|seen| self.keep(seen, sent));
        };
        while let Some(number) = self.fresh() {
            if standing.len() == PLACEMENTS_PER_GUEST {
                (token, standing) = (self.guest(), Vec::new());
            }
            let painted = |sequence: u64| vec![seen(number, color_of(number), sequence)];
            let covered = |sequence: u64| vec![seen(number, color_below(number), sequence)];
            let (x, y) = place_of(number);
            acknowledged(&token, Ask::Place { x, y, color: color_of(number) }, &painted);
            let fate = Fate::of(number);
            if fate != Fate::Stays {
                acknowledged(&token, Ask::Walk(Turn::Undo, 1), &covered);
            }
            if fate == Fate::Returns {
                acknowledged(&token, Ask::Walk(Turn::Redo, 1), &painted);
            }
            if fate != Fate::Goes {
                standing.push(number);
            }
        }
        // Whatever was killed meanwhile, what is theirs still is.
        let at_last = standing.split_off(standing.len().saturating_sub(TAKEN_BACK_AT_LAST));
        if !at_last.is_empty() {
            acknowledged(&token, Ask::Walk(Turn::Undo, at_last.len() as u16), &|last| {
                // The newest was taken back first.
                let newest_first = at_last.iter().rev().zip(last + 1 - at_last.len() as u64..);
                newest_first.map(|(number, sequence)| seen(*number, color_below(*number), sequence)).collect()
            });
        }
    }

    /// Paints [`LAST`], so that every viewer learns that all is painted.
    fn paint_last(&self) {
        let (x, y, color) = LAST;
        let request = Request::new("PUT", &format!("/api/canvases/{CANVAS}/pixels"))
            .bearer(&self.guest())
            .header("idempotency-key", "the last")
            .json(&json!({"pixels": [{"x": x, "y": y, "color": color}]}));
        let sent = Instant::now();
        let sequence = self.ask_until_placed(&request, 0);
        self.keep(Seen { sequence, x: x as u16, y: y as u16, color: color.into() }, sent);
    }

    /// Views through one gateway after the other in the JSON dialect, resuming where it was: each
    /// update follows the one before, unless it was told to load afresh.
    fn view_json(&self, mut turn: usize) -> Viewed {
        let opening = Opening::at(&format!("/ws?canvas={CANVAS}"));
        let (mut epoch, mut at, mut pixels) = (String::new(), 0, Vec::new());
        let mut viewed = Viewed::new("JSON");
        let mut last = None;
        while !self.is_seen(&pixels) {
            turn += 1;
            let Ok(mut client) = Json::open_at(self.gateways[turn % self.gateways.len()], &opening) else {
                thread::sleep(RETRY);
                continue;
            };
            viewed.returns += 1;
            if pixels.is_empty() || client.epoch() != epoch {
                viewed.resyncs += 1;
                (epoch, at, pixels) = self.load(client.epoch(), client.sequence());
            } else if client.sequence() > at {
                client.resume(&epoch, at);
            }
            // What was live before the resume was read, or is known already.
            let mut resuming = true;
            while !pixels.is_empty() && !self.is_seen(&pixels) {
                let Ok(message) = client.try_hear() else { break };
                match message["type"].as_str() {
                    Some("pixel_updated") => {
                        let seen = Seen::from_update(&message);
                        if seen.sequence == at + 1 {
                            viewed.saw_an_update(&mut last);
                            put(&mut pixels, &seen);
                            (at, resuming) = (seen.sequence, false);
                        } else {
                            assert!(resuming, "a gap or a repetition after {at}: {seen:?}");
                        }
                    }
                    Some("resync") => {
                        viewed.resyncs += 1;
                        let from = message["sequence"].as_u64().expect("a sequence");
                        let of = message["epoch"].as_str().expect("an epoch");
                        (epoch, at, pixels) = self.load(of, from);
                        resuming = true;
                    }
                    _ => {}
                }
            }
        }
        Viewed { pixels, ..viewed }
    }

    /// The chunk at this sequence or later, and of this epoch: no pixels where the api's is another.
    fn load(&self, epoch: &str, since: u64) -> (String, u64, Vec<u8>) {
        let mut loaded = None;
        eventually("the chunk is served", || {
            let asked = Request::new("GET", &format!("{CHUNK_PATH}?since={since}")).try_send(self.frontend);
            loaded = asked.ok().filter(|answer| answer.status == 200);
            loaded.is_some()
        });
        let answer = loaded.expect("it was served");
        let sequence = answer.header("sequence").parse().expect("a sequence");
        let pixels = if answer.header("epoch") == epoch { answer.body } else { Vec::new() };
        (epoch.to_owned(), sequence, pixels)
    }

    /// Views in the binary dialect, through one gateway after the other, with what it holds.
    fn view_binary(&self, mut turn: usize) -> Viewed {
        let opening = Opening::at(&format!("/ws?canvas={CANVAS}"));
        let mut viewed = Viewed::new("binary");
        let (mut kept, mut last) = (None, None);
        while !self.is_seen(&[]) {
            turn += 1;
            let gateway = self.gateways[turn % self.gateways.len()];
            let Ok(mut client) = Binary::open_through(gateway, self.frontend, &opening) else {
                thread::sleep(RETRY);
                continue;
            };
            viewed.returns += 1;
            if let Some(replica) = kept.take() {
                client.carry_on(replica);
            }
            let ended = loop {
                match client.replica.chunk(CHUNK) {
                    Some(held) if self.is_seen(&held.pixels) => {
                        viewed.pixels = held.pixels.to_vec();
                        return viewed;
                    }
                    Some(_) => {}
                    None => {
                        viewed.resyncs += 1;
                        client.load(CHUNK, Sequence::ZERO);
                        match client.replica.chunk(CHUNK).map(|held| held.sequence) {
                            Some(have) => client.subscribe(client.replica.epoch(), CHUNK, have),
                            // The api's epoch is another than the gateway's still: it will say so.
                            None => {
                                thread::sleep(RETRY);
                                client.say(&ToServer::Ping([0; 8]));
                            }
                        }
                    }
                }
                match client.try_hear() {
                    Ok(ToClient::Resync { chunks, .. }) if !chunks.is_empty() => viewed.resyncs += 1,
                    Ok(ToClient::Frame(_)) => viewed.saw_an_update(&mut last),
                    Ok(_) => {}
                    Err(_) => break client.replica,
                }
            };
            kept = Some(ended);
        }
        viewed
    }

    /// Judges it all: nothing lost, doubled, out of order or missing, and everybody holds the same.
    fn judge(self, views: &[Viewed]) -> usize {
        let acknowledged = self.acknowledged.into_inner().expect("no painter panicked");
        let mut log: Vec<Seen> = acknowledged.iter().map(|ack| ack.seen.clone()).collect();
        log.sort_by_key(|seen| seen.sequence);
        // Everybody asked until there was an answer, so every sequence belongs to an answer.
        let top = Sequence(log.len() as u64);
        history::assert_one_order(&acknowledged, Others::None(Sequence::ZERO, top));
        history::assert_contiguous(&log);
        let mut pixels = vec![255; (SIDE * SIDE * 3) as usize];
        log.iter().for_each(|seen| put(&mut pixels, seen));
        for api in &self.apis {
            let answer = get(*api, CHUNK_PATH);
            assert_eq!(answer.header("sequence"), top.to_string(), "{answer:?}");
            assert!(answer.body == pixels, "an api's canvas is not where the acknowledgements lead");
        }
        for view in views {
            assert!(view.pixels == pixels, "the {} viewer holds another canvas", view.dialect);
        }
        log.len()
    }
}

/// What a painter asks for.
enum Ask {
    Place { x: u16, y: u16, color: String },
    Walk(Turn, u16),
}

impl Ask {
    /// How many placements it makes.
    fn count(&self) -> u16 {
        match self {
            Self::Place { .. } => 1,
            Self::Walk(_, count) => *count,
        }
    }
}

/// What becomes of what somebody painted, at once.
#[derive(PartialEq, Eq)]
enum Fate {
    Stays,
    /// It is taken back.
    Goes,
    /// It is taken back and repeated.
    Returns,
}

impl Fate {
    fn of(number: u32) -> Self {
        match number % 8 {
            3 => Self::Goes,
            5 => Self::Returns,
            _ => Self::Stays,
        }
    }
}

/// Where a number is painted: each has its place, and those that come round the place of one long before.
fn place_of(number: u32) -> (u16, u16) {
    let place = number % PLACES;
    ((place % SIDE) as u16, (place / SIDE) as u16)
}

/// A colour that no other number has.
fn color_of(number: u32) -> String {
    format!("#{:06X}", number + 1)
}

/// What its place showed before a number was painted there.
fn color_below(number: u32) -> String {
    let mut below = number;
    while let Some(before) = below.checked_sub(PLACES) {
        if Fate::of(before) != Fate::Goes {
            return color_of(before);
        }
        below = before;
    }
    BACKGROUND.to_owned()
}

/// The place of a number, showing this since that sequence.
fn seen(number: u32, color: String, sequence: u64) -> Seen {
    let (x, y) = place_of(number);
    Seen { sequence, x, y, color }
}

fn put(pixels: &mut [u8], seen: &Seen) {
    let at = (usize::from(seen.y) * SIDE as usize + usize::from(seen.x)) * 3;
    pixels[at..at + 3].copy_from_slice(&Color::parse(&seen.color).expect("a colour").0);
}

fn is_complete(pixels: &[u8]) -> bool {
    let (.., color) = LAST;
    pixels.ends_with(&Color::parse(color).expect("a colour").0)
}

/// Counts over all viewers.
pub fn summary(views: &[Viewed]) -> Value {
    let sum = |of: fn(&Viewed) -> usize| views.iter().map(of).sum::<usize>();
    json!({"viewers": views.len(), "returns": sum(|view| view.returns), "loads": sum(|view| view.resyncs)})
}
