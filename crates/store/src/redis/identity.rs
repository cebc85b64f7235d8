//! The key that signs guests, kept in the store so that every process has the same.

use super::answer::{Answer, Status};
use super::scripts::IDENTITY;
use super::{Redis, Shared};
use crate::StoreError;

/// Where it is kept.
pub(super) const IDENTITY_KEY: &str = "pp:identity-key";
/// Bytes of the key.
pub const IDENTITY_KEY_BYTES: usize = 32;

impl Redis {
    /// The key that every process signs guests with; `fresh` becomes it where there is none, as
    /// durable as an acknowledged placement.
    pub async fn make_identity_key(
        &self,
        fresh: [u8; IDENTITY_KEY_BYTES],
    ) -> Result<[u8; IDENTITY_KEY_BYTES], StoreError> {
        self.shared.make_identity_key(fresh).await
    }

    /// The same for who may only read; `None` while nobody made one.
    pub async fn identity_key(&self) -> Result<Option<[u8; IDENTITY_KEY_BYTES]>, StoreError> {
        self.shared.identity_key().await
    }
}

impl Shared {
    pub(super) async fn make_identity_key(
        &self,
        fresh: [u8; IDENTITY_KEY_BYTES],
    ) -> Result<[u8; IDENTITY_KEY_BYTES], StoreError> {
        let arguments = [fresh.to_vec()];
        let answer = self.servers.write(&IDENTITY, IDENTITY_KEY, &arguments, true).await?;
        match Answer::parse(answer)? {
            (Status::Done, mut answer) => whole(&answer.bytes()?),
            _ => Err(StoreError::Unavailable("the server's answer cannot be read".into())),
        }
    }

    pub(super) async fn identity_key(&self) -> Result<Option<[u8; IDENTITY_KEY_BYTES]>, StoreError> {
        let mut get = redis::cmd("GET");
        get.arg(IDENTITY_KEY);
        let found: Option<Vec<u8>> = self.servers.command(IDENTITY_KEY, &get).await?;
        found.map(|found| whole(&found)).transpose()
    }
}

fn whole(bytes: &[u8]) -> Result<[u8; IDENTITY_KEY_BYTES], StoreError> {
    bytes.try_into().map_err(|_| StoreError::Unavailable(format!("{IDENTITY_KEY} is not 32 bytes").into()))
}
