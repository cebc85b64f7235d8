//! What goes wrong in a run, and how all of it is mended in the end.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::time::{Instant, sleep, sleep_until};

use super::client::Client;
use super::machine::Promise;
use super::town::Town;
use super::wire::{End, Line};
use crate::clock::Clock;

/// Makes trouble until then.
pub(super) async fn trouble(town: Arc<Town>, clients: Vec<Arc<Mutex<Client>>>, until: Instant) {
    let world = Arc::clone(&town.world);
    loop {
        sleep(world.ms(20..900)).await;
        if Clock.tokio() >= until {
            return;
        }
        let one = world.below(1 << 32);
        let gateways = town.processes().len() as u64;
        let gateway = (one % gateways) as usize;
        match world.below(16) {
            0 => with_line(&town, gateway, one, |line| line.cut(End::Reset)),
            1 => with_line(&town, gateway, one, |line| line.cut(End::Fin)),
            2 => with_line(&town, gateway, one, Line::silence),
            3 | 4 => {
                with_line(&town, gateway, one, |line| line.hold(true));
                let (town, pause) = (Arc::clone(&town), world.ms(50..3_000));
                tokio::spawn(async move {
                    sleep(pause).await;
                    let held: Vec<Line> = lines(&town, gateway);
                    held.iter().for_each(|line| line.hold(false));
                });
            }
            5 => {
                town.kill(gateway);
                tokio::spawn(start_later(Arc::clone(&town), gateway, world.ms(10..2_000)));
            }
            6 => cut_off(&town, gateway, world.ms(50..3_000)),
            7 => {
                let is_running = town.storage.machine().running;
                if is_running {
                    town.storage.crash();
                    let (town, pause) = (Arc::clone(&town), world.ms(10..3_000));
                    tokio::spawn(async move {
                        sleep(pause).await;
                        restart(&town);
                    });
                }
            }
            8 => {
                let client = &clients[one as usize % clients.len()];
                let until = Clock.tokio() + world.ms(500..8_000);
                let mut client = client.lock().expect("no run goes on after a panic");
                world.note(format_args!("{} is slow", client.number));
                client.slow_until = Some(until);
            }
            9 => {
                world.note(format_args!("the log is trimmed"));
                town.storage.machine().trim(1 + (one % 40) as usize);
            }
            10 if one.is_multiple_of(4) && town.storage.machine().running => town.storage.reset(),
            11 => {
                let client = &clients[one as usize % clients.len()];
                client.lock().expect("no run goes on after a panic").reloads = true;
            }
            12 if one.is_multiple_of(3) && town.storage.machine().running => {
                town.storage.freeze(true);
                let (town, pause) = (Arc::clone(&town), world.ms(100..1_000));
                tokio::spawn(async move {
                    sleep(pause).await;
                    town.storage.freeze(false);
                });
            }
            13 => {
                let (town, pause) = (Arc::clone(&town), world.ms(10..2_000));
                tokio::spawn(async move {
                    town.drain(gateway).await;
                    sleep(pause).await;
                    start(&town, gateway);
                });
            }
            14 | 15 => {
                if let Some(apis) = &town.apis {
                    let (apis, pause) = (Arc::clone(apis), world.ms(10..2_000));
                    let index = apis.kill(one);
                    tokio::spawn(async move {
                        sleep(pause).await;
                        apis.restart(index);
                    });
                }
            }
            _ => {}
        }
    }
}

fn lines(town: &Town, gateway: usize) -> Vec<Line> {
    town.processes()[gateway].as_ref().map(|process| process.lines().clone()).unwrap_or_default()
}

fn with_line(town: &Town, gateway: usize, choice: u64, act: impl FnOnce(&Line)) {
    let lines = lines(town, gateway);
    if !lines.is_empty() {
        act(&lines[(choice >> 8) as usize % lines.len()]);
    }
}

async fn start_later(town: Arc<Town>, gateway: usize, pause: Duration) {
    sleep(pause).await;
    start(&town, gateway);
}

fn start(town: &Town, gateway: usize) {
    if town.processes()[gateway].is_none() {
        town.world.note(format_args!("gateway {gateway} starts"));
        let process = town.start();
        town.processes()[gateway] = Some(process);
    }
}

/// Nothing gets from a gateway to the store or back for a while.
fn cut_off(town: &Arc<Town>, gateway: usize, pause: Duration) {
    let Some(cut) = town.processes()[gateway].as_ref().map(|process| Arc::clone(&process.link.cut)) else {
        return;
    };
    town.world.note(format_args!("gateway {gateway} is cut off from the store"));
    cut.store(true, Ordering::Relaxed);
    town.world.stir();
    let (town, until) = (Arc::clone(town), Clock.tokio() + pause);
    tokio::spawn(async move {
        sleep_until(until).await;
        cut.store(false, Ordering::Relaxed);
        town.world.stir();
    });
}

fn restart(town: &Town) {
    let (running, promise) = {
        let machine = town.storage.machine();
        (machine.running, machine.promise)
    };
    if !running {
        let other_epoch = promise == Promise::Lossy || town.world.chance(50);
        town.storage.restart(other_epoch);
    }
}

/// Everything works again.
pub(super) fn mend(town: &Arc<Town>, clients: &[Arc<Mutex<Client>>]) {
    town.world.note(format_args!("everything is mended"));
    restart(town);
    town.storage.freeze(false);
    if let Some(apis) = &town.apis {
        apis.mend();
    }
    let gateways = town.processes().len();
    for gateway in 0..gateways {
        start(town, gateway);
        lines(town, gateway).iter().for_each(|line| line.hold(false));
        if let Some(process) = &town.processes()[gateway] {
            process.link.cut.store(false, Ordering::Relaxed);
        }
    }
    for client in clients {
        client.lock().expect("no run goes on after a panic").slow_until = None;
    }
    town.world.stir();
}
