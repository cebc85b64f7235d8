//! Pixel Playground: reads the configuration, runs the process, says how it ended.

mod address;
mod api;
mod arrival;
mod backups;
mod clarity;
mod clock;
mod config;
mod frontend;
mod gateway;
mod healthcheck;
mod hop;
mod identity;
mod listen;
mod negotiation;
mod nosniff;
mod observe;
mod ops;
mod origin;
mod placing;
mod process;
mod provision;
mod proxy;
mod refusal;
mod secrets;
mod telemetry;
mod tls;
mod turns;
mod welcome;

#[cfg(test)]
#[path = "../../../fuzz/run.rs"]
mod run;

use std::process::ExitCode;

use tracing::error;
use tracing_subscriber::EnvFilter;

use self::config::{Command, Config, ConfigError};
use self::telemetry::LogFormat;

/// Exit code of a bad configuration (sysexits.h: usage).
const EXIT_USAGE: u8 = 64;

fn main() -> ExitCode {
    let (command, config) = match config::from_process() {
        Ok(read) => read,
        Err(wrong) => return refuse(&wrong),
    };
    match (command, config) {
        (Command::Help, _) => {
            print!("{}", config::help());
            ExitCode::SUCCESS
        }
        (Command::Version, _) | (_, None) => {
            println!("pixel-playground {}", env!("CARGO_PKG_VERSION"));
            ExitCode::SUCCESS
        }
        (Command::CheckConfig, Some(config)) => check(&config),
        (Command::Healthcheck, Some(config)) => healthcheck::run(config.ops_listen),
        (Command::Backup | Command::Restore, Some(config)) => keep(command, &config),
        (Command::Serve, Some(config)) => serve(config),
    }
}

fn refuse(wrong: &ConfigError) -> ExitCode {
    eprintln!("pixel-playground: {wrong}");
    eprintln!("Try pixel-playground --help.");
    ExitCode::from(EXIT_USAGE)
}

fn check(config: &Config) -> ExitCode {
    for (key, value, source) in &config.set {
        println!("{key} = {value}    ({source})");
    }
    match process::check(config) {
        Ok(()) => {
            println!("the configuration is good");
            ExitCode::SUCCESS
        }
        Err(fatal) => {
            eprintln!("pixel-playground: {fatal}");
            fatal.exit_code()
        }
    }
}

fn keep(command: Command, config: &Config) -> ExitCode {
    let format = config.log_format;
    telemetry::start_logging(EnvFilter::new("warn"), format, config.targets.names());
    finish(format, async {
        match command {
            Command::Backup => backups::back_up(config, clock::Clock).await,
            _ => backups::restore(config, clock::Clock).await,
        }
    })
}

fn serve(config: Config) -> ExitCode {
    let format = config.log_format;
    telemetry::start_logging(EnvFilter::new(&config.log_filter), format, config.targets.names());
    finish(format, process::run(config))
}

/// Runs to the end, and says how that was.
fn finish(format: LogFormat, work: impl Future<Output = Result<(), process::Fatal>>) -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(failure) => {
            last_words(format, &format_args!("cannot start threads: {failure}"));
            return ExitCode::from(71);
        }
    };
    let ended = runtime.block_on(work);
    // A backup or an image under way is not waited for: nobody gets it now.
    runtime.shutdown_background();
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(fatal) => {
            last_words(format, &fatal);
            fatal.exit_code()
        }
    }
}

/// Says why it ended: in the log where that is all that is read, else to whoever started it.
fn last_words(format: LogFormat, why: &dyn std::fmt::Display) {
    match format {
        LogFormat::Json => error!("{why}"),
        LogFormat::Auto | LogFormat::Text => eprintln!("pixel-playground: {why}"),
    }
}
