//! Who is here on one canvas: open sockets counted exactly, the newest names listed. Pure.
//!
//! Sockets of this gateway are known at once. Other gateways say how many they hold and who is there;
//! what one said counts until it says something else, or has been silent for too long.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use pixel_canvas::Name;
use pixel_protocol::PEOPLE_MAX;

/// How long another gateway's word counts: people of one that was killed are gone after it.
pub(crate) const WORD_KEPT: Duration = Duration::from_secs(25);
/// A gateway with sockets says so at least this often.
pub(crate) const WORD_INTERVAL: Duration = Duration::from_secs(5);
/// Other gateways that are listened to on one canvas.
pub(crate) const GATEWAYS_MAX: usize = 1_024;

/// Everyone on one canvas.
#[derive(Debug, Default)]
pub(crate) struct Roster {
    /// Sockets of this gateway.
    sockets: u32,
    last_number: u32,
    /// People of this gateway.
    named: BTreeMap<u32, Name>,
    /// Other gateways, by the number that each gave itself.
    others: HashMap<u64, Other>,
    announced: Announced,
    /// Somebody came who was told of nobody yet.
    came: bool,
    said: Option<(Word, Instant)>,
}

/// What a gateway says of its own sockets on a canvas.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Word {
    pub(crate) sockets: u32,
    /// The newest people, with the numbers that gateway gave them.
    pub(crate) people: Vec<(u32, Name)>,
}

/// Another gateway, as it was heard last.
#[derive(Debug)]
struct Other {
    heard: Instant,
    sockets: u32,
    /// Its people: its number for each, to ours and the name.
    people: HashMap<u32, (u32, Name)>,
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Announced {
    sockets: u32,
    people: BTreeMap<u32, Name>,
}

/// What changed since people were last told.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Changes {
    /// Open sockets now, of all gateways.
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
        self.tell_again();
        self.next_number()
    }

    /// People are to be told who is here, though nothing may have changed.
    pub(crate) fn tell_again(&mut self) {
        self.came = true;
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

    /// Whether no socket of this gateway is open.
    pub(crate) fn is_empty(&self) -> bool {
        self.sockets == 0
    }

    /// Takes another gateway's word.
    pub(crate) fn hear(&mut self, gateway: u64, word: Word, now: Instant) {
        if word.sockets == 0 {
            self.others.remove(&gateway);
            return;
        }
        if !self.others.contains_key(&gateway) && self.others.len() >= GATEWAYS_MAX {
            return;
        }
        let mut before = self.others.remove(&gateway).map(|other| other.people).unwrap_or_default();
        let mut people = HashMap::new();
        for (number, name) in word.people.into_iter().take(PEOPLE_MAX) {
            let ours = before.remove(&number).map_or_else(|| self.next_number(), |(ours, _)| ours);
            people.insert(number, (ours, name));
        }
        self.others.insert(gateway, Other { heard: now, sockets: word.sockets, people });
    }

    /// Forgets gateways that have been silent for too long; whether there were any.
    pub(crate) fn forget_silent(&mut self, now: Instant) -> bool {
        let before = self.others.len();
        self.others.retain(|_, other| now.saturating_duration_since(other.heard) < WORD_KEPT);
        self.others.len() < before
    }

    /// What to say to other gateways now: what changed, or the same again when it is time.
    pub(crate) fn say(&mut self, now: Instant) -> Option<Word> {
        let people = self.named.iter().rev().take(PEOPLE_MAX).map(|(number, name)| (*number, name.clone()));
        let word = Word { sockets: self.sockets, people: people.collect() };
        let due = match &self.said {
            None => word.sockets > 0,
            Some((said, at)) => {
                let again = word.sockets > 0 && now.saturating_duration_since(*at) >= WORD_INTERVAL;
                *said != word || again
            }
        };
        if due {
            self.said = Some((word.clone(), now));
        }
        due.then_some(word)
    }

    /// The newest names of all gateways, newest first.
    pub(crate) fn newest(&self) -> impl Iterator<Item = &Name> {
        self.newest_people().into_iter().map(|(_, name)| name)
    }

    fn newest_people(&self) -> Vec<(u32, &Name)> {
        let own = self.named.iter().rev().take(PEOPLE_MAX).map(|(number, name)| (*number, name));
        let theirs = self.others.values().flat_map(|other| other.people.values());
        let mut people: Vec<(u32, &Name)> = own.chain(theirs.map(|(number, name)| (*number, name))).collect();
        people.sort_unstable_by_key(|(number, _)| std::cmp::Reverse(*number));
        people.truncate(PEOPLE_MAX);
        people
    }

    /// What to tell people, once; `None` when nothing changed since the last time and nobody came: who comes
    /// while another goes changes no count, and wants to know it.
    pub(crate) fn announce(&mut self) -> Option<Changes> {
        let people: BTreeMap<u32, Name> =
            self.newest_people().into_iter().map(|(number, name)| (number, name.clone())).collect();
        let sockets = self.others.values().fold(self.sockets, |sum, other| sum.saturating_add(other.sockets));
        let now = Announced { sockets, people };
        if !std::mem::take(&mut self.came) && now == self.announced {
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

    fn next_number(&mut self) -> u32 {
        self.last_number = self.last_number.wrapping_add(1);
        self.last_number
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

    /// A viewer of the JSON dialect heard nothing until somebody else came or went.
    #[test]
    fn who_comes_while_another_goes_is_told_how_many_there_are() {
        let mut roster = Roster::default();
        let ann = roster.join();
        assert_eq!(roster.announce().expect("one came").sockets, 1);
        roster.leave(ann);
        roster.join();
        assert_eq!(roster.announce().expect("another came").sockets, 1);
        assert_eq!(roster.announce(), None);
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

    fn word(sockets: u32, people: &[(u32, &str)]) -> Word {
        Word { sockets, people: people.iter().map(|(number, text)| (*number, name(text))).collect() }
    }

    #[test]
    fn other_gateways_count_until_they_say_otherwise_or_fall_silent() {
        let begun = crate::clock::Clock.now();
        let mut roster = Roster::default();
        let ann = roster.join();
        roster.rename(ann, Some(name("Ann")));
        roster.hear(7, word(3, &[(1, "Bob"), (2, "Cem")]), begun);
        roster.hear(8, word(2, &[(1, "Dora")]), begun);
        let all = roster.announce().expect("many came");
        assert_eq!((all.sockets, all.listed.len()), (6, 4));

        // The same people keep their numbers; who is not named any more is gone.
        let bob = all.listed.iter().find(|(_, who)| *who == name("Bob")).expect("Bob is listed").0;
        roster.hear(7, word(1, &[(1, "Bobby")]), begun + WORD_KEPT / 2);
        let changes = roster.announce().expect("one went, one has another name");
        assert_eq!((changes.sockets, changes.come), (4, vec![(bob, name("Bobby"))]));
        assert_eq!(changes.gone.len(), 1);

        assert!(roster.forget_silent(begun + WORD_KEPT), "8 was killed");
        assert_eq!(roster.announce().expect("its people are gone").sockets, 2);
        roster.hear(7, word(0, &[]), begun + WORD_KEPT);
        let last = roster.announce().expect("7 has drained");
        assert_eq!((last.sockets, last.listed), (1, vec![(ann, name("Ann"))]));
    }

    #[test]
    fn a_gateway_speaks_when_something_changed_and_while_it_holds_sockets() {
        let begun = crate::clock::Clock.now();
        let mut roster = Roster::default();
        assert_eq!(roster.say(begun), None, "nobody ever came");
        let ann = roster.join();
        assert_eq!(roster.say(begun), Some(word(1, &[])));
        assert_eq!(roster.say(begun + WORD_INTERVAL / 2), None);
        roster.rename(ann, Some(name("Ann")));
        assert_eq!(roster.say(begun + WORD_INTERVAL / 2), Some(word(1, &[(ann, "Ann")])));
        assert_eq!(roster.say(begun + WORD_INTERVAL * 2), Some(word(1, &[(ann, "Ann")])), "again");
        roster.leave(ann);
        assert_eq!(roster.say(begun + WORD_INTERVAL * 2), Some(word(0, &[])));
        assert_eq!(roster.say(begun + WORD_INTERVAL * 9), None, "nobody is here");
    }
}
