//! What keeps a store from doing what it is asked, in words that anybody may read.

use std::error::Error;
use std::sync::Arc;
use std::{fmt, io};

use redis::{ErrorKind, RedisError};

use crate::StoreError;
use crate::redis::Unusable;

/// A kind of trouble that a store can be in. Its sentence names no address, user or password.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// No server answers at its address.
    Away,
    /// The server is there and does not answer in time.
    Silent,
    /// The server has no memory left for more.
    Full,
    /// The server became a replica of another.
    Replica,
    /// The server cannot save to its disk.
    CannotSave,
    /// Fewer replicas than asked for have what is written.
    FewReplicas,
    /// The server no longer promises the durability asked for.
    Durability,
    /// The server's certificate expired, or nobody who is trusted signed it for this name.
    Certificate,
    /// The server does not take this program's name or password.
    Password,
    /// The server does not let this program's user do that.
    Forbidden,
    /// Something else, which an operator has to look into.
    Other,
}

impl Trouble {
    const ALL: [Self; 11] = [
        Self::Away,
        Self::Silent,
        Self::Full,
        Self::Replica,
        Self::CannotSave,
        Self::FewReplicas,
        Self::Durability,
        Self::Certificate,
        Self::Password,
        Self::Forbidden,
        Self::Other,
    ];

    /// What an error comes from.
    #[must_use]
    pub fn of(error: &(dyn Error + 'static)) -> Self {
        // The innermost cause knows best.
        let (mut found, mut cause) = (Self::Other, Some(error));
        while let Some(error) = cause {
            let of_server = error.downcast_ref::<RedisError>().and_then(of_server);
            let of_dial = || error.downcast_ref::<Unusable>().and_then(Unusable::trouble);
            let late = || error.is::<tokio::time::error::Elapsed>().then_some(Self::Silent);
            let named = || error.downcast_ref::<Self>().copied();
            // The client library shares what its errors come from.
            let shared = error.downcast_ref::<Arc<dyn Error + Send + Sync>>();
            let of_tls = || shared.and_then(|error| error.downcast_ref()).and_then(of_tls);
            found = of_tls().or(of_server).or_else(of_dial).or_else(late).or_else(named).unwrap_or(found);
            cause = error.source();
        }
        found
    }

    /// Whether this is the same as that to who looks on: of two attempts to reach a server, one may wait in vain and the
    /// next be turned away.
    #[must_use]
    pub(crate) fn is_like(self, other: Self) -> bool {
        let silence = |trouble| matches!(trouble, Self::Away | Self::Silent);
        self == other || silence(self) && silence(other)
    }

    /// One word for it, for other processes: the same in every version.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Away => "away",
            Self::Silent => "silent",
            Self::Full => "full",
            Self::Replica => "replica",
            Self::CannotSave => "cannot-save",
            Self::FewReplicas => "few-replicas",
            Self::Durability => "durability",
            Self::Certificate => "certificate",
            Self::Password => "password",
            Self::Forbidden => "forbidden",
            Self::Other => "other",
        }
    }

    /// What this word stands for; `None` for those of other versions.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|trouble| trouble.word() == word)
    }

    /// Whether the store cannot be read either.
    #[must_use]
    pub fn hides_everything(self) -> bool {
        matches!(self, Self::Away | Self::Silent | Self::Certificate | Self::Password | Self::Other)
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Away => "the store is away",
            Self::Silent => "the store does not answer",
            Self::Full => "the store is full",
            Self::Replica => "the store is read-only",
            Self::CannotSave => "the store cannot save to its disk",
            Self::FewReplicas => "too few copies of the store are there",
            Self::Durability => "the store does not promise to keep what is painted",
            Self::Certificate => "the store's certificate is not trusted",
            Self::Password => "the store does not let this server in",
            Self::Forbidden => "the store does not let this server do that",
            Self::Other => "the store cannot be used",
        })
    }
}

impl Error for Trouble {}

impl StoreError {
    /// What the store is in.
    #[must_use]
    pub fn trouble(&self) -> Trouble {
        Trouble::of(self)
    }
}

fn of_server(error: &RedisError) -> Option<Trouble> {
    let said = match error.code() {
        Some("OOM") => Trouble::Full,
        Some("READONLY") => Trouble::Replica,
        Some("MISCONF") => Trouble::CannotSave,
        Some("NOREPLICAS") => Trouble::FewReplicas,
        Some("WRONGPASS" | "NOAUTH") => Trouble::Password,
        Some("NOPERM") => Trouble::Forbidden,
        Some("LOADING" | "MASTERDOWN" | "CLUSTERDOWN" | "TRYAGAIN" | "BUSY") => Trouble::Silent,
        // A script's own error carries the server's behind it.
        _ if error.kind() == ErrorKind::AuthenticationFailed => Trouble::Password,
        _ if error.is_timeout() => Trouble::Silent,
        _ if error.is_io_error() || error.is_connection_dropped() => Trouble::Away,
        _ => return None,
    };
    Some(said)
}

fn of_tls(error: &io::Error) -> Option<Trouble> {
    let error = error.get_ref()?.downcast_ref::<rustls::Error>()?;
    matches!(error, rustls::Error::InvalidCertificate(_)).then_some(Trouble::Certificate)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server_said(line: &str) -> StoreError {
        let answer = redis::parse_redis_value(format!("-{line}\r\n").as_bytes());
        let error = match answer {
            Ok(redis::Value::ServerError(error)) => RedisError::from(error),
            Err(error) => error,
            Ok(other) => panic!("{other:?} is no error"),
        };
        StoreError::Unavailable(error.into())
    }

    #[test]
    fn each_answer_of_a_server_has_its_words_and_none_tells_a_secret() {
        let cases = [
            ("OOM command not allowed when used memory > 'maxmemory'.", Trouble::Full),
            ("READONLY You can't write against a read only replica.", Trouble::Replica),
            ("MISCONF Redis is configured to save RDB snapshots", Trouble::CannotSave),
            ("NOREPLICAS Not enough good replicas to write.", Trouble::FewReplicas),
            ("WRONGPASS invalid username-password pair or user is disabled.", Trouble::Password),
            ("NOAUTH Authentication required.", Trouble::Password),
            ("NOPERM this user has no permissions", Trouble::Forbidden),
            ("LOADING Redis is loading the dataset in memory", Trouble::Silent),
        ];
        for (line, trouble) in cases {
            assert_eq!(server_said(line).trouble(), trouble, "{line}");
        }
        for trouble in Trouble::ALL {
            assert_eq!(Trouble::from_word(trouble.word()), Some(trouble));
            assert_eq!(StoreError::Unavailable(trouble.into()).trouble(), trouble);
        }
        assert_eq!(Trouble::from_word("of a later version"), None);
        let refused = std::io::Error::from(std::io::ErrorKind::ConnectionRefused);
        let away = StoreError::Unavailable(RedisError::from(refused).into());
        assert_eq!(away.trouble(), Trouble::Away);
        assert_eq!(StoreError::Unavailable("an odd thing".into()).trouble(), Trouble::Other);
    }
}
