//! What was accepted under which key, for as long as a retry may come.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};

use pixel_canvas::{Epoch, Identity, Key, Placement, Sequence, Timestamp, Turn};
use sha2::{Digest, Sha256};

use super::bytes::Input;
use super::row::{put_placements, put_turn};
use crate::{Act, SubmissionKey};

/// How long a key that a client chose is remembered, in milliseconds.
pub(crate) const CLIENT_KEY_MS: u64 = 600_000;
/// How long a key that a gateway made is remembered, in milliseconds.
pub(crate) const GATEWAY_KEY_MS: u64 = 60_000;
/// The most keys of its own choice that an identity may have under way on one canvas.
pub(crate) const CLIENT_KEYS_MAX: u32 = 10_000;
/// The most records of one canvas; some 200 bytes each.
pub(crate) const RECORDS_MAX: usize = 4_000_000;

/// What tells two payloads apart: the first 16 bytes of the SHA-256 of the placements, or of what
/// is to be retraced. The name is not part of it: who was renamed on the way still retries the same
/// submission.
pub(crate) type Fingerprint = [u8; 16];

/// The fingerprint of an act.
pub(crate) fn fingerprint(act: &Act) -> Fingerprint {
    match act {
        Act::Place(placements) => fingerprint_of_placements(placements),
        Act::Retrace { turn, count } => fingerprint_of_turn(*turn, *count),
    }
}

/// The fingerprint of these placements.
pub(crate) fn fingerprint_of_placements(placements: &[Placement]) -> Fingerprint {
    let mut bytes = Vec::with_capacity(placements.len() * 7);
    put_placements(&mut bytes, placements);
    digest(&bytes)
}

/// The fingerprint of so many steps to retrace. Placements take 7 bytes each: none are these three.
pub(crate) fn fingerprint_of_turn(turn: Turn, count: u16) -> Fingerprint {
    let [low, high] = count.to_le_bytes();
    digest(&[put_turn(turn), low, high])
}

fn digest(bytes: &[u8]) -> Fingerprint {
    *Sha256::digest(bytes).first_chunk().expect("SHA-256 has 32 bytes")
}

/// An acknowledgement that can be given again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) fingerprint: Fingerprint,
    pub(crate) first: Sequence,
    pub(crate) count: u32,
    pub(crate) epoch: Epoch,
    pub(crate) at: Timestamp,
    pub(crate) client: bool,
}

impl Record {
    /// The last moment at which a retry finds it.
    fn until(&self) -> Timestamp {
        self.at.plus(if self.client { CLIENT_KEY_MS } else { GATEWAY_KEY_MS })
    }
}

/// Some records on their way to rest.
#[derive(Debug)]
pub(crate) struct Blob {
    /// The last moment that any of them is kept to.
    pub(crate) until: Timestamp,
    /// The sequence of the earliest; no other blob of the canvas has it.
    pub(crate) from: Sequence,
    pub(crate) bytes: Vec<u8>,
}

/// Whose key.
type Owner = (Identity, Key);

/// The records of one canvas.
#[derive(Debug, Default)]
pub(crate) struct Records {
    kept: HashMap<Owner, Record>,
    /// In the order of their end, since all of a queue are kept equally long.
    clients: VecDeque<Owner>,
    gateways: VecDeque<Owner>,
    of_identity: HashMap<Identity, u32>,
    /// Made since they were saved last, oldest first.
    unsaved: VecDeque<Owner>,
}

impl Records {
    /// The record of a key.
    pub(crate) fn get(&self, identity: Identity, key: Key) -> Option<&Record> {
        self.kept.get(&(identity, key))
    }

    /// Whether one more can be kept for this identity.
    pub(crate) fn has_room_for(&self, identity: Identity, key: SubmissionKey) -> bool {
        let own = match key {
            SubmissionKey::Client(_) => self.of_identity.get(&identity).copied().unwrap_or(0),
            SubmissionKey::Gateway(_) => 0,
        };
        own < CLIENT_KEYS_MAX && self.kept.len() < RECORDS_MAX
    }

    /// Keeps a record; one that is there already stays.
    pub(crate) fn keep(&mut self, identity: Identity, key: Key, record: Record) {
        let owner = (identity, key);
        if self.kept.contains_key(&owner) {
            return;
        }
        if record.client {
            *self.of_identity.entry(identity).or_default() += 1;
        }
        self.queue(record.client).push_back(owner);
        self.kept.insert(owner, record);
        self.unsaved.push_back(owner);
    }

    /// Forgets what no retry may ask for any more.
    pub(crate) fn expire(&mut self, now: Timestamp) {
        for client in [true, false] {
            while let Some(owner) = self.queue(client).front().copied() {
                if self.kept[&owner].until() >= now {
                    break;
                }
                self.queue(client).pop_front();
                let record = self.kept.remove(&owner).expect("a queue names what is kept");
                if record.client {
                    self.release(owner.0);
                }
            }
        }
    }

    fn queue(&mut self, client: bool) -> &mut VecDeque<Owner> {
        if client { &mut self.clients } else { &mut self.gateways }
    }

    /// One key of this identity fewer.
    fn release(&mut self, identity: Identity) {
        if let Entry::Occupied(mut count) = self.of_identity.entry(identity) {
            *count.get_mut() -= 1;
            if *count.get() == 0 {
                count.remove();
            }
        }
    }

    /// How many are kept.
    pub(crate) fn len(&self) -> usize {
        self.kept.len()
    }

    /// How many are not saved.
    pub(crate) fn unsaved(&self) -> usize {
        self.unsaved.len()
    }

    /// The oldest `count` records that are not saved, as a blob; `None` when none of them is kept
    /// any more.
    pub(crate) fn take_unsaved(&mut self, count: usize) -> Option<Blob> {
        let mut blob = Blob { until: Timestamp::default(), from: Sequence(u64::MAX), bytes: Vec::new() };
        for (identity, key) in self.unsaved.drain(..count.min(self.unsaved.len())) {
            let Some(record) = self.kept.get(&(identity, key)) else { continue };
            blob.until = blob.until.max(record.until());
            blob.from = blob.from.min(record.first);
            let out = &mut blob.bytes;
            out.extend_from_slice(&identity.0);
            out.extend_from_slice(&key.0);
            out.extend_from_slice(&record.fingerprint);
            out.extend_from_slice(&record.first.0.to_le_bytes());
            out.extend_from_slice(&record.count.to_le_bytes());
            out.extend_from_slice(&record.epoch.0.to_le_bytes());
            out.extend_from_slice(&record.at.0.to_le_bytes());
            out.push(u8::from(record.client));
        }
        (!blob.bytes.is_empty()).then_some(blob)
    }

    /// Takes a blob in again, each after those saved before it; `None` when it is not one.
    pub(crate) fn load(&mut self, blob: &[u8]) -> Option<()> {
        let mut input = Input(blob);
        while !input.0.is_empty() {
            let (identity, key) = (Identity(input.array()?), Key(input.array()?));
            let record = Record {
                fingerprint: input.array()?,
                first: Sequence(input.u64()?),
                count: input.u32()?,
                epoch: Epoch(input.u64()?),
                at: Timestamp(input.u64()?),
                client: input.u8()? != 0,
            };
            self.keep(identity, key, record);
        }
        self.unsaved.clear();
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_loaded_is_saved_already() {
        let mut records = Records::default();
        let fingerprint = fingerprint_of_placements(&[]);
        let (epoch, at) = (Epoch(1), Timestamp(1));
        for number in 0..5 {
            let first = Sequence(u64::from(number) + 1);
            let record = Record { fingerprint, first, count: 1, epoch, at, client: true };
            records.keep(Identity([number; 16]), Key([number; 16]), record);
        }
        let blobs =
            [records.take_unsaved(3), records.take_unsaved(3)].map(|blob| blob.expect("five were made"));
        assert_eq!(records.unsaved(), 0);
        assert_eq!(blobs[0].until, Timestamp(1 + CLIENT_KEY_MS));
        assert_eq!((blobs[0].from, blobs[1].from), (Sequence(1), Sequence(4)));
        let mut loaded = Records::default();
        for (blob, count) in blobs.iter().zip([3, 5]) {
            assert_eq!(loaded.load(&blob.bytes), Some(()));
            assert_eq!(loaded.len(), count);
        }
        assert_eq!(loaded.unsaved(), 0);
        assert_eq!(loaded.load(&blobs[0].bytes[1..]), None, "not a whole number of records");
    }
}
