//! Makes one script of a page's modules: a browser that opens six connections would load forty files in seven round trips.
//!
//! Each module becomes a function that gives what it exports, and those that it imports stand before it. What is loaded
//! on demand stays a file of its own, and takes what the page has already from the page's script. It reads what `web/` is
//! written in: named imports and exports, one on a line; anything else fails the build.

use std::collections::BTreeMap;
use std::fmt::Write as _;

/// Scripts by name.
type Scripts = BTreeMap<String, String>;

/// Turns the scripts into what is served: bundles for `entries`, and those that no entry contains; where one of these imports a
/// module of the first entry, it gets it from there.
pub(crate) fn bundle(scripts: &Scripts, entries: &[&str]) -> Scripts {
    let closures: Vec<Vec<&str>> = entries.iter().map(|entry| closure(scripts, entry)).collect();
    let page = closures.first().map(Vec::as_slice).unwrap_or_default();
    let mut served = Scripts::new();
    for (entry, modules) in entries.iter().zip(&closures) {
        served.insert((*entry).to_owned(), whole(scripts, entry, modules));
    }
    let mut on_demand: Vec<&str> = scripts
        .keys()
        .map(String::as_str)
        .filter(|name| !entries.contains(name) && !page.contains(name))
        .collect();
    // Nobody asks for what only another entry has.
    let asked: Vec<&str> = on_demand.iter().chain(page).flat_map(|name| mentioned(&scripts[*name])).collect();
    on_demand.retain(|name| asked.contains(name));
    for name in on_demand {
        let lines = scripts[name].lines().map(|line| match import(line) {
            Some((names, from)) if page.contains(&from) => {
                let module = variable(from);
                format!("import {{ {module} }} from './{}'; {}", entries[0], taken(names, &module))
            }
            _ => line.to_owned(),
        });
        served.insert(name.to_owned(), joined(lines));
    }
    served
}

/// An entry behind all that it needs.
fn whole(scripts: &Scripts, entry: &str, modules: &[&str]) -> String {
    let mut text = String::new();
    let mut variables = Vec::new();
    for name in modules.iter().filter(|name| **name != entry) {
        let (body, exports) = inner(&scripts[*name]);
        let module = variable(name);
        write!(text, "const {module} = (() => {{\n{body}return {{ {} }};\n}})();\n", exports.join(", "))
            .expect("a String takes everything");
        variables.push(module);
    }
    let (body, exports) = inner(&scripts[entry]);
    assert!(exports.is_empty(), "{entry} is where a page begins: nobody imports from it");
    text.push_str(&body);
    writeln!(text, "export {{ {} }};", variables.join(", ")).expect("a String takes everything");
    text
}

/// A module's body, with its imports taken from variables, and the names that it exports.
fn inner(script: &str) -> (String, Vec<&str>) {
    let mut exports = Vec::new();
    let lines: Vec<String> = script
        .lines()
        .map(|line| {
            if let Some((names, from)) = import(line) {
                return taken(names, &variable(from));
            }
            assert!(!line.starts_with("import "), "not an import that can be bundled: {line}");
            let Some(declared) = line.strip_prefix("export ") else { return line.to_owned() };
            let kinds = ["class ", "const ", "function ", "async function "];
            let name = kinds.iter().find_map(|kind| declared.strip_prefix(kind)).unwrap_or_default();
            let end =
                name.find(|letter: char| !letter.is_alphanumeric() && letter != '_').unwrap_or(name.len());
            assert!(end > 0, "not an export that can be bundled: {line}");
            exports.push(&name[..end]);
            declared.to_owned()
        })
        .collect();
    (joined(lines.into_iter()), exports)
}

/// A script and all that it imports, each behind what it imports itself.
fn closure<'a>(scripts: &'a Scripts, entry: &'a str) -> Vec<&'a str> {
    fn visit<'a>(scripts: &'a Scripts, name: &'a str, way: &mut Vec<&'a str>, found: &mut Vec<&'a str>) {
        assert!(!way.contains(&name), "{name} imports itself by way of {way:?}");
        if found.contains(&name) {
            return;
        }
        let script = scripts.get(name).unwrap_or_else(|| panic!("there is no {name}"));
        way.push(name);
        for (_, from) in script.lines().filter_map(import) {
            visit(scripts, from, way, found);
        }
        way.pop();
        found.push(name);
    }
    let mut found = Vec::new();
    visit(scripts, entry, &mut Vec::new(), &mut found);
    found
}

/// The names and the file of `import { names } from './file';`.
fn import(line: &str) -> Option<(&str, &str)> {
    let (names, from) = line.strip_prefix("import { ")?.split_once(" } from './")?;
    Some((names, from.strip_suffix("';")?))
}

/// `const { … } = module;` for `a, b as c`.
fn taken(names: &str, module: &str) -> String {
    format!("const {{ {} }} = {module};", names.replace(" as ", ": "))
}

/// The files that a script imports, at once or on demand.
fn mentioned(script: &str) -> impl Iterator<Item = &str> {
    script.split("'./").skip(1).filter_map(|rest| rest.split_once('\'').map(|(name, _)| name))
}

/// What stands for a module in a bundle.
fn variable(name: &str) -> String {
    format!("${}", name.trim_end_matches(".js"))
}

fn joined(lines: impl Iterator<Item = String>) -> String {
    lines.flat_map(|line| [line, "\n".to_owned()]).collect()
}
