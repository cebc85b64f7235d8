//! Messages of strangers in the binary dialect, to a server and to a client: what is read is written back.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use pixel_canvas::{Canvas, CanvasSpec};
use pixel_protocol::binary::{ToClient, ToServer};

static CANVASES: LazyLock<[Canvas; 2]> = LazyLock::new(|| {
    [None, Some(vec!["#FFFFFF".to_owned(), "#000000".to_owned()])].map(|palette| {
        let spec = CanvasSpec { id: "fuzz".into(), width: 600, height: 300, palette, ..CanvasSpec::default() };
        Canvas::parse(&spec).expect("a canvas")
    })
});

fuzz_target!(|bytes: &[u8]| {
    for canvas in &*CANVASES {
        if let Ok(message) = ToServer::decode(bytes, canvas) {
            let refused = matches!(&message, ToServer::Submit { placements: Err(_), .. });
            let mut written = Vec::new();
            message.encode(canvas, &mut written);
            assert!(refused || written == bytes);
        }
        if let Ok(Some(message)) = ToClient::decode(bytes, &canvas.palette) {
            let mut written = Vec::new();
            message.encode(&canvas.palette, &mut written);
            assert_eq!(ToClient::decode(&written, &canvas.palette), Ok(Some(message)));
        }
    }
});
