//! Secrets in files: read, or made once with rights for their owner alone.

use std::fs;
use std::io::{self, Read, Write};
use std::path::Path;

use pixel_store::files::{open_private, rename_for_good};

use crate::identity::{IDENTITY_KEY_BYTES, IdentityKey};

/// Random bytes of a host's token that is made here; it is written in hex.
const ADMIN_TOKEN_BYTES: usize = 24;

/// The largest file that is taken for a secret.
const SECRET_BYTES_MAX: u64 = 64 << 10;

/// A secret could not be had.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SecretError {
    /// The file cannot be read or made.
    #[error("{path}: {source}")]
    File { path: String, source: io::Error },
    /// It does not hold what it should.
    #[error("{path}: {problem}")]
    Content { path: String, problem: &'static str },
}

/// The key that signs guests, in 64 hex digits; made when `make` and there is no file.
pub(crate) fn identity_key(path: &Path, make: bool) -> Result<IdentityKey, SecretError> {
    let text = read_or_make(path, make, || to_hex(&rand::random::<[u8; IDENTITY_KEY_BYTES]>()))?;
    let wrong = || SecretError::Content { path: path.display().to_string(), problem: "write 64 hex digits" };
    from_hex(&text).map(IdentityKey).ok_or_else(wrong)
}

/// The host's token; made when `make` and there is no file.
pub(crate) fn admin_token(path: &Path, make: bool) -> Result<String, SecretError> {
    let token = read_or_make(path, make, || to_hex(&rand::random::<[u8; ADMIN_TOKEN_BYTES]>()))?;
    if token.is_empty() {
        let problem = "the file is empty: write the host's token into it";
        return Err(SecretError::Content { path: path.display().to_string(), problem });
    }
    Ok(token)
}

/// The store's password.
pub(crate) fn password(path: &Path) -> Result<String, SecretError> {
    let password = read_or_make(path, false, String::new)?;
    if password.is_empty() {
        let problem = "the file is empty: write the store's password into it";
        return Err(SecretError::Content { path: path.display().to_string(), problem });
    }
    Ok(password)
}

/// The trimmed text of a file.
fn read_or_make(path: &Path, make: bool, fresh: impl FnOnce() -> String) -> Result<String, SecretError> {
    let failed = |source| SecretError::File { path: path.display().to_string(), source };
    let read = || -> io::Result<String> {
        let mut text = String::new();
        fs::File::open(path)?.take(SECRET_BYTES_MAX + 1).read_to_string(&mut text)?;
        Ok(text)
    };
    match read() {
        Ok(text) if text.len() as u64 > SECRET_BYTES_MAX => {
            let problem = "it is larger than the 64 KiB that a secret's file may have";
            Err(SecretError::Content { path: path.display().to_string(), problem })
        }
        Ok(text) => Ok(text.trim().to_owned()),
        Err(missing) if make && missing.kind() == io::ErrorKind::NotFound => {
            let secret = fresh();
            write_private(path, &secret).map_err(failed)?;
            Ok(secret)
        }
        Err(failure) => Err(failed(failure)),
    }
}

/// Writes a whole file or none: a crash must not leave half a secret behind.
fn write_private(path: &Path, text: &str) -> io::Result<()> {
    let unfinished = path.with_extension("new");
    let mut file = open_private(&unfinished)?;
    file.set_len(0)?;
    writeln!(file, "{text}")?;
    file.sync_all()?;
    rename_for_good(&unfinished, path)
}

fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn from_hex(text: &str) -> Option<[u8; IDENTITY_KEY_BYTES]> {
    if text.len() != 2 * IDENTITY_KEY_BYTES || !text.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return None;
    }
    let mut bytes = [0; IDENTITY_KEY_BYTES];
    for (byte, digits) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_made_once_and_for_its_owner_alone() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("admin-token");
        assert!(admin_token(&path, false).is_err());
        let made = admin_token(&path, true).expect("it is made");
        assert_eq!(made.len(), 2 * ADMIN_TOKEN_BYTES);
        assert_eq!(admin_token(&path, true).expect("it is there"), made);
        #[cfg(unix)]
        assert_eq!(
            std::os::unix::fs::MetadataExt::mode(&fs::metadata(&path).expect("a file")) & 0o777,
            0o600
        );
    }

    #[test]
    fn a_file_without_end_is_not_read_to_its_end() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("admin-token");
        fs::write(&path, "x".repeat(SECRET_BYTES_MAX as usize)).expect("a file is written");
        assert!(admin_token(&path, false).is_ok());
        fs::write(&path, "x".repeat(SECRET_BYTES_MAX as usize + 1)).expect("a file is written");
        assert!(admin_token(&path, false).expect_err("it is refused").to_string().contains("64 KiB"));
    }

    #[test]
    fn a_key_file_with_something_else_is_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("identity-key");
        let made = identity_key(&path, true).expect("it is made");
        assert_eq!(identity_key(&path, false).expect("it is there").0, made.0);
        fs::write(&path, "short").expect("a file is written");
        assert!(identity_key(&path, true).is_err());
    }
}
