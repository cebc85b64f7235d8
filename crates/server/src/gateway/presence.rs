//! Who is here on one canvas: open sockets counted exactly, the newest names listed. Pure.

use std::collections::BTreeMap;

use pixel_canvas::Name;
use pixel_protocol::PEOPLE_MAX;

/// Everyone on one canvas.
#[derive(Debug, Default)]
pub(crate) struct Roster {
    sockets: u32,
    last_number: u32,
    named: BTreeMap<u32, Name>,
    announced: Announced,
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Announced {
    sockets: u32,
    people: BTreeMap<u32, Name>,
}

/// What changed since people were last told.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Changes {
    /// Open sockets now.
    pub(crate) sockets: u32,
    /// Numbers that are listed no more.
    pub(crate) gone: Vec<u32>,
    /// People who came or changed their name.
    pub(crate) come: Vec<(u32, Name)>,
    /// Everyone listed now, by number.
    pub(crate) listed: Vec<(u32, Name)>,
}

impl Roster {
    /// A socket opened; its person number.
    pub(crate) fn join(&mut self) -> u32 {
        self.sockets += 1;
        self.last_number = self.last_number.wrapping_add(1);
        self.last_number
    }

    /// A person took a name, or laid it down.
    pub(crate) fn rename(&mut self, number: u32, name: Option<Name>) {
        match name {
            Some(name) => drop(self.named.insert(number, name)),
            None => drop(self.named.remove(&number)),
        }
    }

    /// A socket closed.
    pub(crate) fn leave(&mut self, number: u32) {
        self.sockets -= 1;
        self.named.remove(&number);
    }

    /// Whether no socket is open.
    pub(crate) fn is_empty(&self) -> bool {
        self.sockets == 0
    }

    /// The newest names, newest first.
    pub(crate) fn newest(&self) -> impl Iterator<Item = &Name> {
        self.named.values().rev().take(PEOPLE_MAX)
    }

    /// What to tell people, once; `None` when nothing changed since the last time.
    pub(crate) fn announce(&mut self) -> Option<Changes> {
        let newest = self.named.iter().rev().take(PEOPLE_MAX);
        let people: BTreeMap<u32, Name> = newest.map(|(number, name)| (*number, name.clone())).collect();
        let now = Announced { sockets: self.sockets, people };
        if now == self.announced {
            return None;
        }
        let before = std::mem::replace(&mut self.announced, now);
        let now = &self.announced;
        let gone = before.people.keys().filter(|number| !now.people.contains_key(number)).copied().collect();
        let come = now.people.iter().filter(|(number, name)| before.people.get(number) != Some(name));
        Some(Changes {
            sockets: now.sockets,
            gone,
            come: come.map(|(number, name)| (*number, name.clone())).collect(),
            listed: now.people.iter().map(|(number, name)| (*number, name.clone())).collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Name {
        Name::parse(text).expect("a name")
    }

    #[test]
    fn people_hear_only_of_what_changed() {
        let mut roster = Roster::default();
        let (ann, bob) = (roster.join(), roster.join());
        roster.rename(ann, Some(name("Ann")));
        let first = roster.announce().expect("two came");
        assert_eq!((first.sockets, first.come, first.gone), (2, vec![(ann, name("Ann"))], vec![]));
        assert_eq!(roster.announce(), None);

        roster.rename(bob, Some(name("Bob")));
        roster.leave(ann);
        let second = roster.announce().expect("one came, one went");
        assert_eq!((second.sockets, second.come, second.gone), (1, vec![(bob, name("Bob"))], vec![ann]));
        assert_eq!(second.listed, vec![(bob, name("Bob"))]);
    }

    #[test]
    fn only_the_newest_hundred_are_listed_and_all_are_counted() {
        let mut roster = Roster::default();
        for index in 0..150 {
            let number = roster.join();
            roster.rename(number, Some(name(&format!("p{index}"))));
        }
        let changes = roster.announce().expect("many came");
        assert_eq!((changes.sockets, changes.listed.len()), (150, PEOPLE_MAX));
        assert_eq!(changes.listed[0].1, name("p50"));
        roster.leave(150);
        let changes = roster.announce().expect("the newest went");
        assert_eq!((changes.gone, changes.come), (vec![150], vec![(50, name("p49"))]));
    }
}
