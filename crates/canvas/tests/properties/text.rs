//! What is read from text, and only that.

use pixel_canvas::author::NAME_CHARACTERS_MAX;
use pixel_canvas::palette::PALETTE_COLORS_MAX;
use pixel_canvas::{CanvasId, Color, Epoch, Name, Palette};
use proptest::collection::vec;
use proptest::prelude::*;

proptest! {
    #[test]
    fn a_colour_comes_back_from_its_text_in_any_case(rgb: [u8; 3]) {
        let text = Color(rgb).to_string();
        prop_assert_eq!(Color::parse(&text), Some(Color(rgb)));
        prop_assert_eq!(Color::parse(&text.to_lowercase()), Some(Color(rgb)));
        prop_assert_eq!(text.to_uppercase(), text);
    }

    #[test]
    fn a_colour_is_six_digits_behind_a_hash_and_nothing_else(text in "\\PC{0,9}|#[0-9a-fA-F+ ]{5,7}") {
        let digits = text.strip_prefix('#').filter(|d| d.len() == 6 && d.bytes().all(|b| b.is_ascii_hexdigit()));
        prop_assert_eq!(Color::parse(&text).is_some(), digits.is_some());
    }

    #[test]
    fn an_epoch_comes_back_from_its_text(epoch: u64) {
        prop_assert_eq!(Epoch::parse(&Epoch(epoch).to_string()), Some(Epoch(epoch)));
    }

    #[test]
    fn a_name_is_short_visible_and_stays_what_it_is(raw in any::<String>()) {
        let Some(name) = Name::parse(&raw) else {
            return Ok(());
        };
        let text = name.as_str();
        prop_assert!((1..=NAME_CHARACTERS_MAX).contains(&text.chars().count()));
        prop_assert_eq!(text.trim(), text);
        prop_assert!(!text.chars().any(char::is_control));
        prop_assert_eq!(Name::parse(text), Some(name.clone()), "a name is a name");
    }

    #[test]
    fn a_plain_name_is_kept(raw in "[a-zA-Z<>&\"'äß字🎨]{1,20}") {
        for raw in [raw.clone(), format!("  {raw}\n")] {
            let name = Name::parse(&raw).expect("a name");
            prop_assert_eq!(name.as_str(), raw.trim());
        }
    }

    #[test]
    fn an_id_is_what_the_contract_allows(raw in "[a-zA-Z0-9_/.-]{0,66}|\\PC{0,5}") {
        let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '_';
        let starts = raw.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit());
        let expected = starts && raw.len() <= 64 && raw.chars().all(allowed);
        prop_assert_eq!(CanvasId::parse(&raw).is_some(), expected);
    }

    #[test]
    fn a_stored_colour_comes_back(colors in vec(any::<[u8; 3]>(), 1..300), pick: prop::sample::Index) {
        let picked = Color(*pick.get(&colors));
        let mut different: Vec<Color> = Vec::new();
        for color in colors.into_iter().map(Color) {
            if !different.contains(&color) {
                different.push(color);
            }
        }
        let count = different.len();
        let palettes = [Ok(Palette::TrueColor), Palette::indexed(different)];
        prop_assert_eq!(palettes[1].is_ok(), count <= PALETTE_COLORS_MAX);
        for palette in palettes.into_iter().flatten() {
            prop_assert!(palette.allows(picked));
            let mut stored = vec![0; palette.bytes_per_pixel()];
            palette.store(picked, &mut stored);
            prop_assert_eq!(palette.load(&stored), Some(picked));
        }
    }

    #[test]
    fn stored_bytes_name_only_colours_of_the_palette(count in 1..=256_usize, stored in vec(any::<u8>(), 0..5)) {
        let colors: Vec<Color> = (0..count).map(|n| Color([n as u8, (n >> 8) as u8, 7])).collect();
        let palette = Palette::indexed(colors).expect("all different");
        match palette.load(&stored) {
            Some(color) => prop_assert!(palette.allows(color)),
            None => prop_assert!(stored.len() != 1 || usize::from(stored[0]) >= count),
        }
    }
}

#[test]
fn names_that_only_look_like_names_are_none() {
    for raw in ["", "   ", "\n\t", "\u{200b}", "\u{202e}\u{202c}", "\u{7}\u{feff} \u{2028}"] {
        assert_eq!(Name::parse(raw), None, "{raw:?}");
    }
    assert_eq!(Name::parse("\u{202e}evil\u{0}").expect("a name").as_str(), "evil");
    assert_eq!(Name::parse("abcdefghijklmnopqrs tuv").expect("a name").as_str(), "abcdefghijklmnopqrs");
    assert_eq!(Name::anonymous(), Name::parse("Anonymous").expect("a name"));
}

#[test]
fn a_palette_names_no_colour_twice_and_has_one() {
    assert!(Palette::indexed(vec![]).is_err());
    let twice = Palette::indexed(vec![Color([1; 3]), Color([2; 3]), Color([1; 3])]);
    assert_eq!(twice, Err("the palette names #010101 twice".into()));
}
