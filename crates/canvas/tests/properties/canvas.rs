//! A host's description is read whole, or the wrong key is named.

use pixel_canvas::{Amendment, Canvas, CanvasSpec, Color, Placement, Rate, Refusal, Size};
use proptest::option;
use proptest::prelude::*;

fn spec() -> CanvasSpec {
    CanvasSpec { id: "a".into(), width: 10, height: 20, ..CanvasSpec::default() }
}

#[test]
fn what_is_left_out_has_its_usual_value() {
    let canvas = Canvas::parse(&spec()).expect("it is right");
    assert_eq!((canvas.name.as_str(), canvas.background), ("a", Color::WHITE));
    assert_eq!((canvas.cooldown_ms, canvas.charges_max, canvas.frozen), (0, 1, false));
    assert_eq!(canvas.cooldown(), None);
    let dark = |colors: &[&str]| {
        let palette = Some(colors.iter().map(ToString::to_string).collect());
        Canvas::parse(&CanvasSpec { palette, ..spec() }).expect("it is right").background
    };
    assert_eq!(dark(&["#000000", "#111111"]), Color([0; 3]), "the first, where there is no white");
    assert_eq!(dark(&["#000000", "#ffffff"]), Color::WHITE);
}

#[test]
fn the_wrong_key_is_named() {
    let many = || (0..257).map(|n| format!("#{n:06x}")).collect();
    let wrong: [(&str, CanvasSpec); 20] = [
        ("id", CanvasSpec { id: String::new(), ..spec() }),
        ("id", CanvasSpec { id: "Main".into(), ..spec() }),
        ("id", CanvasSpec { id: "a/b".into(), ..spec() }),
        ("id", CanvasSpec { id: "-a".into(), ..spec() }),
        ("id", CanvasSpec { id: "a".repeat(65), ..spec() }),
        ("name", CanvasSpec { name: Some(" ".into()), ..spec() }),
        ("name", CanvasSpec { name: Some("a\nb".into()), ..spec() }),
        ("name", CanvasSpec { name: Some("a".repeat(81)), ..spec() }),
        ("width", CanvasSpec { width: 0, ..spec() }),
        ("width", CanvasSpec { width: 65_537, ..spec() }),
        ("height", CanvasSpec { height: -1, ..spec() }),
        ("height", CanvasSpec { height: i64::MAX, ..spec() }),
        ("palette", CanvasSpec { palette: Some(vec![]), ..spec() }),
        ("palette", CanvasSpec { palette: Some(many()), ..spec() }),
        ("palette", CanvasSpec { palette: Some(vec!["red".into()]), ..spec() }),
        ("background", CanvasSpec { background: Some("#fff".into()), ..spec() }),
        (
            "background",
            CanvasSpec {
                background: Some("#ffffff".into()),
                palette: Some(vec!["#000000".into()]),
                ..spec()
            },
        ),
        ("cooldown_ms", CanvasSpec { cooldown_ms: Some(86_400_001), ..spec() }),
        ("charges_max", CanvasSpec { charges_max: Some(0), ..spec() }),
        ("charges_max", CanvasSpec { charges_max: Some(10_001), ..spec() }),
    ];
    for (key, spec) in wrong {
        let invalid = Canvas::parse(&spec).expect_err("it is wrong");
        assert_eq!(invalid.key, key, "{invalid}");
    }
}

#[test]
fn a_placement_is_read_or_the_reason_is_told() {
    let palette = Some(vec!["#FFFFFF".into(), "#1C1917".into()]);
    let canvas = Canvas::parse(&CanvasSpec { palette, ..spec() }).expect("it is right");
    let ask = |x, y, color| Placement::parse(x, y, color, &canvas);
    let placed = ask(9, 19, "#1c1917").expect("it is right");
    assert_eq!((placed.at.x, placed.at.y, placed.color), (9, 19, Color([0x1C, 0x19, 0x17])));
    let size = Size::new(10, 20).expect("a size");
    for (x, y) in [(10, 0), (0, 20), (-1, 0), (i64::MAX, i64::MIN)] {
        assert_eq!(ask(x, y, "#1c1917"), Err(Refusal::Outside { x, y, size }));
    }
    let long = "#".repeat(5_000);
    assert_eq!(ask(0, 0, &long), Err(Refusal::NotAColor("#".repeat(32))), "what is told is short");
    assert_eq!(ask(0, 0, "#000000"), Err(Refusal::NotInPalette(Color([0; 3]))));
}

fn amendment() -> impl Strategy<Value = Amendment> {
    let name = option::of("[ a-z\n]{0,90}");
    (name, option::of(-9..100_000_000_i64), option::of(-9..20_000_i64), option::of(any::<bool>())).prop_map(
        |(name, cooldown_ms, charges_max, frozen)| Amendment { name, cooldown_ms, charges_max, frozen },
    )
}

proptest! {
    #[test]
    fn an_amendment_is_applied_whole_or_not_at_all(amendment in amendment()) {
        let before = Canvas::parse(&spec()).expect("it is right");
        let mut after = before.clone();
        match after.amend(&amendment) {
            Err(_) => prop_assert_eq!(after, before),
            Ok(()) => {
                prop_assert_eq!(&after.name, amendment.name.as_deref().map_or("a", str::trim));
                prop_assert_eq!(after.cooldown_ms as i64, amendment.cooldown_ms.unwrap_or(0));
                prop_assert_eq!(i64::from(after.charges_max), amendment.charges_max.unwrap_or(1));
                prop_assert_eq!(after.frozen, amendment.frozen.unwrap_or(false));
                prop_assert_eq!((after.size, after.background), (before.size, before.background));
                let (interval_us, burst) = (after.cooldown_ms * 1_000, u64::from(after.charges_max));
                prop_assert_eq!(after.cooldown(), (interval_us > 0).then_some(Rate { interval_us, burst }));
            }
        }
    }
}
