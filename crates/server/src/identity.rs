//! Who a caller is: signed guests, the guest of an address, and the host.

use std::net::IpAddr;

use axum::http::{HeaderMap, header};
use hmac::{Hmac, KeyInit, Mac};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation, decode, encode};
use pixel_canvas::{Address, Author, Identity, Timestamp};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::address::group;

/// Bytes of the key that signs guests.
pub(crate) const IDENTITY_KEY_BYTES: usize = 32;
/// How long a guest's token is good for: 365 days.
pub(crate) const GUEST_LIFETIME_MS: u64 = 365 * 24 * 60 * 60 * 1_000;
/// The page's cookie that carries the guest's token.
pub(crate) const GUEST_COOKIE: &str = "guest";
/// Tokens longer than this are not looked at.
const TOKEN_BYTES_MAX: usize = 1_024;

const ISSUER: &str = "pixel-playground";
const AUDIENCE: &str = "pixel-playground guest";

/// The key that signs guests and hides addresses: 32 random bytes, the same in every process.
#[derive(Clone)]
pub(crate) struct IdentityKey(pub(crate) [u8; IDENTITY_KEY_BYTES]);

/// A guest, fresh or known, with the token to come back with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Guest {
    /// What the guest shows to be the same guest again.
    pub(crate) token: String,
    /// Who the guest is.
    pub(crate) identity: Identity,
    /// When the token stops being good.
    pub(crate) expires: Timestamp,
}

/// Who sent a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Caller {
    /// As the limits need it.
    pub(crate) author: Author,
    /// A guest made just now, who has no token yet.
    pub(crate) fresh: bool,
}

/// A token was shown that is not good, or no longer: 401.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the token is not valid, or no longer: get another with POST /api/guests")]
pub(crate) struct InvalidToken;

/// Whether a request comes from the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HostCheck {
    /// It carries the host's token.
    Host,
    /// It carries no token: 401.
    NoToken,
    /// It carries another token: 403.
    OtherToken,
    /// This process knows no host, so nobody is: 403.
    NoHost,
}

/// The bearer token of the host, kept as its hash, so that comparing takes the same time for all.
#[derive(Clone)]
pub(crate) struct HostToken(Option<[u8; 32]>);

impl HostToken {
    /// The token in `text`, trimmed; without one nobody is the host.
    pub(crate) fn new(text: Option<&str>) -> Self {
        Self(text.map(|text| Sha256::digest(text.trim()).into()))
    }

    /// Whether the request's bearer token is the host's.
    pub(crate) fn check(&self, headers: &HeaderMap) -> HostCheck {
        match (self.0, bearer(headers)) {
            (None, _) => HostCheck::NoHost,
            (Some(_), None) => HostCheck::NoToken,
            (Some(_), Some(token)) if self.is(token) => HostCheck::Host,
            (Some(_), Some(_)) => HostCheck::OtherToken,
        }
    }

    fn is(&self, token: &str) -> bool {
        let shown: [u8; 32] = Sha256::digest(token).into();
        self.0.is_some_and(|expected| expected.ct_eq(&shown).into())
    }
}

#[derive(Serialize, Deserialize)]
struct Claims {
    iss: String,
    aud: String,
    /// The identity, 32 hex digits.
    sub: String,
    /// When the guest was made, Unix milliseconds.
    since: u64,
    /// Unix seconds.
    exp: u64,
}

/// Makes and recognises guests; knows the host.
pub(crate) struct Identities {
    key: IdentityKey,
    host: HostToken,
    signing: EncodingKey,
    checking: DecodingKey,
    validation: Validation,
}

impl Identities {
    /// Guests signed with `key`; the host is who shows `host`.
    pub(crate) fn new(key: IdentityKey, host: HostToken) -> Self {
        let secret = derive(&key, b"guest tokens", b"");
        let mut validation = Validation::new(Algorithm::HS256);
        validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        validation.set_issuer(&[ISSUER]);
        validation.set_audience(&[AUDIENCE]);
        // `verify` compares `exp` itself, with the time it is given.
        validation.validate_exp = false;
        Self {
            key,
            host,
            signing: EncodingKey::from_secret(&secret),
            checking: DecodingKey::from_secret(&secret),
            validation,
        }
    }

    /// A guest who did not exist before.
    pub(crate) fn issue(&self, now: Timestamp) -> Guest {
        let identity = Identity(rand::random());
        Guest { token: self.sign(identity, now), identity, expires: now.plus(GUEST_LIFETIME_MS) }
    }

    /// The token of the guest who was made at `since`.
    pub(crate) fn sign(&self, guest: Identity, since: Timestamp) -> String {
        let claims = Claims {
            iss: ISSUER.to_owned(),
            aud: AUDIENCE.to_owned(),
            sub: format!("{guest:?}"),
            since: since.0,
            exp: since.plus(GUEST_LIFETIME_MS).0 / 1_000,
        };
        encode(&Header::new(Algorithm::HS256), &claims, &self.signing)
            .expect("five plain claims are JSON and any secret signs")
    }

    /// Whose token this is and when that guest was made; `None` when it is not ours or expired.
    pub(crate) fn verify(&self, token: &str, now: Timestamp) -> Option<(Identity, Timestamp)> {
        if token.len() > TOKEN_BYTES_MAX {
            return None;
        }
        let claims: Claims = decode(token, &self.checking, &self.validation).ok()?.claims;
        if claims.exp.saturating_mul(1_000) <= now.0 {
            return None;
        }
        Some((parse_identity(&claims.sub)?, Timestamp(claims.since)))
    }

    /// Who sent a REST call: its token's guest, the host, its cookie's guest, or its address' guest.
    pub(crate) fn caller(
        &self,
        headers: &HeaderMap,
        ip: IpAddr,
        now: Timestamp,
    ) -> Result<Caller, InvalidToken> {
        let author = match self.known(headers, ip, now)? {
            Some(author) => author,
            None => {
                Author { identity: self.identity_of(ip), address: Some(self.address_of(ip)), since: None }
            }
        };
        Ok(Caller { author, fresh: false })
    }

    /// Who opens a socket: the same, but a fresh guest where nothing says who.
    pub(crate) fn for_socket(
        &self,
        headers: &HeaderMap,
        ip: IpAddr,
        now: Timestamp,
    ) -> Result<Caller, InvalidToken> {
        if let Some(author) = self.known(headers, ip, now)? {
            return Ok(Caller { author, fresh: false });
        }
        let (identity, address) = (Identity(rand::random()), Some(self.address_of(ip)));
        Ok(Caller { author: Author { identity, address, since: Some(now) }, fresh: true })
    }

    /// The author that a token names for somebody at `ip`; `None` when the token is not good.
    pub(crate) fn author(&self, token: &str, ip: IpAddr, now: Timestamp) -> Option<Author> {
        let (identity, since) = self.verify(token, now)?;
        Some(Author { identity, address: Some(self.address_of(ip)), since: Some(since) })
    }

    /// Whether the page's cookie names a guest.
    pub(crate) fn has_cookie(&self, headers: &HeaderMap, now: Timestamp) -> bool {
        cookie(headers).any(|token| self.verify(token, now).is_some())
    }

    /// Whether the request comes from the host.
    pub(crate) fn host(&self, headers: &HeaderMap) -> HostCheck {
        self.host.check(headers)
    }

    /// Seals a call between processes, in hex: only who has the key can.
    pub(crate) fn seal(&self, body: &[u8]) -> String {
        derive(&self.key, b"placements", body).iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Whether this is the body's seal.
    pub(crate) fn is_sealed(&self, body: &[u8], seal: &str) -> bool {
        self.seal(body).as_bytes().ct_eq(seal.as_bytes()).into()
    }

    /// The opaque number that stands for an address, so that no address is ever stored.
    pub(crate) fn address_of(&self, ip: IpAddr) -> Address {
        Address(short(derive(&self.key, b"address", group(ip).to_string().as_bytes())))
    }

    fn known(&self, headers: &HeaderMap, ip: IpAddr, now: Timestamp) -> Result<Option<Author>, InvalidToken> {
        if let Some(token) = bearer(headers) {
            if self.host.is(token) {
                let identity = Identity(short(derive(&self.key, b"host", b"")));
                return Ok(Some(Author { identity, address: None, since: None }));
            }
            return self.author(token, ip, now).map(Some).ok_or(InvalidToken);
        }
        Ok(cookie(headers).find_map(|token| self.author(token, ip, now)))
    }

    fn identity_of(&self, ip: IpAddr) -> Identity {
        Identity(short(derive(&self.key, b"guest of address", group(ip).to_string().as_bytes())))
    }
}

/// HMAC-SHA256 of `data`, separate for each purpose.
fn derive(key: &IdentityKey, purpose: &[u8], data: &[u8]) -> [u8; 32] {
    let mut mac = Hmac::<Sha256>::new_from_slice(&key.0).expect("HMAC takes keys of any length");
    mac.update(purpose);
    mac.update(&[0]);
    mac.update(data);
    mac.finalize().into_bytes().into()
}

fn short(hash: [u8; 32]) -> [u8; 16] {
    let (half, _) = hash.split_first_chunk().expect("32 bytes hold 16");
    *half
}

fn parse_identity(hex: &str) -> Option<Identity> {
    let plain = hex.len() == 32 && hex.bytes().all(|b| b.is_ascii_hexdigit());
    plain.then(|| u128::from_str_radix(hex, 16).ok().map(|number| Identity(number.to_be_bytes())))?
}

/// The token of `Authorization: Bearer TOKEN`.
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().unwrap_or("Bearer ?");
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// Every `guest` cookie of a request; a browser may send an old one of another path besides ours.
fn cookie(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .filter_map(|(name, token)| (name == GUEST_COOKIE).then_some(token))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_800_000_000_000);

    fn identities(key: u8) -> Identities {
        Identities::new(IdentityKey([key; 32]), HostToken::new(Some("open sesame\n")))
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    fn with(name: header::HeaderName, value: &str) -> HeaderMap {
        HeaderMap::from_iter([(name, value.parse().expect("a header"))])
    }

    #[test]
    fn a_guest_comes_back_as_the_same_guest_until_the_token_expires() {
        let identities = identities(1);
        let guest = identities.issue(NOW);
        assert_eq!(identities.verify(&guest.token, NOW.plus(5)), Some((guest.identity, NOW)));
        assert_eq!(identities.verify(&guest.token, guest.expires), None);
        assert_ne!(identities.issue(NOW).identity, guest.identity);
    }

    #[test]
    fn tokens_of_another_key_and_tampered_or_unsigned_ones_are_nobody() {
        let (ours, theirs) = (identities(1), identities(2));
        assert_eq!(ours.verify(&theirs.issue(NOW).token, NOW), None);
        let token = ours.issue(NOW).token;
        let payload = token.split('.').nth(1).expect("a payload");
        // {"alg":"none","typ":"JWT"}
        let unsigned = format!("eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0.{payload}.");
        for forged in [&token[..token.len() - 2], &unsigned, "", "a.b.c", &"x".repeat(5_000)] {
            assert_eq!(ours.verify(forged, NOW), None, "{forged}");
        }
    }

    #[test]
    fn tokens_for_other_purposes_signed_by_the_same_key_are_nobody() {
        let identities = identities(1);
        let claims = |iss: &str, aud: &str| Claims {
            iss: iss.into(),
            aud: aud.into(),
            sub: "00".repeat(16),
            since: 0,
            exp: NOW.0,
        };
        let token = |claims: &Claims, algorithm| {
            encode(&Header::new(algorithm), claims, &identities.signing).expect("a token")
        };
        assert!(identities.verify(&token(&claims(ISSUER, AUDIENCE), Algorithm::HS256), NOW).is_some());
        for wrong in [
            token(&claims(ISSUER, AUDIENCE), Algorithm::HS512),
            token(&claims("someone", AUDIENCE), Algorithm::HS256),
            token(&claims(ISSUER, "gateway"), Algorithm::HS256),
        ] {
            assert_eq!(identities.verify(&wrong, NOW), None);
        }
    }

    #[test]
    fn a_rest_call_is_its_bearer_else_its_cookie_else_its_address() {
        let identities = identities(1);
        let (a, b) = (identities.issue(NOW), identities.issue(NOW));
        let mut headers = with(header::COOKIE, &format!("theme=dark; guest={}", a.token));
        let identity = |headers: &HeaderMap, from: &str| {
            identities.caller(headers, ip(from), NOW).map(|caller| caller.author.identity)
        };
        assert_eq!(identity(&headers, "192.0.2.1"), Ok(a.identity));
        headers.insert(header::AUTHORIZATION, format!("Bearer {}", b.token).parse().expect("a header"));
        assert_eq!(identity(&headers, "192.0.2.1"), Ok(b.identity));
        headers.insert(header::AUTHORIZATION, "Bearer nonsense".parse().expect("a header"));
        assert_eq!(identity(&headers, "192.0.2.1"), Err(InvalidToken));

        let none = HeaderMap::new();
        assert_eq!(identity(&none, "2001:db8::1"), identity(&none, "2001:db8::ffff"));
        assert_ne!(identity(&none, "192.0.2.1"), identity(&none, "192.0.2.2"));
        let stale = with(header::COOKIE, "guest=stale");
        assert_eq!(identity(&stale, "192.0.2.1"), identity(&none, "192.0.2.1"));
        assert_eq!(identities.caller(&none, ip("192.0.2.1"), NOW).expect("a guest").author.since, None);
    }

    #[test]
    fn a_socket_without_a_name_is_a_fresh_guest_who_can_have_a_token() {
        let identities = identities(1);
        let caller = identities.for_socket(&HeaderMap::new(), ip("192.0.2.1"), NOW).expect("a guest");
        assert_eq!((caller.fresh, caller.author.since), (true, Some(NOW)));
        let token = identities.sign(caller.author.identity, NOW);
        let again = with(header::AUTHORIZATION, &format!("bearer {token}"));
        let returned = identities.for_socket(&again, ip("192.0.2.2"), NOW.plus(9)).expect("a guest");
        assert_eq!(returned.author.identity, caller.author.identity);
        assert_eq!(returned.author.since, Some(NOW));
        assert!(!returned.fresh);
    }

    #[test]
    fn only_the_hosts_token_makes_a_host() {
        let identities = identities(1);
        let check = |value: &str| identities.host(&with(header::AUTHORIZATION, value));
        assert_eq!(check("Bearer open sesame"), HostCheck::Host);
        assert_eq!(check("Bearer open sesam"), HostCheck::OtherToken);
        assert_eq!(check(&format!("Bearer {}", identities.issue(NOW).token)), HostCheck::OtherToken);
        assert_eq!(identities.host(&HeaderMap::new()), HostCheck::NoToken);
        let nobody = Identities::new(IdentityKey([1; 32]), HostToken::new(None));
        assert_eq!(nobody.host(&with(header::AUTHORIZATION, "Bearer ")), HostCheck::NoHost);
    }

    /// A token, or the lines of `Authorization` and `Cookie` with one.
    #[test]
    fn fuzz_tokens() {
        const SINCE: Timestamp = Timestamp(1_800_000_000_000);
        const WHO: Identity = Identity([5; 16]);
        let token = identities(1).sign(WHO, SINCE);
        let seeds = [
            token.clone(),
            format!("Bearer {token}\nguest={token}"),
            format!("Bearer open sesame\na=b; guest={token}; guest=x"),
            identities(2).sign(WHO, SINCE),
        ];
        let seeds: Vec<_> = seeds.into_iter().map(String::into_bytes).collect();
        crate::run::fuzz("tokens", &seeds, |bytes| {
            use std::sync::LazyLock;
            static OURS: LazyLock<Identities> = LazyLock::new(|| identities(1));
            let Ok(text) = std::str::from_utf8(bytes) else { return };
            // Who has no key makes no other guest.
            assert!(OURS.verify(text, NOW).is_none_or(|guest| guest == (WHO, SINCE)));
            let (authorization, cookies) = text.split_once('\n').unwrap_or((text, ""));
            let mut headers = HeaderMap::new();
            for (name, line) in [(header::AUTHORIZATION, authorization), (header::COOKIE, cookies)] {
                if let Ok(value) = line.parse() {
                    headers.append(name, value);
                }
            }
            let is_host = OURS.host(&headers) == HostCheck::Host;
            assert!(!is_host || authorization.trim_end().ends_with("open sesame"), "{authorization}");
            let here = ip("192.0.2.1");
            if let Ok(caller) = OURS.for_socket(&headers, here, NOW) {
                assert!(caller.fresh || caller.author.identity == WHO || is_host);
            }
        });
    }
}
