//! Collects what was set: flag beats environment beats file, and what nobody knows is an error.

use std::collections::BTreeMap;
use std::path::PathBuf;

use pixel_canvas::CanvasSpec;
use toml::{Table, Value};

use super::keys::{self, ENV_PREFIX, nearest};
use super::{Command, ConfigError};

/// Subcommands, besides serving.
const COMMANDS: &[(&str, Command)] = &[
    ("check-config", Command::CheckConfig),
    ("healthcheck", Command::Healthcheck),
    ("backup", Command::Backup),
    ("restore", Command::Restore),
];

/// Where a value was set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    Flag,
    Env,
    File(PathBuf),
    Default,
}

/// A value as it was written, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Setting {
    pub(crate) raw: String,
    pub(crate) source: Source,
}

/// Everything that was set, unread.
#[derive(Debug, Default)]
pub(crate) struct Settings {
    values: BTreeMap<&'static str, Setting>,
    pub(crate) canvases: Vec<CanvasSpec>,
    /// What stands behind the subcommand.
    pub(crate) operands: Vec<String>,
    /// `restore --replace`.
    pub(crate) replace: bool,
}

impl Settings {
    /// The value that holds for `name`, a key of the table; `None` where nobody set it and it has
    /// no default.
    pub(crate) fn get(&self, name: &'static str) -> Option<Setting> {
        let default = || {
            let key = keys::all().find(|key| key.name == name).expect("only keys of the table are asked for");
            let raw = key.default.to_owned();
            (!raw.is_empty()).then_some(Setting { raw, source: Source::Default })
        };
        self.values.get(name).cloned().or_else(default)
    }

    /// Takes a value, unless one that beats it is there.
    fn add(&mut self, name: &'static str, raw: String, source: Source) {
        self.values.entry(name).or_insert(Setting { raw, source });
    }
}

/// What the command line asks for.
pub(crate) fn read_flags(args: impl Iterator<Item = String>) -> Result<(Command, Settings), ConfigError> {
    let mut settings = Settings::default();
    let mut command = Command::Serve;
    let mut args = args.peekable();
    while let Some(arg) = args.next() {
        let Some(flag) = arg.strip_prefix("--") else {
            match arg.as_str() {
                "-h" => return Ok((Command::Help, settings)),
                "-V" => return Ok((Command::Version, settings)),
                _ => {}
            }
            if matches!(command, Command::Backup | Command::Restore) {
                settings.operands.push(arg);
                continue;
            }
            let known = COMMANDS.iter().find(|(name, _)| *name == arg);
            command = match known {
                Some((_, known)) if command == Command::Serve => *known,
                Some(_) => return Err(ConfigError::new(&arg, "only one subcommand can be given")),
                None => {
                    return Err(unknown(
                        &arg,
                        "a subcommand or flag",
                        COMMANDS.iter().map(|(name, _)| *name),
                    ));
                }
            };
            continue;
        };
        let (name, inline) = match flag.split_once('=') {
            Some((name, value)) => (name, Some(value.to_owned())),
            None => (flag, None),
        };
        match name {
            "help" => return Ok((Command::Help, settings)),
            "version" => return Ok((Command::Version, settings)),
            "replace" if command == Command::Restore && inline.is_none() => {
                settings.replace = true;
                continue;
            }
            _ => {}
        }
        let Some(key) = keys::all().find(|key| key.name == name) else {
            let mut error = unknown(name, "a flag", keys::all().map(|key| key.name));
            error.key = format!("--{name}");
            return Err(error);
        };
        let shown = format!("--{name}");
        let next = || args.next_if(|next| !next.starts_with("--"));
        let Some(raw) = inline.or_else(next) else {
            return Err(ConfigError::new(shown, format!("a value is missing: write --{name} {}", key.value)));
        };
        if settings.values.contains_key(key.name) {
            return Err(ConfigError::new(shown, "it is given twice"));
        }
        settings.add(key.name, raw, Source::Flag);
    }
    match (command, settings.operands.len()) {
        (Command::Backup, 1) | (Command::Restore, 1..) => {}
        (Command::Backup, _) => {
            return Err(ConfigError::new("backup", "name one file to make: pixel-playground backup FILE"));
        }
        (Command::Restore, _) => {
            let problem = "name the backup: pixel-playground restore FILE [CANVAS…] [--replace]";
            return Err(ConfigError::new("restore", problem));
        }
        _ => {}
    }
    Ok((command, settings))
}

/// Adds what the environment sets. Empty variables count as not set, as deployment tools write them.
pub(crate) fn read_env(
    settings: &mut Settings,
    variables: impl Iterator<Item = (String, String)>,
) -> Result<(), ConfigError> {
    let known: Vec<_> = keys::all().map(|key| (key.env(), key.name)).collect();
    for (variable, raw) in variables.filter(|(name, _)| name.starts_with(ENV_PREFIX)) {
        let Some((_, name)) = known.iter().find(|(env, _)| *env == variable) else {
            return Err(unknown(&variable, "a variable of ours", known.iter().map(|(env, _)| env.as_str())));
        };
        if !raw.is_empty() {
            settings.add(name, raw, Source::Env);
        }
    }
    Ok(())
}

/// Adds what a TOML file sets.
pub(crate) fn read_file(settings: &mut Settings, path: PathBuf, text: &str) -> Result<(), ConfigError> {
    let shown = path.display().to_string();
    let table: Table =
        text.parse().map_err(|error| ConfigError::new(&shown, format!("it is not TOML: {error}")))?;
    for (name, value) in table {
        if name == "canvas" {
            let tables = match value {
                Value::Array(tables) => tables,
                _ => {
                    return Err(ConfigError::new(
                        format!("canvas in {shown}"),
                        "write it as [[canvas]] tables",
                    ));
                }
            };
            for (index, value) in tables.into_iter().enumerate() {
                settings.canvases.push(read_canvas(value, index + 1, &shown)?);
            }
            continue;
        }
        // A file that names another file would make it hard to say what holds.
        let in_file = || keys::all().filter(|key| key.name != "config");
        let Some(key) = in_file().find(|key| key.name == name) else {
            let names = in_file().map(|key| key.name).chain(["canvas"]);
            let mut error = unknown(&name, "a key", names);
            error.key = format!("{name} in {shown}");
            return Err(error);
        };
        let raw = read_scalar(value).ok_or_else(|| {
            ConfigError::new(
                format!("{name} in {shown}"),
                "the value must be a string, a number or a list of strings",
            )
        })?;
        settings.add(key.name, raw, Source::File(path.clone()));
    }
    Ok(())
}

/// A TOML value in the words of a flag.
fn read_scalar(value: Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text),
        Value::Integer(number) => Some(number.to_string()),
        Value::Array(items) => {
            let items: Option<Vec<String>> =
                items.into_iter().map(|item| item.as_str().map(str::to_owned)).collect();
            items.map(|items| items.join(","))
        }
        _ => None,
    }
}

const CANVAS_KEYS: &[&str] =
    &["id", "name", "width", "height", "palette", "background", "cooldown_ms", "charges_max"];

fn read_canvas(value: Value, number: usize, file: &str) -> Result<CanvasSpec, ConfigError> {
    let at = |key: &str| format!("{key} of [[canvas]] number {number} in {file}");
    let Value::Table(table) = value else {
        return Err(ConfigError::new(at("the whole"), "write it as a [[canvas]] table"));
    };
    let mut spec = CanvasSpec { width: 50, height: 50, ..CanvasSpec::default() };
    for (key, value) in table {
        let wrong = |expected: &str| ConfigError::new(at(&key), format!("it must be {expected}"));
        let text = |value: Value| value.as_str().map(str::to_owned).ok_or_else(|| wrong("a string"));
        let number = |value: Value| value.as_integer().ok_or_else(|| wrong("a whole number"));
        match key.as_str() {
            "id" => spec.id = text(value)?,
            "name" => spec.name = Some(text(value)?),
            "width" => spec.width = number(value)?,
            "height" => spec.height = number(value)?,
            "background" => spec.background = Some(text(value)?),
            "cooldown_ms" => spec.cooldown_ms = Some(number(value)?),
            "charges_max" => spec.charges_max = Some(number(value)?),
            "palette" => {
                let Value::Array(colors) = value else { return Err(wrong("a list of colours")) };
                spec.palette = Some(colors.into_iter().map(text).collect::<Result<_, _>>()?);
            }
            _ => {
                let mut error = unknown(&key, "a key of a canvas", CANVAS_KEYS.iter().copied());
                error.key = at(&key);
                return Err(error);
            }
        }
    }
    Ok(spec)
}

fn unknown<'a>(wrong: &str, what: &str, known: impl Iterator<Item = &'a str>) -> ConfigError {
    let problem = match nearest(wrong, known) {
        Some(near) => format!("it is not {what}: did you mean {near}?"),
        None => format!("it is not {what}: pixel-playground --help lists them"),
    };
    ConfigError::new(wrong, problem)
}
