//! What gateways of other processes say of who is there, and what this one says to them.

use std::sync::{Arc, Weak};
use std::time::Duration;

use pixel_canvas::{CanvasId, Name};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;
use tracing::debug;

use super::Gateway;
use super::presence::Word;

/// How often it is looked what there is to say.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);
/// The first byte of a message. Another layout is another version, and is not understood.
const VERSION: u8 = 1;

/// Both ends of a line to the gateways of other processes, and to this one. Messages may be lost.
#[derive(Debug)]
pub(crate) struct Line {
    pub(crate) publish: mpsc::Sender<Vec<u8>>,
    pub(crate) received: mpsc::Receiver<Vec<u8>>,
}

/// One gateway's word on one canvas.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Message {
    gateway: u64,
    canvas: String,
    sockets: u32,
    people: Vec<(u32, Name)>,
}

/// Speaks and listens for as long as the gateway lives.
pub(super) async fn run(gateway: Weak<Gateway>, number: u64, mut line: Line) {
    let mut look = tokio::time::interval(LOOK_INTERVAL);
    loop {
        tokio::select! {
            biased;
            _ = look.tick() => {
                let Some(gateway) = gateway.upgrade() else { return };
                say(&gateway, number, &line.publish);
            }
            heard = line.received.recv() => {
                let (Some(bytes), Some(gateway)) = (heard, gateway.upgrade()) else { return };
                hear(&gateway, number, &bytes);
            }
        }
    }
}

fn hear(gateway: &Arc<Gateway>, number: u64, bytes: &[u8]) {
    let Some(message) = decode(bytes) else {
        return debug!("a message of another version, or rubbish, was heard from another gateway");
    };
    let Some(canvas) = CanvasId::parse(&message.canvas).filter(|_| message.gateway != number) else { return };
    let channel = gateway.channels().get(&canvas).map(|followed| Arc::clone(&followed.channel));
    // Where nobody is here, nobody wants to know; later it is said again.
    if let Some(channel) = channel {
        let word = Word { sockets: message.sockets, people: message.people };
        channel.roster(|roster| roster.hear(message.gateway, word, gateway.needs.clock.now()));
    }
}

/// Says what changed, and forgets who has been silent for too long.
pub(super) fn say(gateway: &Gateway, number: u64, publish: &mpsc::Sender<Vec<u8>>) {
    let now = gateway.needs.clock.now();
    for (canvas, followed) in gateway.channels().iter() {
        let (word, forgot) =
            followed.channel.roster_quietly(|roster| (roster.say(now), roster.forget_silent(now)));
        if forgot {
            followed.channel.roster_changed.notify_one();
        }
        if let Some(Word { sockets, people }) = word {
            let message = Message { gateway: number, canvas: canvas.to_string(), sockets, people };
            // A line that is full loses it; it is said again.
            drop(publish.try_send(encode(&message)));
        }
    }
}

fn encode(message: &Message) -> Vec<u8> {
    postcard::to_extend(message, vec![VERSION]).expect("memory takes plain fields")
}

fn decode(bytes: &[u8]) -> Option<Message> {
    let (&version, fields) = bytes.split_first()?;
    (version == VERSION).then(|| postcard::from_bytes(fields).ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_comes_back_as_it_was_and_rubbish_does_not() {
        let people = vec![(5, Name::parse("Ann").expect("a name"))];
        let message = Message { gateway: u64::MAX, canvas: "main".into(), sockets: 9, people };
        let bytes = encode(&message);
        for end in 0..bytes.len() {
            assert_eq!(decode(&bytes[..end]), None, "{end} bytes");
        }
        let mut newer = bytes.clone();
        newer[0] = VERSION + 1;
        assert_eq!(decode(&newer), None);
        assert_eq!(decode(&bytes), Some(message));
    }

    #[test]
    fn fuzz_presence() {
        let people = vec![(5, Name::parse("Ann").expect("a name"))];
        let message = Message { gateway: u64::MAX, canvas: "main".into(), sockets: 9, people };
        crate::run::fuzz("presence", &[encode(&message)], |bytes| {
            let Some(message) = decode(bytes) else { return };
            assert_eq!(decode(&encode(&message)), Some(message));
        });
    }
}
