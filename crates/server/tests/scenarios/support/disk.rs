//! A file system of a scenario's own, whose power can be cut: ext4 on a loop device, or one of memory that is soon full.
//!
//! It is mounted in a mount namespace of its own. In everybody's, whoever starts a container meanwhile would get a copy of the
//! mount: unmounting would leave the file system in use, and what is mounted next would be what was shut down before.

use std::fs;
use std::io::{self, BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use super::server::unused_address;
use super::stores::server::Host;
use super::{leftovers, skip};

/// As large as a scenario's data with room to spare; the file behind it is sparse.
const EXT4_BYTES: u64 = 128 << 20;
/// `EXT4_IOC_SHUTDOWN` with `EXT4_GOING_FLAGS_NOLOGFLUSH`: from now on nothing reaches the device, and what only the
/// journal's memory holds is gone.
const CUT: &str = "open(F, '<', $ARGV[0]) or die \"open: $!\\n\"; my $how = pack('L', 2); \
                   ioctl(F, 0x8004587D, $how) or die \"ioctl: $!\\n\";";

/// One file system, mounted on a folder that vanishes with it.
pub struct Disk {
    mount: PathBuf,
    /// The device's content; none where memory is it.
    image: Option<PathBuf>,
    namespace: Namespace,
    _folder: tempfile::TempDir,
}

/// A mount namespace. A process holds it that ends with this one, whichever way that ends.
struct Namespace(Child);

impl Disk {
    /// An ext4 file system on a loop device; `None`, said aloud, where this machine does not let us have one.
    pub fn ext4(what: &str) -> Option<Self> {
        Self::mounted(
            what,
            |folder| {
                let image = folder.join("image");
                fs::File::create(&image)?.set_len(EXT4_BYTES)?;
                run(Command::new("mkfs.ext4").args(["-q", "-F"]).arg(&image))?;
                Ok(Some(image))
            },
            0,
        )
    }

    /// A file system of so many bytes of memory; `None` as above.
    pub fn tmpfs(what: &str, bytes: u64) -> Option<Self> {
        Self::mounted(what, |_| Ok(None), bytes)
    }

    fn mounted(
        what: &str,
        image: impl FnOnce(&Path) -> io::Result<Option<PathBuf>>,
        bytes: u64,
    ) -> Option<Self> {
        leftovers::remove();
        let folder = tempfile::Builder::new().prefix(&leftovers::own_prefix()).tempdir();
        let folder = folder.expect("a temporary folder");
        let mount = folder.path().join("mount");
        fs::create_dir(&mount).expect("a folder");
        let made = image(folder.path()).and_then(|image| {
            let disk = Self { mount, image, namespace: Namespace::new()?, _folder: folder };
            match disk.image {
                Some(_) => disk.mount()?,
                None => {
                    let options = format!("size={bytes}");
                    disk.run(&["mount", "-t", "tmpfs", "-o", &options, "tmpfs"].map(Path::new))?;
                }
            }
            Ok(disk)
        });
        made.inspect_err(|why| skip(what, &why.to_string())).ok()
    }

    fn mount(&self) -> io::Result<()> {
        let image = self.image.as_deref().expect("it is on a device");
        self.run(&["mount".as_ref(), "-o".as_ref(), "loop".as_ref(), image])
    }

    /// Runs it where the disk is, with its folder as the last word.
    fn run(&self, words: &[&Path]) -> io::Result<()> {
        run(Command::new("nsenter").arg(self.namespace.word()).args(words).arg(&self.mount))
    }

    /// Where it is mounted, as who runs on its [host](Disk::host) sees it.
    pub fn path(&self) -> &Path {
        &self.mount
    }

    /// The same file as everybody else sees it.
    pub fn outside(&self, file: &str) -> PathBuf {
        let root = PathBuf::from(format!("/proc/{}/root", self.namespace.0.id()));
        root.join(self.mount.strip_prefix("/").expect("it is absolute")).join(file)
    }

    /// Where a server runs that sees it.
    pub fn host(&self) -> Host {
        Host { ip: unused_address(), under: vec!["nsenter".to_owned(), self.namespace.word()] }
    }

    /// Takes all the room that is left.
    pub fn fill(&self) {
        let mut ballast = fs::File::create(self.outside("ballast")).expect("a file");
        while ballast.write_all(&[0; 4_096]).is_ok() {}
    }

    /// Gives it back.
    pub fn free(&self) {
        fs::remove_file(self.outside("ballast")).expect("it was filled");
    }

    /// From now on every write and sync fails, and whatever was not synced is lost.
    pub fn cut_power(&self) {
        self.run(&["perl", "-e", CUT].map(Path::new)).expect("ext4 can be shut down");
    }

    /// Mounts it again, on what reached the device; nobody may have a file of it open.
    pub fn power_on(&self) {
        self.run(&[Path::new("umount")]).expect("nobody uses it");
        self.mount().expect("the journal can be replayed");
    }
}

impl Namespace {
    fn new() -> io::Result<Self> {
        let mut holder = Command::new("unshare")
            .args(["--mount", "--propagation", "private", "sh", "-c", "echo; exec cat"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        let mut line = String::new();
        BufReader::new(holder.stdout.take().expect("it is piped")).read_line(&mut line)?;
        if line.is_empty() {
            let said = holder.wait_with_output()?.stderr;
            return Err(io::Error::other(String::from_utf8_lossy(&said).trim().to_owned()));
        }
        Ok(Self(holder))
    }

    /// What has `nsenter` enter it.
    fn word(&self) -> String {
        format!("--mount=/proc/{}/ns/mnt", self.0.id())
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Runs it; what it complained about where it fails.
fn run(command: &mut Command) -> io::Result<()> {
    let program = command.get_program().display().to_string();
    let output = command.stdin(Stdio::null()).output();
    let output = output.map_err(|error| io::Error::new(error.kind(), format!("{program}: {error}")))?;
    if output.status.success() {
        return Ok(());
    }
    let why = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(io::Error::other(format!("{program}: {why}")))
}
