//! What a run that died left behind on this machine: folders and network namespaces, named after its process.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use super::machines::NAMESPACES;

const PREFIX: &str = "pixel-playground-";

/// How the name of anything begins that outlives a process which is killed.
pub fn own_prefix() -> String {
    format!("{PREFIX}{}-", std::process::id())
}

/// Removes what belongs to processes that are gone.
pub fn remove() {
    for folder in fs::read_dir(std::env::temp_dir()).into_iter().flatten().flatten().map(|entry| entry.path())
    {
        if is_left(&folder) {
            // Another scenario may have been faster.
            let _ = fs::remove_dir_all(folder);
        }
    }
    for namespace in fs::read_dir(NAMESPACES).into_iter().flatten().flatten().map(|entry| entry.path()) {
        if is_left(&namespace) {
            remove_namespace(&namespace.file_name().unwrap_or_default().to_string_lossy());
        }
    }
}

/// Ends what still runs in a network namespace, which only we start anything in, and removes it.
pub fn remove_namespace(name: &str) {
    let ip =
        |arguments: &[&str]| Command::new("ip").arg("netns").args(arguments).stderr(Stdio::null()).output();
    let inside = ip(&["pids", name]).map(|output| output.stdout).unwrap_or_default();
    for id in String::from_utf8_lossy(&inside).lines() {
        let _ = Command::new("kill").args(["-KILL", id]).stderr(Stdio::null()).status();
    }
    let _ = ip(&["delete", name]);
}

/// Whether it is named after a process that is gone.
fn is_left(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str());
    let owner = name.and_then(|name| name.strip_prefix(PREFIX)?.split('-').next()?.parse::<u32>().ok());
    owner.is_some_and(|owner| !Path::new(&format!("/proc/{owner}")).exists())
}
