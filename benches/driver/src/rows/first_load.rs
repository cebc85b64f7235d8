//! The row of the bytes that a small canvas takes on its way to a page.

use std::io::Write;
use std::net::TcpStream;

use anyhow::{Context, Result, ensure};
use pixel_canvas::{Color, Placement, Point};

use crate::contestant::{Contestant, Running, get, get_as};
use crate::report::{Goal, Section, Table, grouped};
use crate::rows::Bench;
use crate::wire::{self, SMALL};

/// Placements of one submission.
const SUBMISSION_PLACEMENTS: usize = 250;
/// What browsers ask for, and what they get then.
const ASKED: [(&str, &str); 3] =
    [("gzip, deflate, br, zstd", "zstd"), ("gzip, deflate, br", "br"), ("gzip, deflate", "gzip")];

/// The colour of each place.
type Picture = fn(u16, u16) -> Color;
/// What is loaded: its name, the picture, and the bytes that it has to stay below.
const PICTURES: [(&str, Picture, usize); 2] = [("simple", simple, 1_000), ("noise", noise, 8_000)];

pub(super) fn first_load(bench: &Bench) -> Result<Section> {
    let server = Running::start(&bench.programs, Contestant::OursBinary, &[])?;
    let api = server.api.context("ours has an api")?;
    let (mut rows, mut goals, mut painted) = (Vec::new(), Vec::new(), 0);
    for (name, picture, limit) in PICTURES {
        let placements = placements(picture);
        painted += placements.len();
        // It reads nothing, and stays until all is painted.
        let painter = paint(&server, &placements)?;
        let path = format!("/api/canvases/{}/chunks/0/0?since={painted}", SMALL.canvas);
        let pixels: Vec<u8> = placements.iter().flat_map(|placement| placement.color.0).collect();
        ensure!(get(api, &path)? == pixels, "what is loaded is not what was painted");
        drop(painter);
        let mut row = vec![name.to_owned(), grouped(pixels.len())];
        let mut most = 0;
        for (asked, expected) in ASKED {
            let (head, body) = get_as(api, &path, asked)?;
            let encoded = format!("content-encoding: {expected}\r\n");
            ensure!(head.to_lowercase().contains(&encoded), "{asked} was answered by {head}");
            most = most.max(head.len() + body.len());
            row.push(format!("{} + {}", grouped(body.len()), grouped(head.len())));
        }
        rows.push(row);
        goals.push(below(&format!("first load of 50×50, {name}, in every encoding"), limit, most));
    }
    let columns = ["picture", "pixels, bytes", "zstd, body + head", "br, body + head", "gzip, body + head"];
    Ok(Section {
        about: "A canvas of 50×50 in true colour as the page loads it: the body and the head of one answer of the chunk's route, for each of \
                the encodings that browsers ask for. The simple picture has a sky, a sun, a hill and a house; in the noise every pixel is \
                random, so that nothing is smaller than its pixels."
            .to_owned(),
        tables: vec![Table { columns: columns.map(str::to_owned).to_vec(), rows }],
        goals,
        ..Section::default()
    })
}

/// A picture in the order of its pixels.
fn placements(picture: Picture) -> Vec<Placement> {
    let side = SMALL.side as u16;
    let at = (0..side).flat_map(|y| (0..side).map(move |x| Point { x, y }));
    at.map(|at| Placement { at, color: picture(at.x, at.y) }).collect()
}

/// Submits all of them.
fn paint(server: &Running, placements: &[Placement]) -> Result<TcpStream> {
    let mut stream = TcpStream::connect(server.address)?;
    let mut out = wire::upgrade(Contestant::OursBinary.dialect(), SMALL.canvas, &server.address.to_string());
    for (key, some) in placements.chunks(SUBMISSION_PLACEMENTS).enumerate() {
        wire::submit(key as u64, some.to_vec(), &mut out);
    }
    stream.write_all(&out)?;
    Ok(stream)
}

fn simple(x: u16, y: u16) -> Color {
    let (from_sun_x, from_sun_y) = (x.abs_diff(38), y.abs_diff(10));
    let hill = 34 + x.abs_diff(20) / 4;
    Color(match () {
        () if from_sun_x * from_sun_x + from_sun_y * from_sun_y <= 36 => [0xff, 0xd6, 0x35],
        () if (14..26).contains(&x) && (24..36).contains(&y) => [0xbe, 0x00, 0x39],
        () if y >= hill => [0x00, 0xa3, 0x68],
        () => [0x51, 0xe9, 0xf4],
    })
}

/// Bits of every place that have nothing to do with those of another.
fn noise(x: u16, y: u16) -> Color {
    let mut bits = (u64::from(y) << 16 | u64::from(x)).wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    for factor in [0xbf58_476d_1ce4_e5b9_u64, 0x94d0_49bb_1331_11eb] {
        bits = (bits ^ bits >> 29).wrapping_mul(factor);
    }
    let [.., red, green, blue] = bits.to_le_bytes();
    Color([red, green, blue])
}

fn below(what: &str, limit: usize, reached: usize) -> Goal {
    Goal {
        what: what.to_owned(),
        wanted: format!("< {} B", grouped(limit)),
        reached: format!("{} B", grouped(reached)),
        met: reached < limit,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn the_simple_picture_has_few_colours_and_noise_as_many_as_pixels() {
        let colours = |picture| placements(picture).iter().map(|at| at.color.0).collect::<HashSet<_>>().len();
        assert_eq!(colours(simple), 4);
        assert!(colours(noise) > 2_490, "{}", colours(noise));
    }

    #[test]
    fn a_limit_of_bytes_is_to_stay_below() {
        assert!(below("a", 1_000, 999).met && !below("a", 1_000, 1_000).met);
    }
}
