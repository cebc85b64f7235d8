//! What gateways tell each other of who is there: over a line that loses words.

use std::sync::{Arc, Mutex};

use tokio::sync::mpsc;
use tokio::time::sleep;

use super::world::World;
use crate::gateway::others::Line;

/// Words under way between a gateway and the line.
const WORDS_MAX: usize = 64;
/// How often a word does not reach one of the others, in percent.
const LOST_PERCENT: u64 = 10;

/// Everybody who listens; who is gone is forgotten when nothing reaches it.
#[derive(Clone)]
pub(super) struct Voices {
    world: Arc<World>,
    listeners: Arc<Mutex<Vec<mpsc::Sender<Vec<u8>>>>>,
}

impl Voices {
    pub(super) fn new(world: Arc<World>) -> Self {
        Self { world, listeners: Arc::default() }
    }

    /// A gateway's line to the others.
    pub(super) fn join(&self) -> Line {
        let (publish, mut said) = mpsc::channel::<Vec<u8>>(WORDS_MAX);
        let (listener, received) = mpsc::channel(WORDS_MAX);
        self.listeners.lock().expect("no run goes on after a panic").push(listener);
        let voices = self.clone();
        tokio::spawn(async move {
            while let Some(word) = said.recv().await {
                sleep(voices.world.ms(0..5)).await;
                let mut listeners = voices.listeners.lock().expect("no run goes on after a panic");
                listeners.retain(|listener| {
                    let lost = voices.world.chance(LOST_PERCENT);
                    // One that is full loses it too.
                    lost || !matches!(
                        listener.try_send(word.clone()),
                        Err(mpsc::error::TrySendError::Closed(_))
                    )
                });
            }
        });
        Line { publish, received }
    }
}
