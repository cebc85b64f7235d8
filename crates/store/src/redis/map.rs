//! Which server holds which key, as sentinels or a cluster's nodes tell it.

use std::collections::HashMap;

use crc::{CRC_16_XMODEM, Crc};
use redis::{FromRedisValue, Value};

use super::address::Node;

/// The slots of a cluster.
const SLOTS: u16 = 16_384;
const CRC: Crc<u16> = Crc::<u16>::new(&CRC_16_XMODEM);

/// Who holds what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Map {
    /// One server holds everything.
    One(Node),
    /// The masters of a cluster, each with a range of slots, in order.
    Slots(Vec<Range>),
}

/// Slots from `first` to `last`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Range {
    first: u16,
    last: u16,
    master: Node,
}

/// How much it counts what somebody told: who was cut off does not see everything held, or tells
/// of an earlier failover.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Age {
    /// Whether every slot is held, as far as it sees.
    pub(crate) whole: bool,
    /// A number that every failover raises.
    pub(crate) epoch: u64,
}

/// What somebody who knows told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Told {
    pub(crate) age: Age,
    pub(crate) map: Map,
    /// The most replicas that any of its masters could be followed by.
    pub(crate) replicas: u32,
}

impl Map {
    /// Who holds this key; anybody, where it does not matter.
    pub(crate) fn master(&self, key: &str) -> Option<&Node> {
        match self {
            Self::One(node) => Some(node),
            Self::Slots(ranges) => {
                let slot = slot(key);
                let found = ranges.iter().find(|range| (range.first..=range.last).contains(&slot));
                found.map(|range| &range.master)
            }
        }
    }

    /// Every master, each once.
    pub(crate) fn masters(&self) -> Vec<&Node> {
        let mut masters: Vec<&Node> = Vec::new();
        match self {
            Self::One(node) => masters.push(node),
            Self::Slots(ranges) => {
                for Range { master, .. } in ranges {
                    if !masters.contains(&master) {
                        masters.push(master);
                    }
                }
            }
        }
        masters
    }
}

impl Told {
    /// Who is believed of those who told something.
    pub(crate) fn latest(all: impl Iterator<Item = Self>) -> Option<Self> {
        all.max_by_key(|told| told.age)
    }

    /// Reads a sentinel's `SENTINEL MASTER` and `SENTINEL REPLICAS`.
    pub(crate) fn by_sentinel(
        master: &HashMap<String, String>,
        replicas: &[HashMap<String, String>],
    ) -> Option<Self> {
        let node = Node { host: master.get("ip")?.clone(), port: master.get("port")?.parse().ok()? };
        let epoch = master.get("config-epoch")?.parse().ok()?;
        let promotable = |replica: &&HashMap<String, String>| {
            replica.get("slave-priority").is_none_or(|priority| priority != "0")
        };
        let replicas = replicas.iter().filter(promotable).count();
        Some(Self {
            age: Age { whole: true, epoch },
            map: Map::One(node),
            replicas: replicas.try_into().ok()?,
        })
    }

    /// Reads a node's `CLUSTER INFO` and `CLUSTER SLOTS`; `asked` is that node.
    pub(crate) fn by_node(info: &str, slots: Vec<Value>, asked: &Node) -> Option<Self> {
        let field = |name: &str| {
            let mut lines = info.lines().filter_map(|line| line.trim().split_once(':'));
            lines.find(|(key, _)| *key == name).map(|(_, value)| value)
        };
        let whole = field("cluster_state")? == "ok";
        let age = Age { whole, epoch: field("cluster_current_epoch")?.parse().ok()? };
        let mut ranges = Vec::with_capacity(slots.len());
        let mut most = 0;
        for range in slots {
            let mut parts = Vec::<Value>::from_redis_value(range).ok()?.into_iter();
            let (first, last) = (read_number(parts.next()?)?, read_number(parts.next()?)?);
            let master = read_node(parts.next()?, asked)?;
            if first > last || last >= SLOTS {
                return None;
            }
            most = most.max(parts.len());
            ranges.push(Range { first, last, master });
        }
        ranges.sort_unstable_by_key(|range| range.first);
        Some(Self { age, map: Map::Slots(ranges), replicas: most.try_into().ok()? })
    }
}

/// Host, port, and more that does not matter. A node that does not know its own host leaves it out.
fn read_node(value: Value, asked: &Node) -> Option<Node> {
    let mut parts = Vec::<Value>::from_redis_value(value).ok()?.into_iter();
    let host = Option::<String>::from_redis_value(parts.next()?).ok()?;
    let port = read_number(parts.next()?)?;
    let host = host.filter(|host| !host.is_empty() && host != "?");
    Some(Node { host: host.unwrap_or_else(|| asked.host.clone()), port })
}

/// The library cuts what is too large.
fn read_number(value: Value) -> Option<u16> {
    i64::from_redis_value(value).ok()?.try_into().ok()
}

/// The slot of a key: by what stands in its first braces, where something does.
fn slot(key: &str) -> u16 {
    let tag = key.split_once('{').and_then(|(_, rest)| rest.split_once('}')).map(|(tag, _)| tag);
    CRC.checksum(tag.filter(|tag| !tag.is_empty()).unwrap_or(key).as_bytes()) % SLOTS
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(host: &str, port: u16) -> Node {
        Node { host: host.into(), port }
    }

    /// The values of the cluster specification, and what `CLUSTER KEYSLOT` answers.
    #[test]
    fn keys_have_the_slots_that_the_specification_gives_them() {
        assert_eq!(CRC.checksum(b"123456789"), 0x31c3);
        assert_eq!(slot("123456789"), 12_739);
        assert_eq!(slot("foo"), 12_182);
        assert_eq!(slot("pp:{foo}:x:log"), 12_182);
        assert_eq!(slot("{}foo"), CRC.checksum(b"{}foo") % SLOTS, "an empty tag is none");
        assert_eq!(slot("foo{bar}{zap}"), slot("bar"));
    }

    fn text(text: &str) -> Value {
        Value::BulkString(text.as_bytes().to_vec())
    }

    fn server(host: Value, port: i64) -> Value {
        Value::Array(vec![host, Value::Int(port), text("id"), Value::Array(vec![])])
    }

    #[test]
    fn a_clusters_ranges_lead_to_their_masters() {
        let slots = vec![
            Value::Array(vec![
                Value::Int(8_192),
                Value::Int(16_383),
                server(text(""), 2),
                server(text("c"), 3),
                server(text("d"), 4),
            ]),
            Value::Array(vec![Value::Int(0), Value::Int(8_191), server(text("a"), 1)]),
        ];
        let told = Told::by_node("cluster_state:ok\r\ncluster_current_epoch:7\r\n", slots, &node("me", 9));
        let told = told.expect("it can be read");
        assert_eq!((told.age, told.replicas), (Age { whole: true, epoch: 7 }, 2));
        assert_eq!(told.map.master("foo"), Some(&node("me", 2)), "12,182");
        assert_eq!(told.map.master("bar"), Some(&node("a", 1)), "5,061");
        assert_eq!(told.map.masters(), [&node("a", 1), &node("me", 2)]);
    }

    #[test]
    fn what_cannot_be_read_is_nothing() {
        let info = "cluster_state:ok\r\ncluster_current_epoch:7\r\n";
        let me = node("me", 9);
        for wrong in [
            Value::Nil,
            Value::Array(vec![]),
            Value::Array(vec![Value::Int(0), Value::Int(16_384), server(text("a"), 1)]),
            Value::Array(vec![Value::Int(5), Value::Int(4), server(text("a"), 1)]),
            Value::Array(vec![Value::Int(0), Value::Int(5), server(text("a"), 70_000)]),
        ] {
            assert_eq!(Told::by_node(info, vec![wrong.clone()], &me), None, "{wrong:?}");
        }
        assert_eq!(Told::by_node("cluster_state:ok\r\n", vec![], &me), None);
        assert_eq!(Told::by_sentinel(&HashMap::new(), &[]), None);
    }

    #[test]
    fn a_sentinel_tells_of_its_master_and_of_replicas_that_may_follow_it() {
        let map = |fields: &[(&str, &str)]| -> HashMap<String, String> {
            fields.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
        };
        let master = map(&[("ip", "10.0.0.1"), ("port", "6379"), ("config-epoch", "3")]);
        let replicas = [map(&[("slave-priority", "100")]), map(&[("slave-priority", "0")])];
        let told = Told::by_sentinel(&master, &replicas).expect("it can be read");
        assert_eq!(told.map, Map::One(node("10.0.0.1", 6_379)));
        assert_eq!((told.age, told.replicas), (Age { whole: true, epoch: 3 }, 1));
    }

    #[test]
    fn who_was_cut_off_is_not_believed_whoever_else_agrees() {
        let told = |whole, epoch, host: &str| Told {
            age: Age { whole, epoch },
            map: Map::One(node(host, 1)),
            replicas: 0,
        };
        let all =
            [told(true, 3, "old"), told(true, 4, "new"), told(true, 3, "old"), told(false, 9, "cut off")];
        let latest = Told::latest(all.into_iter()).expect("somebody is believed");
        assert_eq!(latest.map, Map::One(node("new", 1)));
        assert_eq!(Told::latest(std::iter::empty()), None);
    }
}
