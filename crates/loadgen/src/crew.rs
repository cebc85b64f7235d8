//! Many clients on one canvas: gathered, set to work, and at the end compared with the canvas.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use pixel_canvas::{Canvas, ChunkId, Epoch, Sequence};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

use crate::client::Client;
use crate::remote::{Remote, Snapshot};
use crate::report::Live;
use crate::socket::{Dialect, Greeting, Socket};
use crate::tally::Tally;
use crate::view::Viewing;
use crate::work::Work;

/// Handshakes under way at a time.
const OPENINGS_MAX: usize = 64;
/// How long all clients together may take to connect.
const GATHER_TIMEOUT: Duration = Duration::from_secs(120);
/// How long the last updates may take to reach everybody, unless a plan says otherwise.
pub const SETTLE_TIMEOUT: Duration = Duration::from_secs(15);
/// Memory for the clients' copies of the canvas; beyond it, clients follow positions only.
const COPIES_BYTES_MAX: u64 = 512 << 20;
/// How often a server that is away is asked again.
const TRUTH_RETRY_INTERVAL: Duration = Duration::from_millis(500);
/// How often the crew looks at its clients.
const LOOK_INTERVAL: Duration = Duration::from_millis(50);

/// What all clients do now.
#[derive(Clone)]
pub enum Phase {
    /// Connect, and wait for the others.
    Gather,
    /// Work, since then.
    Work(Instant),
    /// Wait until the own copy looks like this.
    Settle(Arc<Truth>),
    /// Close and go.
    Stop,
}

/// The canvas as the server has it.
pub struct Truth {
    /// Counts the times that it was loaded, from 1.
    pub version: u64,
    /// The last sequence of any chunk.
    pub sequence: Sequence,
    /// Every chunk that clients view.
    pub chunks: BTreeMap<ChunkId, Snapshot>,
}

/// How far a client is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// Connected once.
    Ready = 1,
    /// Has done its work, every answer came.
    Idle = 2,
}

/// What clients of one crew share.
pub struct Crew {
    /// The server's canvas.
    pub remote: Arc<Remote>,
    /// Its size and palette.
    pub canvas: Arc<Canvas>,
    /// The epoch when the crew was made.
    pub epoch: Epoch,
    /// What is counted.
    pub tally: Tally,
    /// What to do now.
    pub phase: watch::Sender<Phase>,
    /// Bounds the handshakes.
    pub openings: Semaphore,
    /// Open sockets.
    pub connected: AtomicUsize,
    /// The most placements in one submission.
    pub submission_placements_max: usize,
    /// The most placements of one client without an answer.
    pub in_flight_placements_max: usize,
    /// How long a client tries to come back.
    pub patience: Duration,
    stages: Vec<AtomicUsize>,
    /// The version of the truth that each client's copy equals; 0 for none.
    settled: Vec<AtomicU64>,
}

impl Crew {
    /// A client tells how far it is; it does not go back.
    pub fn stage(&self, client: usize, stage: Stage) {
        self.stages[client].fetch_max(stage as usize, Ordering::Relaxed);
    }

    /// A client tells whether its copy equals this version of the truth.
    pub fn settle(&self, client: usize, there: bool, version: u64) {
        self.settled[client].store(if there { version } else { 0 }, Ordering::Relaxed);
    }

    fn at_least(&self, stage: Stage) -> usize {
        self.stages.iter().filter(|s| s.load(Ordering::Relaxed) >= stage as usize).count()
    }

    fn settled(&self, version: u64) -> usize {
        self.settled.iter().filter(|v| v.load(Ordering::Relaxed) == version).count()
    }
}

/// What a crew is made of.
pub struct Plan {
    /// Which dialects: client `i` speaks the `i`-th, round and round.
    pub dialects: Vec<Dialect>,
    /// The most placements in one submission of the binary dialect.
    pub submission_placements_max: usize,
    /// The most placements of one client without an answer.
    pub in_flight_placements_max: usize,
    /// How long the work may take; `None`: until it is done.
    pub work_timeout: Option<Duration>,
    /// How long the last updates may take to reach everybody.
    pub settle_timeout: Duration,
    /// Where randomness begins.
    pub seed: u64,
}

/// What came out.
pub struct Performance {
    /// Where the canvas stood before and after.
    pub span: (Sequence, Sequence),
    /// How long the work took.
    pub took: Duration,
    /// How many clients there were.
    pub clients: usize,
    /// How many of them held every pixel.
    pub copies: usize,
    /// How many were, in the end, where the server is.
    pub settled: usize,
    /// What was counted.
    pub crew: Arc<Crew>,
    /// The canvas at the end.
    pub truth: Arc<Truth>,
}

/// Asks the server what the canvas is.
pub async fn probe(remote: &Remote) -> Result<(Arc<Canvas>, Epoch, Sequence)> {
    let (socket, greeting) = Socket::open(remote, Dialect::Binary, None)
        .await
        .with_context(|| format!("no canvas {:?} at {}", remote.canvas(), remote.sockets().authority()))?;
    socket.close().await;
    match greeting {
        Greeting::Hello(hello) => Ok((hello.canvas, hello.epoch, hello.sequence)),
        Greeting::Connected { .. } => bail!("the server answered the binary dialect in JSON"),
    }
}

/// Lets a crew do its works, one client each, and compares what everybody has in the end.
pub async fn perform<W: Work>(
    remote: Arc<Remote>,
    plan: &Plan,
    works: Vec<W>,
    live: &Live,
) -> Result<Performance> {
    let (canvas, epoch, after) = probe(&remote).await?;
    let clients = works.len();
    let copy_bytes = canvas.size.pixels() * canvas.palette.bytes_per_pixel() as u64;
    let copies = clients.min(usize::try_from(COPIES_BYTES_MAX / copy_bytes).unwrap_or(usize::MAX));
    let crew = Arc::new(Crew {
        remote,
        canvas,
        epoch,
        tally: Tally::default(),
        phase: watch::Sender::new(Phase::Gather),
        openings: Semaphore::new(OPENINGS_MAX),
        connected: AtomicUsize::new(0),
        submission_placements_max: plan.submission_placements_max,
        in_flight_placements_max: plan.in_flight_placements_max,
        patience: Duration::from_secs(120),
        stages: (0..clients).map(|_| AtomicUsize::new(0)).collect(),
        settled: (0..clients).map(|_| AtomicU64::new(0)).collect(),
    });
    let mut tasks = JoinSet::new();
    for (index, work) in works.into_iter().enumerate() {
        let dialect = plan.dialects[index % plan.dialects.len()];
        let viewing = if index < copies { Viewing::Pixels } else { Viewing::Positions };
        tasks.spawn(Client::new(Arc::clone(&crew), index, dialect, viewing, work, plan.seed).run());
    }
    let mut watchman = Watchman { crew: &crew, tasks: &mut tasks, live };
    if watchman.wait_for(|crew| crew.at_least(Stage::Ready) == clients, Some(GATHER_TIMEOUT)).await?.is_none()
    {
        bail!("only {} of {clients} clients could connect within 2 minutes", crew.at_least(Stage::Ready));
    }
    let start = Instant::now();
    crew.tally.begin(start, after);
    crew.phase.send_replace(Phase::Work(start));
    watchman.wait_for(|crew| crew.at_least(Stage::Idle) == clients, plan.work_timeout).await?;
    let took = start.elapsed();
    live.say("waiting until everybody has everything");
    let truth = watchman.settle(clients, plan.settle_timeout).await?;
    let settled = crew.settled(truth.version);
    crew.phase.send_replace(Phase::Stop);
    while let Some(view) = tasks.join_next().await {
        let view = view.context("a client failed")??;
        crew.tally.figures().faults.add(view.faults);
    }
    let span = (after, truth.sequence);
    Ok(Performance { span, took, clients, copies, settled, crew, truth })
}

/// Waits for clients, and notices those who gave up.
struct Watchman<'a> {
    crew: &'a Arc<Crew>,
    tasks: &'a mut JoinSet<Result<crate::view::View>>,
    live: &'a Live,
}

impl Watchman<'_> {
    /// `None` when it did not come true in time.
    async fn wait_for(
        &mut self,
        reached: impl Fn(&Crew) -> bool,
        timeout: Option<Duration>,
    ) -> Result<Option<()>> {
        let start = Instant::now();
        while !reached(self.crew) {
            if timeout.is_some_and(|timeout| start.elapsed() > timeout) {
                return Ok(None);
            }
            self.live.show(self.crew);
            tokio::select! {
                () = tokio::time::sleep(LOOK_INTERVAL) => {}
                Some(gone) = self.tasks.join_next() => {
                    gone.context("a client failed")?.context("a client gave up")?;
                }
            }
        }
        Ok(Some(()))
    }

    /// Loads the canvas until everybody's copy equals it and nobody painted meanwhile, or for so long.
    async fn settle(&mut self, clients: usize, timeout: Duration) -> Result<Arc<Truth>> {
        let mut version = 1;
        loop {
            let truth = Arc::new(load_truth(self.crew, version).await?);
            self.crew.phase.send_replace(Phase::Settle(Arc::clone(&truth)));
            let equal = self.wait_for(|crew| crew.settled(version) == clients, Some(timeout)).await?;
            // Others may have painted after the truth was loaded: then it is out of date, not the copies.
            if equal.is_some() || version == 3 || load_truth(self.crew, 0).await?.sequence == truth.sequence {
                return Ok(truth);
            }
            version += 1;
        }
    }
}

/// The canvas as the server has it; waits for a server that is away.
async fn load_truth(crew: &Crew, version: u64) -> Result<Truth> {
    let start = Instant::now();
    loop {
        match try_load_truth(crew, version).await {
            Err(_) if start.elapsed() < crew.patience => tokio::time::sleep(TRUTH_RETRY_INTERVAL).await,
            loaded => return loaded,
        }
    }
}

async fn try_load_truth(crew: &Crew, version: u64) -> Result<Truth> {
    // A cache on the way may hold older ones.
    let (.., now) = probe(&crew.remote).await?;
    let mut chunks = BTreeMap::new();
    for id in crew.canvas.size.chunks().take(pixel_protocol::CHUNKS_SUBSCRIBED_MAX) {
        chunks.insert(id, crew.remote.load(id, now).await?);
    }
    let sequence = chunks.values().map(|snapshot| snapshot.sequence).max().unwrap_or_default();
    Ok(Truth { version, sequence, chunks })
}
