//! A file system of a scenario's own, whose power can be cut: ext4 on a loop device, or one of
//! memory that is soon full.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

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
    _folder: tempfile::TempDir,
}

impl Disk {
    /// An ext4 file system on a loop device; `None`, said aloud, where this machine does not let us have one.
    pub fn ext4(what: &str) -> Option<Self> {
        let (folder, mount) = Self::folder();
        let image = folder.path().join("image");
        let made = fs::File::create(&image).and_then(|file| file.set_len(EXT4_BYTES));
        made.expect("a sparse file");
        let made = run("mkfs.ext4", &["-q".as_ref(), "-F".as_ref(), &image]);
        Self { mount, image: Some(image), _folder: folder }.mounted(what, made)
    }

    /// A file system of so many bytes of memory; `None` as above.
    pub fn tmpfs(what: &str, bytes: u64) -> Option<Self> {
        let (folder, mount) = Self::folder();
        let size = format!("size={bytes}");
        let options = ["-t", "tmpfs", "-o", &size, "tmpfs"].map(Path::new);
        let made = run("mount", &[&options[..], &[&mount]].concat());
        Self { mount, image: None, _folder: folder }.mounted(what, made)
    }

    fn folder() -> (tempfile::TempDir, PathBuf) {
        leftovers::remove();
        let folder = tempfile::Builder::new().prefix(&leftovers::own_prefix()).tempdir();
        let folder = folder.expect("a temporary folder");
        let mount = folder.path().join("mount");
        fs::create_dir(&mount).expect("a folder");
        (folder, mount)
    }

    fn mounted(self, what: &str, made: io::Result<()>) -> Option<Self> {
        let mounted = made.and_then(|()| if self.image.is_some() { self.mount() } else { Ok(()) });
        if let Err(why) = &mounted {
            skip(what, &why.to_string());
        }
        mounted.ok().map(|()| self)
    }

    fn mount(&self) -> io::Result<()> {
        let image = self.image.as_deref().expect("it is on a device");
        run("mount", &["-o".as_ref(), "loop".as_ref(), image, &self.mount])
    }

    fn ballast(&self) -> PathBuf {
        self.mount.join("ballast")
    }

    /// Takes all the room that is left.
    pub fn fill(&self) {
        let mut ballast = fs::File::create(self.ballast()).expect("a file");
        while ballast.write_all(&[0; 4_096]).is_ok() {}
    }

    /// Gives it back.
    pub fn free(&self) {
        fs::remove_file(self.ballast()).expect("it was filled");
    }

    /// Where it is mounted.
    pub fn path(&self) -> &Path {
        &self.mount
    }

    /// From now on every write and sync fails, and whatever was not synced is lost.
    pub fn cut_power(&self) {
        run("perl", &["-e".as_ref(), CUT.as_ref(), &self.mount]).expect("ext4 can be shut down");
    }

    /// Mounts it again, on what reached the device; nobody may have a file of it open.
    pub fn power_on(&self) {
        run("umount", &[&self.mount]).expect("nobody uses it");
        self.mount().expect("the journal can be replayed");
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        leftovers::unmount(&self.mount);
    }
}

/// Runs it; what it complained about where it fails.
fn run(program: &str, arguments: &[&Path]) -> io::Result<()> {
    let output = Command::new(program).args(arguments).stdin(Stdio::null()).output();
    let output = output.map_err(|error| io::Error::new(error.kind(), format!("{program}: {error}")))?;
    if output.status.success() {
        return Ok(());
    }
    let why = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(io::Error::other(format!("{program}: {why}")))
}
