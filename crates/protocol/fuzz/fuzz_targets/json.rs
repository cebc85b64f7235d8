//! Text of strangers in the JSON dialect: errors stay short, and an answer with its `ref` is JSON.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pixel_protocol::json;

fuzz_target!(|text: &str| {
    let reference = match json::parse(text) {
        Ok(json::ToServer::PixelUpdate { reference, .. }) => reference,
        Ok(_) => None,
        Err(error) => {
            assert!(error.message.len() < 500);
            error.reference
        }
    };
    let mut out = Vec::new();
    json::error(&mut out, text, reference.as_ref(), Some(1));
    let answer = std::str::from_utf8(&out).expect("JSON is UTF-8");
    assert!(answer.starts_with("{\"type\":\"error\""));
});
