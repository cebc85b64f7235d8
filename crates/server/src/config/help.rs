//! The text of `--help`, from the table of keys.

use std::fmt::Write;

use super::keys::GROUPS;

/// Width that the text is wrapped to, in characters.
const WIDTH: usize = 96;
const INDENT: usize = 6;

/// The help a newcomer reads first.
pub(crate) fn help() -> String {
    let mut text = String::from(
        "Pixel Playground: one command, one canvas, everyone paints.

Usage: pixel-playground [FLAGS]                 open a canvas at http://localhost:3000
       pixel-playground check-config [FLAGS]    say whether the configuration is good
       pixel-playground healthcheck [FLAGS]     ask a running process how it is: exit 0 or 1
       pixel-playground backup FILE [FLAGS]     write every canvas into a file, while people paint
       pixel-playground restore FILE [CANVAS…] [--replace] [FLAGS]   put all back, or those named

Examples:
  pixel-playground
  pixel-playground --frontend-listen 0.0.0.0:3000        let your network in
  pixel-playground --store embedded:/var/lib/pixels --rate-limit \"10/s burst 100\"
  pixel-playground --config playground.toml
",
    );
    for group in GROUPS {
        write!(text, "\n{}:\n", group.heading).expect("a String takes everything");
        for key in group.keys {
            let default = match key.default {
                "" => String::new(),
                default => format!("  [{default}]"),
            };
            write!(text, "  --{} {}{default}\n{}", key.name, key.value, wrap(key.help))
                .expect("a String takes everything");
        }
    }
    text.push_str(
        "
Each flag can also be set in the environment (--rate-limit as PIXEL_PLAYGROUND_RATE_LIMIT) and in
the file of --config (rate-limit = \"10/s burst 100\"). A flag beats the environment, which beats
the file. A canvas in the file:

  [[canvas]]
  id = \"harbour\"
  name = \"The harbour\"
  width = 1000
  height = 1000
  palette = [\"#FFFFFF\", \"#1C1917\", \"#E4572E\"]
  cooldown_ms = 5000

Exit codes: 0 well ended · 1 healthcheck failed · 64 wrong configuration · 65 a file holds what it
should not · 69 a port or the folder is taken · 73 the folder cannot be made · 74 reading or writing
failed. More in docs/operations.md.
",
    );
    text
}

fn wrap(sentence: &str) -> String {
    let indent = " ".repeat(INDENT);
    let mut lines = String::new();
    let mut line = indent.clone();
    for word in sentence.split_whitespace() {
        if line.len() + 1 + word.len() > WIDTH && line.len() > INDENT {
            lines.push_str(line.trim_end());
            lines.push('\n');
            line.clone_from(&indent);
        }
        line.push_str(word);
        line.push(' ');
    }
    lines.push_str(line.trim_end());
    lines.push('\n');
    lines
}
