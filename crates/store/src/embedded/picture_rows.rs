//! The codecs of a chunk at rest: its pixels and its rows of marks, each as small as what was painted.

use std::io::{self, Write};
use std::sync::Arc;

use pixel_canvas::chunk::{Colors, FewPixel, MARK_BYTES, MarkRow, MarkedPixel};
use pixel_canvas::{Chunk, Sequence};

use super::bytes::Input;

/// zstd's level: the fastest.
const COMPRESSION: i32 = 1;
/// The first byte of pixels as a list. Whole ones begin as every zstd frame does, with 0x28.
const FEW: u8 = 1;
/// Bytes of a chunk's pixels in true colour; a list is never longer.
const PIXELS_BYTES_MAX: usize = 256 * 256 * 3;
/// A pixel of the list: its index, and 3 bytes of colour, those that a palette does not need being 0.
const FEW_PIXEL_BYTES: usize = 5;
/// A marked pixel of a row that is not whole: its column, and the mark.
const MARKED_PIXEL_BYTES: usize = 1 + MARK_BYTES;

/// A chunk's row: `changed`, then its pixels, compressed with a checksum.
pub(crate) fn encode_chunk(chunk: &Chunk) -> Vec<u8> {
    let mut out = chunk.changed().0.to_le_bytes().to_vec();
    match chunk.colors() {
        Colors::Whole(pixels) => compress(&mut out, pixels),
        Colors::Few(list) => {
            let pixel = |(index, color): &FewPixel| {
                let [low, high] = index.to_le_bytes();
                [low, high, color[0], color[1], color[2]]
            };
            out.push(FEW);
            compress(&mut out, list.iter().map(pixel).collect::<Vec<_>>().as_flattened());
        }
    }
    out
}

/// `changed` and the pixels of a chunk's row.
pub(crate) fn decode_chunk(value: &[u8]) -> Option<(Sequence, Colors)> {
    let mut input = Input(value);
    let changed = Sequence(input.u64()?);
    let decompress = |bytes: &[u8]| zstd::bulk::decompress(bytes, PIXELS_BYTES_MAX).ok();
    let colors = match input.0.split_first()? {
        (&FEW, list) => {
            let list = decompress(list)?;
            let (list, rest) = list.as_chunks::<FEW_PIXEL_BYTES>();
            let pixel = |[low, high, r, g, b]: &[u8; 5]| (u16::from_le_bytes([*low, *high]), [*r, *g, *b]);
            rest.is_empty().then(|| Colors::Few(list.iter().map(pixel).collect()))?
        }
        _ => Colors::Whole(Arc::new(decompress(input.0)?)),
    };
    Some((changed, colors))
}

fn compress(out: &mut Vec<u8>, bytes: &[u8]) {
    let mut write = || -> io::Result<()> {
        let mut encoder = zstd::Encoder::new(&mut *out, COMPRESSION)?;
        encoder.include_checksum(true)?;
        encoder.write_all(bytes)?;
        encoder.finish().map(drop)
    };
    write().expect("memory takes what is compressed into it");
}

/// The marks of one row of a chunk: of every pixel where that is shorter, else of the painted ones.
pub(crate) fn encode_marks(row: &MarkRow, width: usize) -> Vec<u8> {
    if row.pixels.len() * MARKED_PIXEL_BYTES < width * MARK_BYTES {
        return row.pixels.iter().flat_map(|(x, mark)| [&[*x][..], mark].concat()).collect();
    }
    let mut whole = vec![[0; MARK_BYTES]; width];
    row.pixels.iter().for_each(|(x, mark)| whole[usize::from(*x)] = *mark);
    whole.into_flattened()
}

/// The painted pixels of a row of marks.
pub(crate) fn decode_marks(value: &[u8], width: usize) -> Option<Vec<MarkedPixel>> {
    if value.len() == width * MARK_BYTES {
        let marks = value.as_chunks::<MARK_BYTES>().0.iter().enumerate();
        let painted = marks.filter(|(_, mark)| **mark != [0; MARK_BYTES]);
        return Some(painted.map(|(x, mark)| (x as u8, *mark)).collect());
    }
    let (pixels, rest) = value.as_chunks::<MARKED_PIXEL_BYTES>();
    let pixel = |pixel: &[u8; MARKED_PIXEL_BYTES]| {
        let (mark, _) = pixel[1..].as_chunks::<MARK_BYTES>();
        (pixel[0], mark[0])
    };
    rest.is_empty().then(|| pixels.iter().map(pixel).collect())
}

#[cfg(test)]
mod tests {
    use pixel_canvas::chunk::{Blank, FEW_PIXELS_MAX};
    use pixel_canvas::{Color, Mark, Palette, Size, Timestamp};

    use super::*;

    /// A chunk of so many painted pixels.
    fn chunk(painted: usize) -> Chunk {
        let size = Size::new(256, 256).expect("a size");
        let mut chunk = Chunk::new(&Blank::new(size, &Palette::TrueColor, Color::WHITE));
        for number in 0..painted {
            let sequence = Sequence(number as u64 + 1);
            let mark = Mark { sequence, at: Timestamp(7), author: 9 };
            let color = Color([1, (number % 251) as u8, 3]);
            chunk.paint((number * 7_919 % 65_536) as u16, color, &Palette::TrueColor, mark);
        }
        chunk
    }

    #[test]
    fn a_chunk_takes_as_much_at_rest_as_was_painted() {
        for painted in [1, 2, FEW_PIXELS_MAX, FEW_PIXELS_MAX + 1, 65_536] {
            let chunk = chunk(painted);
            let value = encode_chunk(&chunk);
            let (changed, colors) = decode_chunk(&value).expect("it was a chunk");
            let rows: Vec<MarkRow> = chunk
                .mark_rows()
                .iter()
                .map(|row| {
                    let value = encode_marks(row, 256);
                    assert!(value.len() <= 256 * MARK_BYTES, "{}", value.len());
                    MarkRow { y: row.y, pixels: decode_marks(&value, 256).expect("they were marks") }
                })
                .collect();
            assert_eq!(rows, chunk.mark_rows());
            let blank = Blank::new(chunk.size(), &Palette::TrueColor, Color::WHITE);
            let back = Chunk::restore(&blank, &Palette::TrueColor, changed, colors, rows);
            assert!(back.expect("it was a chunk").pixels() == chunk.pixels());
            if painted == 1 {
                let bytes = value.len() + encode_marks(&chunk.mark_rows()[0], 256).len();
                assert!(bytes < 64, "{bytes} bytes for a pixel");
            }
        }
    }

    #[test]
    fn a_damaged_chunk_is_none() {
        for painted in [1, FEW_PIXELS_MAX + 1] {
            let mut value = encode_chunk(&chunk(painted));
            // The last bytes are the checksum, those before it what was compressed.
            for back in [1, 5] {
                let at = value.len() - back;
                value[at] ^= 1;
                assert!(decode_chunk(&value).is_none(), "{painted} pixels, byte {back} from the end");
                value[at] ^= 1;
            }
            assert!(decode_chunk(&value).is_some());
        }
    }

    #[test]
    fn what_version_1_wrote_is_read() {
        let chunk = chunk(3);
        let mut value = chunk.changed().0.to_le_bytes().to_vec();
        value.extend(zstd::bulk::compress(&chunk.pixels(), 1).expect("it is compressed"));
        let (changed, colors) = decode_chunk(&value).expect("it was a chunk");
        assert_eq!(changed, Sequence(3));
        assert!(matches!(colors, Colors::Whole(pixels) if pixels == chunk.pixels()));
        let row = &chunk.mark_rows()[0];
        let mut whole = vec![[0; MARK_BYTES]; 256];
        row.pixels.iter().for_each(|(x, mark)| whole[usize::from(*x)] = *mark);
        assert_eq!(decode_marks(whole.as_flattened(), 256).as_ref(), Some(&row.pixels));
    }

    #[test]
    fn fuzz_chunk_runs() {
        let list = |painted: usize| match chunk(painted).colors() {
            Colors::Few(list) => {
                list.iter().flat_map(|(at, rgb)| [&at.to_le_bytes()[..], rgb].concat()).collect()
            }
            Colors::Whole(pixels) => pixels[..300].to_vec(),
        };
        let marks = encode_marks(&chunk(3).mark_rows()[0], 256);
        let seeds = [list(1), list(5), list(FEW_PIXELS_MAX + 1), marks];
        crate::run::fuzz("chunk_runs", &seeds, |bytes| {
            let _ = decode_chunk(bytes);
            let size = Size::new(256, 256).expect("a size");
            let blank = Blank::new(size, &Palette::TrueColor, Color::WHITE);
            for kind in [&[FEW][..], &[]] {
                // Compressed as it would be, so that what comes out is what is tried.
                let mut value = 9_u64.to_le_bytes().to_vec();
                value.extend_from_slice(kind);
                compress(&mut value, bytes);
                let Some((changed, colors)) = decode_chunk(&value) else { continue };
                let _ = Chunk::restore(&blank, &Palette::TrueColor, changed, colors.clone(), Vec::new());
                for width in [1, 200, 256] {
                    let Some(pixels) = decode_marks(bytes, width) else { continue };
                    let rows = vec![MarkRow { y: 0, pixels }];
                    let _ = Chunk::restore(&blank, &Palette::TrueColor, changed, colors.clone(), rows);
                }
            }
        });
    }
}
