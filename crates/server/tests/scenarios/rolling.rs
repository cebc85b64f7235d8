//! Two versions of the program side by side on one Redis, while one is rolled out and back under load.

use std::path::{Path, PathBuf};

use crate::support::crowd::{Crowd, Viewed, summary};
use crate::support::eventually;
use crate::support::server::executable;
use crate::support::split::Split;

/// Acknowledgements between two replacements.
const PER_STEP: usize = 60;

#[test]
fn the_next_version_is_rolled_out_and_back() {
    let next = next_executable();
    let views = roll(&next, |split| {
        // Entries of the new api cannot be read here: the viewers load afresh, and stay.
        eventually("gateways before the change meet what they cannot read", || {
            split.gateways.iter().all(|gateway| gateway.log().contains("cannot be read on"))
        });
    });
    assert!(views.iter().map(|view| view.resyncs).sum::<usize>() > views.len(), "{views:?}");
}

/// The executable before against that of this version, by hand: with `PIXEL_PLAYGROUND_BIN` the one, with
/// `PIXEL_PLAYGROUND_OTHER_BIN` the other. Without it every process is replaced by its like.
#[test]
fn processes_are_replaced_one_by_one() {
    let other = std::env::var_os("PIXEL_PLAYGROUND_OTHER_BIN").map_or_else(executable, PathBuf::from);
    roll(&other, |_| {});
}

/// Replaces each process by `other`, one by one, and back, while a crowd paints.
fn roll(other: &Path, halfway: impl Fn(&Split)) -> Vec<Viewed> {
    let before = executable();
    let mut split = Split::start(2, 2, &["--rate-limit", "off"]);
    let crowd = Crowd::on(&split);
    let (acknowledged, views) = crowd.paint_while(|crowd| {
        crowd.wait_for(PER_STEP);
        split.apis[0].replace_with(other);
        crowd.wait_for(PER_STEP);
        halfway(&split);
        split.gateways[0].replace_with(other);
        crowd.wait_for(PER_STEP);
        split.gateways[1].replace_with(other);
        crowd.wait_for(PER_STEP);
        split.apis[1].replace_with(other);
        crowd.wait_for(PER_STEP);
        // And back, the gateways first: they meet entries of both versions from here on.
        for one in 0..2 {
            split.gateways[one].replace_with(&before);
            crowd.wait_for(PER_STEP);
        }
        for one in 0..2 {
            split.apis[one].replace_with(&before);
            crowd.wait_for(PER_STEP);
        }
    });
    println!(
        "{} and {} on one Redis, each process replaced there and back: {acknowledged} acknowledged, none lost \
         or doubled, one canvas for all; {}",
        before.display(),
        other.display(),
        summary(&views)
    );
    views
}

/// The executable with the feature `next-version`, beside the usual one or where `cargo xtask test` says.
fn next_executable() -> PathBuf {
    let given = std::env::var_os("PIXEL_PLAYGROUND_NEXT_BIN").map(PathBuf::from);
    let beside = || Path::new(env!("CARGO_BIN_EXE_pixel-playground")).with_file_name("pixel-playground-next");
    let next = given.unwrap_or_else(beside);
    assert!(
        next.exists(),
        "build it first: cargo build -p pixel-playground --features next-version --bin pixel-playground-next"
    );
    next
}
