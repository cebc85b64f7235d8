//! Takes `web/` into the executable: every file under one hashed path, compressed once, here.

#[path = "build/bundle.rs"]
mod bundle;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs, io};

use sha2::{Digest, Sha256};

/// Brotli's best; the assets are compressed once and sent often.
const BROTLI_QUALITY: u32 = 11;
const BROTLI_WINDOW_BITS: u32 = 22;
/// What lies in `web/` for those who work on it, and is not served.
const NOT_SERVED: &[&str] =
    &["test", "node_modules", "package.json", "package-lock.json", "jsconfig.json", "tsconfig.json"];
/// The scripts that pages begin with; the first is the canvas' page.
const ENTRIES: &[&str] = &["main.js", "start.js"];
/// Hexadecimal digits of the hash in paths.
const HASH_DIGITS: usize = 16;

struct File {
    name: String,
    bytes: Vec<u8>,
}

fn main() -> io::Result<()> {
    let web = Path::new(&variable("CARGO_MANIFEST_DIR")).join("../../web");
    let out = PathBuf::from(variable("OUT_DIR"));
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=build/bundle.rs");
    println!("cargo::rerun-if-changed={}", web.display());

    let mut files = Vec::new();
    if web.is_dir() {
        collect(&web, "", &mut files)?;
    }
    for file in files.iter_mut().filter(|file| file.name.ends_with(".js") || file.name.ends_with(".css")) {
        let text = std::str::from_utf8(&file.bytes).expect("scripts and styles are UTF-8");
        file.bytes = without_comments(text).into_bytes();
    }
    bundle_scripts(&mut files);
    files.sort_by(|a, b| a.name.cmp(&b.name));
    let hash = hash_all(&files);
    // Pages name their assets plainly; the hash makes them immutable.
    let names: Vec<String> = files.iter().map(|file| file.name.clone()).collect();
    for file in files.iter_mut().filter(|file| file.name.ends_with(".html")) {
        let mut page = String::from_utf8(std::mem::take(&mut file.bytes)).expect("pages are UTF-8");
        for name in &names {
            for end in ["\"", "'", ")"] {
                page = page.replace(&format!("/assets/{name}{end}"), &format!("/assets/{hash}/{name}{end}"));
            }
        }
        file.bytes = page.into_bytes();
    }
    let mut table =
        format!("pub(crate) const HASH: &str = {hash:?};\npub(crate) static ASSETS: &[Asset] = &[\n");
    for (index, file) in files.iter().enumerate() {
        let (kind, is_text) = content_type(&file.name);
        let plain = keep(&out, &format!("{index}"), &file.bytes)?;
        let compressed = |bytes: Vec<u8>, end: &str| -> io::Result<String> {
            if !is_text || bytes.len() >= file.bytes.len() {
                return Ok("None".into());
            }
            let path = keep(&out, &format!("{index}.{end}"), &bytes)?;
            Ok(format!("Some(include_bytes!({path:?}))"))
        };
        let gzip = compressed(gzip(&file.bytes)?, "gz")?;
        let brotli = compressed(brotli(&file.bytes)?, "br")?;
        let etag = hex(&Sha256::digest(&file.bytes));
        writeln!(
            table,
            "    Asset {{ name: {:?}, content_type: {kind:?}, etag: {etag:?}, plain: include_bytes!({plain:?}), \
             gzip: {gzip}, brotli: {brotli} }},",
            file.name
        )
        .expect("a String takes everything");
    }
    table.push_str("];\n");
    fs::write(out.join("assets.rs"), table)
}

#[expect(
    clippy::disallowed_methods,
    reason = "Cargo tells a build script where things are in its environment"
)]
fn variable(name: &str) -> String {
    env::var(name).expect("Cargo sets it")
}

fn collect(folder: &Path, prefix: &str, files: &mut Vec<File>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name().into_string().expect("files of the page have plain names");
        if name.starts_with('.') || NOT_SERVED.contains(&name.as_str()) {
            continue;
        }
        let name = format!("{prefix}{name}");
        // Symbolic links are not followed: nothing outside web/ is ever served.
        let kind = entry.file_type()?;
        if kind.is_dir() {
            collect(&entry.path(), &format!("{name}/"), files)?;
        } else if kind.is_file() {
            files.push(File { name, bytes: fs::read(entry.path())? });
        }
    }
    Ok(())
}

fn bundle_scripts(files: &mut Vec<File>) {
    let mut scripts = BTreeMap::new();
    files.retain(|file| {
        let script = file.name.ends_with(".js");
        if script {
            let text = String::from_utf8(file.bytes.clone()).expect("scripts are UTF-8");
            scripts.insert(file.name.clone(), text);
        }
        !script
    });
    if scripts.is_empty() {
        return; // Built without the page.
    }
    for (name, text) in bundle::bundle(&scripts, ENTRIES) {
        files.push(File { name, bytes: text.into_bytes() });
    }
}

/// Leaves out the lines that are nothing but a comment: a quarter of what a browser would load.
fn without_comments(text: &str) -> String {
    let mut kept = String::with_capacity(text.len());
    let mut inside = false;
    for line in text.lines() {
        let trimmed = line.trim();
        let opens = !inside && trimmed.starts_with("/*");
        let closed = trimmed.find("*/").map(|at| at + 2);
        let code_follows = closed.is_some_and(|end| end < trimmed.len());
        let comment = inside || opens || trimmed.starts_with("//");
        if (!comment || code_follows) && !trimmed.is_empty() {
            kept.push_str(line);
            kept.push('\n');
        }
        inside = (inside || opens) && closed.is_none();
    }
    kept
}

fn hash_all(files: &[File]) -> String {
    let mut hash = Sha256::new();
    for file in files {
        hash.update((file.name.len() as u64).to_le_bytes());
        hash.update(&file.name);
        hash.update((file.bytes.len() as u64).to_le_bytes());
        hash.update(&file.bytes);
    }
    hex(&hash.finalize())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().take(HASH_DIGITS / 2).map(|byte| format!("{byte:02x}")).collect()
}

/// The type by the name's ending, and whether compressing pays.
fn content_type(name: &str) -> (&'static str, bool) {
    match name.rsplit('.').next().unwrap_or_default() {
        "html" => ("text/html; charset=utf-8", true),
        "js" | "mjs" => ("text/javascript; charset=utf-8", true),
        "css" => ("text/css; charset=utf-8", true),
        "json" => ("application/json", true),
        "webmanifest" => ("application/manifest+json", true),
        "svg" => ("image/svg+xml", true),
        "txt" => ("text/plain; charset=utf-8", true),
        "png" => ("image/png", false),
        "ico" => ("image/x-icon", false),
        "webp" => ("image/webp", false),
        "woff2" => ("font/woff2", false),
        _ => ("application/octet-stream", false),
    }
}

fn keep(out: &Path, name: &str, bytes: &[u8]) -> io::Result<PathBuf> {
    let folder = out.join("assets");
    fs::create_dir_all(&folder)?;
    let path = folder.join(name);
    fs::write(&path, bytes)?;
    Ok(path)
}

fn gzip(bytes: &[u8]) -> io::Result<Vec<u8>> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(bytes)?;
    encoder.finish()
}

fn brotli(bytes: &[u8]) -> io::Result<Vec<u8>> {
    let mut compressed = Vec::new();
    let mut encoder =
        brotli::CompressorWriter::new(&mut compressed, 4_096, BROTLI_QUALITY, BROTLI_WINDOW_BITS);
    encoder.write_all(bytes)?;
    encoder.flush()?;
    drop(encoder);
    Ok(compressed)
}
