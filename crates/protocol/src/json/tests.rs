//! Mistakes get a sentence that names them, and what the server writes is the JSON it should be.

use pixel_canvas::{Canvas, Epoch, Placement, Sequence, Timestamp, Turn};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn message_of(text: &str) -> String {
    parse(text).expect_err(text).message
}

fn written(write: impl FnOnce(&mut Vec<u8>)) -> String {
    let mut out = Vec::new();
    write(&mut out);
    String::from_utf8(out).expect("JSON is UTF-8")
}

#[test]
fn every_message_of_the_contract_is_read() {
    assert_eq!(parse(r#"{"type":"ping"}"#), Ok(ToServer::Ping));
    assert_eq!(
        parse(r#" {"username":"M\u00fcller","type":"set_username","more":[1]}"#),
        Ok(ToServer::SetUsername("Müller".into()))
    );
    assert_eq!(
        parse(r##"{"type":"pixel_update","x":-1,"y":49,"color":"#ff0000","username":null}"##),
        Ok(ToServer::PixelUpdate { x: -1, y: 49, color: "#ff0000".into(), username: None, reference: None })
    );
    assert_eq!(
        parse(r#"{"type":"resume","epoch":"00000000000000FF","sequence":9}"#),
        Ok(ToServer::Resume { epoch: Epoch(255), sequence: Sequence(9) })
    );
    assert_eq!(
        parse(r#"{"type":"undo"}"#),
        Ok(ToServer::Retrace { turn: Turn::Undo, count: 1, reference: None })
    );
    assert!(matches!(
        parse(r#"{"type":"redo","count":7,"ref":"a"}"#),
        Ok(ToServer::Retrace { turn: Turn::Redo, count: 7, reference: Some(_) })
    ));
    assert_eq!(message_of(r#"{"type":"undo","count":"2"}"#), "count must be an integer, not \"2\"");
    for count in ["0", "-1", "257", "65537"] {
        let sentence = message_of(&format!(r#"{{"type":"undo","count":{count}}}"#));
        assert_eq!(sentence, format!("count must be an integer from 1 to 256, not {count}"));
    }
}

#[test]
fn a_mistake_is_named_with_what_is_allowed() {
    let pixel = |x: &str, y: &str, color: &str| {
        message_of(&format!(r#"{{"type":"pixel_update","x":{x},"y":{y},"color":{color}}}"#))
    };
    for x in ["1.5", "\"1\"", "true", "[1]", "1e-2", "1e300"] {
        assert_eq!(pixel(x, "2", "\"#000000\""), format!("x must be an integer, not {x}"));
    }
    assert_eq!(pixel("null", "2", "\"#000000\""), "x is missing: it must be an integer");
    assert_eq!(pixel("1", "2", "7"), "color must be a string such as \"#1C1917\", not 7");
    assert_eq!(
        message_of(r#"{"type":"pixel_update","x":1,"y":2}"#),
        "color is missing: it must be a string such as \"#1C1917\""
    );
    assert_eq!(
        message_of(r#"{"type":"draw"}"#),
        "unknown type \"draw\": it must be one of set_username, pixel_update, undo, redo, ping, resume"
    );
    assert_eq!(
        message_of("{}"),
        "type is missing: it must be one of set_username, pixel_update, undo, redo, ping, resume"
    );
    assert_eq!(message_of("[]"), "a message is one JSON object");
    assert!(message_of("{\"type\":").starts_with("this is not a JSON object: "));
    assert!(message_of(r#"{"type":"resume","epoch":"xyz","sequence":1}"#).starts_with("epoch must be"));
    assert!(
        message_of(r#"{"type":"resume","epoch":"0000000000000000","sequence":-1}"#)
            .starts_with("sequence must")
    );
}

#[test]
fn an_error_carries_the_ref_of_its_message() {
    let error = parse(r#"{"type":"pixel_update","ref":"a\"b","x":1.5}"#).expect_err("x is no integer");
    assert_eq!(error.reference.as_ref().map(Ref::as_json), Some(r#""a\"b""#));
    let text = written(|out| super::error(out, &error.message, error.reference.as_ref(), Some(1_250)));
    assert_eq!(
        text,
        r#"{"type":"error","message":"x must be an integer, not 1.5","ref":"a\"b","retryAfter":1.250}"#
    );
}

#[test]
fn a_ref_is_an_integer_or_a_short_string() {
    let with = |reference: &str| {
        parse(&format!(r##"{{"type":"pixel_update","x":1,"y":1,"color":"#000000","ref":{reference}}}"##))
    };
    for fine in ["0", "-7", "18446744073709551616", "\"\"", "\"é\""] {
        match with(fine) {
            Ok(ToServer::PixelUpdate { reference: Some(reference), .. }) => {
                assert_eq!(reference.as_json(), fine)
            }
            other => panic!("{fine}: {other:?}"),
        }
    }
    let long = format!("\"{}\"", "x".repeat(31));
    for wrong in ["1.5", "1e3", "true", "{}", "[]", &long, "\"\\ud800\""] {
        assert!(with(wrong).expect_err(wrong).message.starts_with("ref must be"), "{wrong}");
    }
}

#[test]
fn what_is_written_is_what_clients_of_the_original_read() {
    let canvas = Canvas::default_canvas();
    let placement = Placement::parse(3, 49, "#ff8800", &canvas).expect("valid");
    assert_eq!(
        written(|out| pixel_updated(out, &placement, "<b>\"\n", Timestamp(1_700), Sequence(9))),
        r##"{"type":"pixel_updated","x":3,"y":49,"color":"#FF8800","username":"<b>\"\n","timestamp":1700,"sequence":9}"##
    );
    assert_eq!(
        written(|out| connected(out, 7, Epoch(255), Sequence(3))),
        r#"{"type":"connected","message":"Connected to Pixel Playground","clientId":"7","epoch":"00000000000000ff","sequence":3}"#
    );
    assert_eq!(
        written(|out| stats(out, 2, Timestamp(5))),
        r#"{"type":"stats","activeUsers":2,"timestamp":5}"#
    );
    assert_eq!(
        written(|out| user_list(out, ["a", "b\""].into_iter(), Timestamp(5))),
        r#"{"type":"user_list","users":["a","b\""],"timestamp":5}"#
    );
    assert_eq!(written(|out| pong(out, Timestamp(5))), r#"{"type":"pong","timestamp":5}"#);
    assert_eq!(
        written(|out| resync(out, Epoch(1), Sequence(5))),
        r#"{"type":"resync","epoch":"0000000000000001","sequence":5}"#
    );
}

/// JSON that resembles a message: the fields are there, their values are anything.
fn resembling() -> impl Strategy<Value = Value> {
    let value = prop_oneof![
        any::<i64>().prop_map(|number| json!(number)),
        any::<f64>().prop_map(|number| json!(number)),
        "\\PC{0,40}".prop_map(|text| json!(text)),
        Just(json!("pixel_update")),
        Just(json!("resume")),
        Just(Value::Null),
        Just(json!([[{}]])),
    ];
    let key =
        proptest::sample::select(vec!["type", "x", "y", "color", "username", "ref", "epoch", "sequence"]);
    proptest::collection::vec((key, value), 0..8).prop_map(|fields| {
        Value::Object(fields.into_iter().map(|(key, value)| (key.to_owned(), value)).collect())
    })
}

proptest! {
    #[test]
    fn no_text_makes_the_reader_panic(text in "\\PC{0,200}") {
        let _ = parse(&text);
    }

    #[test]
    fn no_object_makes_the_reader_panic(object in resembling()) {
        if let Err(error) = parse(&object.to_string()) {
            prop_assert!(error.message.chars().count() < 200);
        }
    }

    #[test]
    fn any_name_comes_back_as_it_was(name in "\\PC{0,30}|[\\x00-\\x1f\"\\\\]{0,10}", x in 0_i64..50, at: u32) {
        let canvas = Canvas::default_canvas();
        let placement = Placement::parse(x, 0, "#123456", &canvas).expect("valid");
        let text = written(|out| pixel_updated(out, &placement, &name, Timestamp(at.into()), Sequence(1)));
        let read: ToClient = serde_json::from_str(&text).expect("JSON");
        let expected = ToClient::PixelUpdated {
            x: x as u16, y: 0, color: "#123456".into(), username: name, timestamp: at.into(), sequence: 1,
        };
        prop_assert_eq!(read, expected);
    }
}
