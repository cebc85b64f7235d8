//! Paints, races and loads a Pixel Playground from the command line, and says whether it held.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::{Args, Parser, Subcommand, ValueEnum};
use hyper::Method;
use loadgen::crew::{self, Plan, SETTLE_TIMEOUT};
use loadgen::http;
use loadgen::paint::{Easel, Order, Painter};
use loadgen::picture::Picture;
use loadgen::race::Racer;
use loadgen::remote::Remote;
use loadgen::report::{Live, Report, thousands};
use loadgen::schedule::Schedule;
use loadgen::socket::Dialect;
use loadgen::target::Target;
use pixel_canvas::placement::SOCKET_SUBMISSION_PLACEMENTS_MAX;
use pixel_protocol::IN_FLIGHT_PLACEMENTS_MAX;
use tokio::time::{sleep, timeout};

/// How long after a service did not answer it is asked again.
const HEALTH_PAUSE: Duration = Duration::from_millis(500);
/// So long after the last placement was due its answer may still come.
const ANSWERS_TIMEOUT: Duration = Duration::from_secs(15);

/// Clients for Pixel Playground, many at once: they paint, and check that the server keeps its promises.
///
/// Exit code 0: every check passed. 1: a check failed. 2: it could not be run.
#[derive(Parser)]
#[command(version, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Place at a steady rate from many clients, measure every receiver, compare every copy
    Run(RunArgs),
    /// Paint a real picture together, then compare the exported one with it, pixel for pixel
    Paint(PaintArgs),
    /// Let everybody write the same few pixels at once: one order, one canvas for all
    Race(RaceArgs),
    /// Ask services for their health, and wait until all answer: nothing is painted
    Health(HealthArgs),
}

#[derive(Args)]
struct Common {
    /// Where the playground is
    #[arg(long, default_value = "http://localhost:3000", value_name = "URL")]
    url: String,
    /// Where its WebSocket gateway is, when that is elsewhere
    #[arg(long, value_name = "URL")]
    socket_url: Option<String>,
    /// Which canvas
    #[arg(long, default_value = "main", value_name = "ID")]
    canvas: String,
    /// Where randomness begins; chosen and printed when left out
    #[arg(long)]
    seed: Option<u64>,
    /// Print the report as JSON instead of text
    #[arg(long)]
    json: bool,
}

impl Common {
    fn remote(&self) -> Result<Arc<Remote>> {
        let sockets = self.socket_url.as_deref().map(Target::parse).transpose()?;
        Ok(Arc::new(Remote::new(Target::parse(&self.url)?, sockets, &self.canvas)))
    }

    fn seed(&self) -> u64 {
        self.seed.unwrap_or_else(|| u64::from(rand::random::<u32>()))
    }
}

#[derive(Clone, Copy, ValueEnum)]
enum Speak {
    /// `pixels.v1.bin`
    Binary,
    /// `pixels.v1.json`
    Json,
    /// Every other client each
    Mixed,
}

impl Speak {
    fn dialects(self) -> Vec<Dialect> {
        match self {
            Self::Binary => vec![Dialect::Binary],
            Self::Json => vec![Dialect::Json],
            Self::Mixed => vec![Dialect::Binary, Dialect::Json],
        }
    }
}

#[derive(Args)]
struct RunArgs {
    #[command(flatten)]
    common: Common,
    /// How many clients connect; each receives everything
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=20_000))]
    clients: u32,
    /// Placements a second, by all clients together; 0 only watches.
    /// The server's default limits are 100/s a client and 1000/s an address
    #[arg(long, default_value_t = 100.0, value_parser = parse_rate)]
    rate: f64,
    /// Which dialect they speak
    #[arg(long, value_enum, default_value = "mixed")]
    dialect: Speak,
    /// For how long, as in 30s or 5m
    #[arg(long, default_value = "10s", value_parser = parse_duration)]
    duration: Duration,
}

#[derive(Args)]
struct PaintArgs {
    /// The picture, a PNG; what is transparent lies on white
    image: PathBuf,
    #[command(flatten)]
    common: Common,
    /// How many clients paint
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=20_000))]
    clients: u32,
    /// Which dialect they speak
    #[arg(long, value_enum, default_value = "binary")]
    dialect: Speak,
    /// In which order the pixels appear
    #[arg(long, value_enum, default_value = "random")]
    order: Order,
    /// Pixels in one submission
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..=256))]
    batch: u16,
    /// Make the canvas, of the picture's size, unless it is there
    #[arg(long, requires = "admin_token_file")]
    create: bool,
    /// The host's token, as the server printed where it is
    #[arg(long, value_name = "FILE")]
    admin_token_file: Option<PathBuf>,
}

#[derive(Args)]
struct RaceArgs {
    #[command(flatten)]
    common: Common,
    /// How many clients race
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=20_000))]
    clients: u32,
    /// For how many pixels
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pixels: u32,
    /// With how many writes, all clients together
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..))]
    writes: u32,
    /// How often, with fresh clients each time
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    runs: u32,
    /// Which dialect they speak
    #[arg(long, value_enum, default_value = "mixed")]
    dialect: Speak,
}

#[derive(Args)]
struct HealthArgs {
    /// Where they are; each answers `/health`
    #[arg(required = true, value_name = "URL")]
    urls: Vec<String>,
    /// How long all of them may take, as in 30s or 5m
    #[arg(long, default_value = "60s", value_parser = parse_duration)]
    within: Duration,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let passed = runtime.context("no threads to run on").and_then(|runtime| {
        runtime.block_on(async {
            match cli.command {
                Command::Run(args) => run(&args).await,
                Command::Paint(args) => paint(&args).await,
                Command::Race(args) => race(&args).await,
                Command::Health(args) => health(&args).await,
            }
        })
    });
    match passed {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            eprintln!("loadgen: {error:#}");
            ExitCode::from(2)
        }
    }
}

async fn run(args: &RunArgs) -> Result<bool> {
    let (remote, seed) = (args.common.remote()?, args.common.seed());
    let (canvas, ..) = crew::probe(&remote).await?;
    let plan = Plan {
        dialects: args.dialect.dialects(),
        submission_placements_max: 1,
        in_flight_placements_max: IN_FLIGHT_PLACEMENTS_MAX,
        work_timeout: Some(args.duration + ANSWERS_TIMEOUT),
        settle_timeout: SETTLE_TIMEOUT,
        seed,
    };
    let live = Live::new(Some((args.rate * args.duration.as_secs_f64()) as u64), args.common.json);
    let works = Schedule::share(&canvas, args.clients as usize, args.rate, args.duration, seed);
    let performance = crew::perform(remote, &plan, works, &live).await;
    live.finish();
    let report = Report::of(&performance?);
    print(&report, &args.common, seed)?;
    Ok(report.passed())
}

async fn paint(args: &PaintArgs) -> Result<bool> {
    let (remote, seed) = (args.common.remote()?, args.common.seed());
    let png = std::fs::read(&args.image).with_context(|| format!("reading {}", args.image.display()))?;
    let picture = Picture::read(&png).with_context(|| args.image.display().to_string())?;
    let (width, height) = (picture.width, picture.height);
    if let (true, Some(file)) = (args.create, &args.admin_token_file) {
        let token = std::fs::read_to_string(file).with_context(|| format!("reading {}", file.display()))?;
        remote.create(width, height, token.trim()).await?;
    }
    let (canvas, ..) = crew::probe(&remote).await?;
    remote.check_fits(&canvas, width, height)?;
    let picture = picture.fitted(&canvas.palette);
    let plan = Plan {
        dialects: args.dialect.dialects(),
        submission_placements_max: usize::from(args.batch),
        in_flight_placements_max: SOCKET_SUBMISSION_PLACEMENTS_MAX,
        work_timeout: None,
        settle_timeout: SETTLE_TIMEOUT,
        seed,
    };
    let live = Live::new(Some(picture.pixels.len() as u64), args.common.json);
    let easel = Easel::new(&picture, args.order, seed);
    let works = Painter::share(&easel, args.clients as usize);
    let performance = crew::perform(Arc::clone(&remote), &plan, works, &live).await;
    live.finish();
    let performance = performance?;
    let mut report = Report::of(&performance);
    let exported = Picture::read(&remote.png(width, height, performance.truth.sequence).await?)
        .context("the exported picture")?;
    let differences = picture.differences(&exported);
    if differences > 0 {
        report.failures.push(format!("{} pixels differ from the picture", thousands(differences as u64)));
    }
    print(&report, &args.common, seed)?;
    if !args.common.json && differences == 0 {
        println!(
            "    {width}×{height}: the exported picture equals {}, pixel for pixel",
            args.image.display()
        );
    }
    Ok(report.passed())
}

async fn race(args: &RaceArgs) -> Result<bool> {
    let (remote, seed) = (args.common.remote()?, args.common.seed());
    let (canvas, ..) = crew::probe(&remote).await?;
    let plan = Plan {
        dialects: args.dialect.dialects(),
        submission_placements_max: 1,
        in_flight_placements_max: 8,
        work_timeout: None,
        settle_timeout: SETTLE_TIMEOUT,
        seed,
    };
    let mut agreed = 0;
    for run in 0..args.runs {
        let live = Live::new(Some(args.writes.into()), args.common.json);
        let seed = seed.wrapping_add(1_000_003 * u64::from(run));
        let works =
            Racer::share(&canvas, args.clients as usize, args.pixels as usize, args.writes as usize, seed);
        let performance = crew::perform(Arc::clone(&remote), &plan, works, &live).await;
        live.finish();
        let report = Report::of(&performance?);
        agreed += u32::from(report.passed());
        if args.runs == 1 || !report.passed() {
            print(&report, &args.common, seed)?;
        }
    }
    if args.runs > 1 && args.common.json {
        println!("{}", serde_json::json!({ "runs": args.runs, "agreed": agreed }));
    } else if args.runs > 1 {
        let verdict = if agreed == args.runs { "OK" } else { "FAILED" };
        println!(
            "{verdict}  {agreed} of {} runs agreed: {} clients, {} pixels, {} writes, one order, one canvas for all",
            args.runs, args.clients, args.pixels, args.writes
        );
    }
    Ok(agreed == args.runs)
}

async fn health(args: &HealthArgs) -> Result<bool> {
    let targets: Vec<_> = args.urls.iter().map(|url| Target::parse(url)).collect::<Result<_>>()?;
    let all = async {
        for (url, target) in args.urls.iter().zip(&targets) {
            println!("{url}  {}", answers(target).await);
        }
    };
    let healthy = timeout(args.within, all).await.is_ok();
    if !healthy {
        println!("not all of them answer");
    }
    Ok(healthy)
}

/// What a service says of its health, as soon as it says so.
async fn answers(target: &Target) -> String {
    loop {
        let asked = http::request(target, Method::GET, "/health", None, None).await;
        match asked.and_then(|answer| answer.success("its health")) {
            Ok(answer) => return String::from_utf8_lossy(&answer.body).trim().to_owned(),
            Err(error) => eprintln!("{error:#}"),
        }
        sleep(HEALTH_PAUSE).await;
    }
}

fn print(report: &Report, common: &Common, seed: u64) -> Result<()> {
    if common.json {
        println!("{}", serde_json::to_string_pretty(report)?);
    } else {
        println!("{}\nseed       {seed}\n{}", report.figures(), report.verdict());
    }
    Ok(())
}

fn parse_rate(text: &str) -> Result<f64, String> {
    let rate = text.parse::<f64>().ok().filter(|rate| (0.0..=1e6).contains(rate));
    rate.ok_or_else(|| "a rate is a number from 0 to 1000000".to_owned())
}

fn parse_duration(text: &str) -> Result<Duration, String> {
    let (number, unit_seconds) = match text.strip_suffix('m') {
        Some(minutes) => (minutes, 60.0),
        None => (text.strip_suffix('s').unwrap_or(text), 1.0),
    };
    let seconds = number.parse::<f64>().ok().map(|number| number * unit_seconds);
    let seconds = seconds.filter(|seconds| (0.1..=86_400.0).contains(seconds));
    seconds.map(Duration::from_secs_f64).ok_or_else(|| "a duration is written as 30s or 5m".to_owned())
}
