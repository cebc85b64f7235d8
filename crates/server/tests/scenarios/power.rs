//! The power is cut under load, on a real file system: whatever was acknowledged is there when it is back.
//!
//! Process and disk stop at the same moment, as they do where power fails. Of a file system that is shut down below a process
//! that goes on, Linux tells some syncs that were under way that they succeeded, though what they synced is lost (one in
//! twelve of those that a loop of `write` and `fdatasync` had under way): nobody hears that on a machine without power.

use std::fs;

use crate::support::crowd::{Crowd, summary};
use crate::support::disk::Disk;
use crate::support::redis::Redis;
use crate::support::split::Split;
use crate::support::{Server, long};

/// Acknowledgements between two cuts.
const PER_LIFE: usize = 60;
const CUTS: usize = 3;
const CUTS_LONG: usize = 200;

fn cuts() -> usize {
    if long() { CUTS_LONG } else { CUTS }
}

#[test]
fn a_power_cut_takes_nothing_acknowledged_from_a_data_folder() {
    let Some(disk) = Disk::ext4("power cuts of a data folder") else { return };
    let store = format!("embedded:{}", disk.path().join("data").display());
    let mut server = Server::on(disk.host(), &["--rate-limit", "off", "--store", &store]);
    let token = fs::read_to_string(disk.outside("data/admin-token")).expect("the host's token was made");
    let crowd = Crowd::behind(server.frontend(), token.trim());
    let (acknowledged, views) = crowd.paint_while(|crowd| {
        for _ in 0..cuts() {
            crowd.wait_for(PER_LIFE);
            server.freeze();
            disk.cut_power();
            server.kill();
            disk.power_on();
            server.run();
        }
        crowd.wait_for(PER_LIFE);
    });
    println!(
        "{} power cuts on ext4 of a data folder: {acknowledged} acknowledged, lost or doubled 0; {}",
        cuts(),
        summary(&views)
    );
}

#[test]
fn a_power_cut_takes_nothing_acknowledged_from_redis_that_syncs_each_write() {
    let Some(disk) = Disk::ext4("power cuts of Redis") else { return };
    let mut split = Split::over(Redis::on(disk.host(), disk.path()), 1, 1, &["--rate-limit", "off"]);
    let crowd = Crowd::on(&split);
    let (acknowledged, views) = crowd.paint_while(|crowd| {
        for _ in 0..cuts() {
            crowd.wait_for(PER_LIFE);
            split.redis.freeze();
            disk.cut_power();
            split.redis.kill();
            disk.power_on();
            split.redis.run();
        }
        crowd.wait_for(PER_LIFE);
    });
    assert_eq!(split.apis[0].metric("pixel_store_lost_placements_total"), 0, "the api itself says so");
    println!(
        "{} power cuts on ext4 of a Redis that syncs each write: {acknowledged} acknowledged, lost or doubled 0; {}",
        cuts(),
        summary(&views)
    );
}
