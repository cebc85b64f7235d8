//! Where a request really comes from, and how many sockets each address holds.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError};

use axum::http::HeaderMap;

/// `X-Forwarded-For` is read at most this many addresses deep.
const FORWARDED_ADDRESSES_MAX: usize = 32;

/// A network in CIDR notation, or one address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Network {
    base: IpAddr,
    prefix_bits: u8,
}

impl Network {
    fn holds(self, ip: IpAddr) -> bool {
        let (base, ip, width) = match (self.base, ip) {
            (IpAddr::V4(base), IpAddr::V4(ip)) => (u128::from(base.to_bits()), u128::from(ip.to_bits()), 32),
            (IpAddr::V6(base), IpAddr::V6(ip)) => (base.to_bits(), ip.to_bits(), 128),
            _ => return false,
        };
        let host_bits = width - u32::from(self.prefix_bits);
        base.checked_shr(host_bits).unwrap_or(0) == ip.checked_shr(host_bits).unwrap_or(0)
    }
}

impl FromStr for Network {
    type Err = String;

    fn from_str(raw: &str) -> Result<Self, String> {
        let wrong = || format!("{raw:?} is not a network: write 10.0.0.0/8, fd00::/8 or one address");
        let (base, bits) = match raw.split_once('/') {
            Some((base, bits)) => (base, Some(bits)),
            None => (raw, None),
        };
        let base: IpAddr = base.trim().parse().map_err(|_| wrong())?;
        let width = if base.is_ipv4() { 32 } else { 128 };
        let prefix_bits = match bits {
            None => width,
            Some(bits) => bits.trim().parse().ok().filter(|bits| *bits <= width).ok_or_else(wrong)?,
        };
        Ok(Self { base, prefix_bits })
    }
}

/// The proxies whose word on where a request came from is believed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct TrustedProxies(pub(crate) Vec<Network>);

impl TrustedProxies {
    /// Whether this address is one of the proxies.
    pub(crate) fn trusts(&self, ip: IpAddr) -> bool {
        let ip = ip.to_canonical();
        self.0.iter().any(|network| network.holds(ip))
    }

    /// The address that a request came from, as far as it can be believed.
    ///
    /// `X-Forwarded-For` is read from the right: each proxy appends who spoke to it, so everything
    /// left of the first address that is not a trusted proxy may be invented.
    pub(crate) fn client(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        let mut client = peer.to_canonical();
        let lines = headers.get_all("x-forwarded-for").iter().rev();
        let hops =
            lines.flat_map(|line| line.to_str().unwrap_or("?").rsplit(',')).take(FORWARDED_ADDRESSES_MAX);
        for hop in hops {
            if !self.trusts(client) {
                break;
            }
            // What is no address was not written by a proxy of ours: the proxy is all we know.
            let Some(ip) = parse_hop(hop) else { break };
            client = ip;
        }
        client
    }
}

/// An address as proxies write it: bare, in brackets, or with a port.
fn parse_hop(raw: &str) -> Option<IpAddr> {
    let raw = raw.trim();
    let bare = raw.strip_prefix('[').and_then(|raw| raw.strip_suffix(']')).unwrap_or(raw);
    let ip = bare.parse().ok().or_else(|| raw.parse::<std::net::SocketAddr>().ok().map(|socket| socket.ip()));
    ip.map(|ip: IpAddr| ip.to_canonical())
}

/// What counts as one address: itself for IPv4, its /64 for IPv6, where a person owns so many.
pub(crate) fn group(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V4(ip) => ip.into(),
        IpAddr::V6(ip) => Ipv6Addr::from_bits(ip.to_bits() & !u128::from(u64::MAX)).into(),
    }
}

/// How many sockets each address has open. Bounded by the sockets themselves.
#[derive(Clone, Debug)]
pub(crate) struct AddressConnections {
    max: u32,
    open: Arc<Mutex<Open>>,
}

/// The addresses that have sockets, and how many. A std Mutex around it: held for one map operation, never
/// across .await.
type Open = HashMap<IpAddr, (u32, Arc<Counted>)>;

/// What all sockets of an address share, so that each of them keeps no more than a pointer.
#[derive(Debug)]
struct Counted {
    ip: IpAddr,
    among: Arc<Mutex<Open>>,
}

impl AddressConnections {
    /// At most `max` sockets per address.
    pub(crate) fn new(max: u32) -> Self {
        Self { max, open: Arc::default() }
    }

    /// Sockets of the address that has most.
    pub(crate) fn most(&self) -> u32 {
        let open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.values().map(|(count, _)| *count).max().unwrap_or(0)
    }

    /// Counts one more socket for this address until the guard is dropped; `None` at the limit.
    pub(crate) fn enter(&self, ip: IpAddr) -> Option<AddressGuard> {
        let ip = group(ip);
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if open.get(&ip).map_or(0, |(count, _)| *count) >= self.max {
            return None;
        }
        let (count, counted) =
            open.entry(ip).or_insert_with(|| (0, Arc::new(Counted { ip, among: Arc::clone(&self.open) })));
        *count += 1;
        Some(AddressGuard(Arc::clone(counted)))
    }
}

/// One open socket of an address.
#[derive(Debug)]
pub(crate) struct AddressGuard(Arc<Counted>);

impl Drop for AddressGuard {
    fn drop(&mut self) {
        let mut open = self.0.among.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((count, _)) = open.get_mut(&self.0.ip) {
            *count -= 1;
            if *count == 0 {
                open.remove(&self.0.ip);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(proxies: &[&str], peer: &str, forwarded: &[&str]) -> String {
        let proxies = TrustedProxies(proxies.iter().map(|n| n.parse().expect("a network")).collect());
        let mut headers = HeaderMap::new();
        for line in forwarded {
            headers.append("x-forwarded-for", line.parse().expect("a header"));
        }
        proxies.client(peer.parse().expect("an address"), &headers).to_string()
    }

    #[test]
    fn without_trusted_proxies_the_header_is_an_invention() {
        assert_eq!(client(&[], "198.51.100.7", &["1.2.3.4"]), "198.51.100.7");
    }

    #[test]
    fn the_header_is_read_from_the_right_and_a_forged_left_is_ignored() {
        let proxies = ["10.0.0.0/8"];
        assert_eq!(client(&proxies, "10.0.0.1", &["6.6.6.6, 203.0.113.9"]), "203.0.113.9");
        assert_eq!(client(&proxies, "10.0.0.1", &["6.6.6.6, 203.0.113.9, 10.2.2.2"]), "203.0.113.9");
        assert_eq!(client(&proxies, "10.0.0.1", &["6.6.6.6", "203.0.113.9"]), "203.0.113.9");
        assert_eq!(client(&proxies, "::ffff:10.0.0.1", &["203.0.113.9:4711"]), "203.0.113.9");
        assert_eq!(client(&["fd00::/8"], "fd00::1", &["[2001:db8::5]"]), "2001:db8::5");
    }

    #[test]
    fn rubbish_in_the_header_leaves_the_last_address_that_is_certain() {
        assert_eq!(client(&["10.0.0.0/8"], "10.0.0.1", &["203.0.113.9, unknown"]), "10.0.0.1");
        assert_eq!(client(&["10.0.0.0/8"], "10.0.0.1", &["203.0.113.9, ,"]), "10.0.0.1");
    }

    #[test]
    fn networks_hold_their_own_and_wrong_ones_are_refused() {
        let holds = |network: &str, ip: &str| {
            network.parse::<Network>().expect("a network").holds(ip.parse().expect("an address"))
        };
        assert!(holds("0.0.0.0/0", "8.8.8.8") && holds("::/0", "2001:db8::1"));
        assert!(holds("192.168.1.0/24", "192.168.1.255") && !holds("192.168.1.0/24", "192.168.2.0"));
        assert!(holds("127.0.0.1", "127.0.0.1") && !holds("127.0.0.1", "127.0.0.2"));
        assert!(!holds("0.0.0.0/0", "::1"));
        for wrong in ["", "10.0.0.0/33", "::/129", "10.0.0.0/-1", "example.org", "10.0.0.0/8/8"] {
            assert!(wrong.parse::<Network>().is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn a_household_of_ipv6_addresses_is_one_address() {
        let group = |ip: &str| group(ip.parse().expect("an address")).to_string();
        assert_eq!(group("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::");
        assert_eq!(group("::ffff:192.0.2.1"), "192.0.2.1");
    }

    #[test]
    fn an_address_gets_its_sockets_back_when_they_close() {
        let connections = AddressConnections::new(2);
        let ip: IpAddr = "2001:db8::1".parse().expect("an address");
        let neighbour: IpAddr = "2001:db8::2".parse().expect("an address");
        let first = connections.enter(ip).expect("the first of two");
        let _second = connections.enter(neighbour).expect("the second of two");
        assert!(connections.enter(ip).is_none());
        assert!(connections.enter("192.0.2.1".parse().expect("an address")).is_some());
        assert_eq!(connections.most(), 2);
        drop(first);
        assert_eq!(connections.most(), 1);
        assert!(connections.enter(ip).is_some());
    }

    #[test]
    fn fuzz_forwarded_for() {
        let seeds = ["6.6.6.6, 203.0.113.9, 10.2.2.2", "[2001:db8::5]:443\n203.0.113.9:4711", "10.0.0.0/8"];
        crate::run::fuzz("forwarded_for", &seeds.map(|seed| seed.as_bytes().to_vec()), |bytes| {
            let mut headers = HeaderMap::new();
            for line in bytes.split(|byte| *byte == b'\n') {
                if let Ok(value) = axum::http::HeaderValue::from_bytes(line) {
                    headers.append("x-forwarded-for", value);
                }
            }
            let proxies = TrustedProxies(vec!["10.0.0.0/8".parse().expect("a network")]);
            let stranger: IpAddr = "198.51.100.7".parse().expect("an address");
            assert_eq!(proxies.client(stranger, &headers), stranger, "nobody else is believed");
            let _ = group(proxies.client("10.0.0.1".parse().expect("an address"), &headers));
            if let Some(Ok(network)) = std::str::from_utf8(bytes).ok().map(str::parse::<Network>) {
                let _ = network.holds(stranger);
            }
        });
    }
}
