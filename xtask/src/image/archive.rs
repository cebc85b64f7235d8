//! An image as an OCI archive (image-spec 1.1): one layer, its configuration, its manifest. The same input makes the same bytes.

use std::io::Write;

use anyhow::Result;
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// Who owns the programs.
pub(super) const ROOT: u64 = 0;
/// Who runs them, and owns `/data`.
pub(super) const USER: u64 = 65_532;

/// A file or folder of the image.
pub(super) struct Entry {
    path: String,
    mode: u32,
    owner: u64,
    kind: tar::EntryType,
    content: Vec<u8>,
}

impl Entry {
    pub(super) fn folder(path: &str, owner: u64) -> Self {
        let kind = tar::EntryType::Directory;
        Self { path: format!("{path}/"), mode: 0o755, owner, kind, content: Vec::new() }
    }

    pub(super) fn file(path: &str, content: Vec<u8>) -> Self {
        Self { path: path.to_owned(), mode: 0o444, owner: ROOT, kind: tar::EntryType::Regular, content }
    }

    pub(super) fn program(path: &str, content: Vec<u8>) -> Self {
        Self { mode: 0o555, ..Self::file(path, content) }
    }
}

/// A blob, named by its content.
struct Blob {
    digest: String,
    bytes: Vec<u8>,
}

impl Blob {
    fn new(bytes: Vec<u8>) -> Self {
        Self { digest: digest(&bytes), bytes }
    }

    fn of(value: &Value) -> Self {
        Self::new(value.to_string().into_bytes())
    }

    /// What points to it.
    fn descriptor(&self, kind: &str) -> Value {
        let media_type = format!("application/vnd.oci.image.{kind}");
        json!({ "mediaType": media_type, "digest": self.digest, "size": self.bytes.len() })
    }
}

/// A whole image.
pub(super) struct Image {
    layer: Blob,
    config: Blob,
    manifest: Blob,
    version: String,
}

impl Image {
    pub(super) fn of(entries: &[Entry], version: &str, revision: Option<&str>) -> Result<Self> {
        let layer = pack(entries)?;
        let difference = digest(&layer);
        let mut gzip = GzEncoder::new(Vec::new(), Compression::best());
        gzip.write_all(&layer)?;
        let layer = Blob::new(gzip.finish()?);
        let config = Blob::of(&config(&difference, version, revision));
        let manifest = Blob::of(&json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": config.descriptor("config.v1+json"),
            "layers": [layer.descriptor("layer.v1.tar+gzip")],
        }));
        Ok(Self { layer, config, manifest, version: version.to_owned() })
    }

    /// What has to be fetched.
    pub(super) fn compressed_bytes(&self) -> u64 {
        [&self.layer, &self.config, &self.manifest].iter().map(|blob| blob.bytes.len() as u64).sum()
    }

    /// The OCI layout in one file.
    pub(super) fn archive(&self) -> Result<Vec<u8>> {
        let mut named = self.manifest.descriptor("manifest.v1+json");
        let name = format!("localhost/pixel-playground:{}", self.version);
        // What containerd (k3s) takes the name from, as a node writes out a `pixel-playground` without a registry.
        let of_nodes = format!("docker.io/library/pixel-playground:{}", self.version);
        named["annotations"] =
            json!({ "org.opencontainers.image.ref.name": name, "io.containerd.image.name": of_nodes });
        let index = json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.index.v1+json",
            "manifests": [named],
        });
        let layout = json!({ "imageLayoutVersion": "1.0.0" });
        let mut entries = vec![
            Entry::file("oci-layout", layout.to_string().into_bytes()),
            Entry::file("index.json", index.to_string().into_bytes()),
        ];
        for blob in [&self.layer, &self.config, &self.manifest] {
            entries
                .push(Entry::file(&format!("blobs/{}", blob.digest.replace(':', "/")), blob.bytes.clone()));
        }
        pack(&entries)
    }
}

/// How a container of it runs.
fn config(layer: &str, version: &str, revision: Option<&str>) -> Value {
    let architecture = if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" };
    let user = format!("{USER}:{USER}");
    let mut labels = json!({
        "org.opencontainers.image.title": "Pixel Playground",
        "org.opencontainers.image.description": "One command, one canvas, everyone paints.",
        "org.opencontainers.image.licenses": "MIT OR Apache-2.0",
        "org.opencontainers.image.version": version,
    });
    if let Some(revision) = revision {
        labels["org.opencontainers.image.revision"] = revision.into();
    }
    json!({
        "architecture": architecture,
        "os": "linux",
        "config": {
            "User": user,
            "Entrypoint": ["/pixel-playground"],
            "Env": [
                "PIXEL_PLAYGROUND_STORE=embedded:/data",
                "PIXEL_PLAYGROUND_FRONTEND_LISTEN=0.0.0.0:3000",
                "PIXEL_PLAYGROUND_API_LISTEN=0.0.0.0:3001",
                "PIXEL_PLAYGROUND_GATEWAY_LISTEN=0.0.0.0:3002",
                "PIXEL_PLAYGROUND_OPS_LISTEN=0.0.0.0:3009",
                "PIXEL_PLAYGROUND_LOG_FORMAT=json",
            ],
            "ExposedPorts": { "3000/tcp": {}, "3001/tcp": {}, "3002/tcp": {}, "3009/tcp": {} },
            "Volumes": { "/data": {} },
            "WorkingDir": "/data",
            "StopSignal": "SIGTERM",
            // Docker's addition to the format, in nanoseconds; others pass over it.
            "Healthcheck": {
                "Test": ["CMD", "/pixel-playground", "healthcheck"],
                "Interval": 10_000_000_000_u64,
                "Timeout": 5_000_000_000_u64,
                "StartPeriod": 30_000_000_000_u64,
            },
            "Labels": labels,
        },
        "rootfs": { "type": "layers", "diff_ids": [layer] },
        "history": [{ "created_by": "cargo xtask image" }],
    })
}

/// A tar archive in which nothing is left to chance.
fn pack(entries: &[Entry]) -> Result<Vec<u8>> {
    let mut archive = tar::Builder::new(Vec::new());
    for entry in entries {
        let mut header = tar::Header::new_ustar();
        header.set_entry_type(entry.kind);
        header.set_mode(entry.mode);
        header.set_uid(entry.owner);
        header.set_gid(entry.owner);
        header.set_mtime(0);
        header.set_size(entry.content.len() as u64);
        archive.append_data(&mut header, &entry.path, entry.content.as_slice())?;
    }
    Ok(archive.into_inner()?)
}

fn digest(bytes: &[u8]) -> String {
    let hex: String = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{hex}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image() -> Image {
        let entries =
            [Entry::folder("data", USER), Entry::program("pixel-playground", b"a program".to_vec())];
        Image::of(&entries, "1.2.3", Some("abc")).expect("memory takes everything")
    }

    #[test]
    fn the_same_input_makes_the_same_bytes() {
        assert!(image().archive().expect("an archive") == image().archive().expect("an archive"));
    }

    #[test]
    fn its_containers_run_as_those_of_the_dockerfile() {
        let dockerfile = include_str!("../../../Dockerfile").replace(" \\\n", " ");
        let says = |instruction: &str| {
            let mut lines = dockerfile.lines().filter_map(|line| line.strip_prefix(instruction));
            lines.next_back().unwrap_or_default().split_whitespace().collect::<Vec<_>>().join(" ")
        };
        let whole = config("sha256:0", "1.2.3", Some("abc"));
        let ours = &whole["config"];
        let words = |list: &Value| {
            let words = list.as_array().into_iter().flatten();
            words.map(|word| word.as_str().expect("a word").to_owned()).collect::<Vec<_>>()
        };
        let seconds = |name: &str| ours["Healthcheck"][name].as_u64().expect("nanoseconds") / 1_000_000_000;
        assert_eq!(says("ENV "), words(&ours["Env"]).join(" "));
        assert_eq!(says("USER "), ours["User"]);
        assert_eq!(says("WORKDIR "), ours["WorkingDir"]);
        assert_eq!(says("STOPSIGNAL "), ours["StopSignal"]);
        assert_eq!(says("ENTRYPOINT "), ours["Entrypoint"].to_string());
        let (interval, timeout, start) = (seconds("Interval"), seconds("Timeout"), seconds("StartPeriod"));
        let command = words(&ours["Healthcheck"]["Test"])[1..].join("\", \"");
        assert_eq!(
            says("HEALTHCHECK "),
            format!(
                "--interval={interval}s --timeout={timeout}s --start-period={start}s CMD [\"{command}\"]"
            )
        );
    }

    #[test]
    fn every_blob_is_named_by_its_content_and_pointed_to() {
        let bytes = image().archive().expect("an archive");
        let mut blobs = Vec::new();
        let mut index = String::new();
        for entry in tar::Archive::new(bytes.as_slice()).entries().expect("entries") {
            let mut entry = entry.expect("an entry");
            let path = entry.path().expect("a path").display().to_string();
            let mut content = Vec::new();
            std::io::copy(&mut entry, &mut content).expect("its content");
            match path.strip_prefix("blobs/sha256/") {
                Some(name) => {
                    assert_eq!(digest(&content), format!("sha256:{name}"));
                    blobs.push(name.to_owned());
                }
                None => index += &String::from_utf8(content).expect("text"),
            }
        }
        let manifest = String::from_utf8(image().manifest.bytes).expect("text");
        assert_eq!(blobs.len(), 3);
        assert!(blobs.iter().all(|blob| manifest.contains(blob) || index.contains(blob)), "{blobs:?}");
    }
}
