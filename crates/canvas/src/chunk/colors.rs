//! The packed pixels of a chunk: a list while few are painted, whole once there are many.

use std::sync::Arc;

/// The most painted pixels that are kept as a list: 6 bytes each, where a whole chunk takes 192 KiB.
pub const FEW_PIXELS_MAX: usize = 4_096;
/// The most bytes that a pixel takes packed.
const PIXEL_BYTES_MAX: usize = 3;

/// A painted pixel of the list: its index in the chunk, row by row, and its packed bytes, the first
/// of them where a pixel takes fewer.
pub type FewPixel = (u16, [u8; PIXEL_BYTES_MAX]);

/// A chunk's pixels, in the smaller of two forms.
#[derive(Clone, Debug)]
pub enum Colors {
    /// The painted ones by index; all others are the background.
    Few(Vec<FewPixel>),
    /// Every one, row by row.
    Whole(Arc<Vec<u8>>),
}

impl Colors {
    /// Whole pixels in the smaller form; `blank` is the chunk before anybody painted.
    pub(super) fn of_whole(pixels: Vec<u8>, blank: &[u8], bytes_per_pixel: usize) -> Self {
        let pairs = pixels.chunks_exact(bytes_per_pixel).zip(blank.chunks_exact(bytes_per_pixel));
        let differing = || pairs.clone().enumerate().filter(|(_, (pixel, blank))| pixel != blank);
        if differing().nth(FEW_PIXELS_MAX).is_some() {
            return Self::Whole(Arc::new(pixels));
        }
        let few = differing().map(|(index, (packed, _))| {
            let mut pixel = [0; PIXEL_BYTES_MAX];
            pixel[..bytes_per_pixel].copy_from_slice(packed);
            (index as u16, pixel)
        });
        Self::Few(few.collect())
    }

    /// The packed bytes at `index`; `None` when it is the background.
    pub(super) fn get(&self, index: u16, bytes_per_pixel: usize) -> Option<&[u8]> {
        match self {
            Self::Few(list) => {
                let found = list.binary_search_by_key(&index, |(at, _)| *at).ok()?;
                Some(&list[found].1[..bytes_per_pixel])
            }
            Self::Whole(pixels) => {
                let start = usize::from(index) * bytes_per_pixel;
                Some(&pixels[start..start + bytes_per_pixel])
            }
        }
    }

    /// Puts a pixel down; `blank` is the chunk before anybody painted.
    pub(super) fn set(&mut self, index: u16, packed: &[u8], blank: &[u8]) {
        let list = match self {
            Self::Whole(pixels) => return put(Arc::make_mut(pixels).as_mut_slice(), index, packed),
            Self::Few(list) => list,
        };
        let mut pixel = [0; PIXEL_BYTES_MAX];
        pixel[..packed.len()].copy_from_slice(packed);
        match list.binary_search_by_key(&index, |(at, _)| *at) {
            Ok(found) => list[found].1 = pixel,
            Err(place) if list.len() < FEW_PIXELS_MAX => list.insert(place, (index, pixel)),
            Err(_) => {
                let mut pixels = whole(list, packed.len(), blank);
                put(&mut pixels, index, packed);
                *self = Self::Whole(Arc::new(pixels));
            }
        }
    }

    /// Every pixel, row by row; a copy only where they are a list.
    pub(super) fn pixels(&self, bytes_per_pixel: usize, blank: &Arc<Vec<u8>>) -> Arc<Vec<u8>> {
        match self {
            Self::Few(list) if list.is_empty() => Arc::clone(blank),
            Self::Few(list) => Arc::new(whole(list, bytes_per_pixel, blank)),
            Self::Whole(pixels) => Arc::clone(pixels),
        }
    }
}

fn whole(list: &[FewPixel], bytes_per_pixel: usize, blank: &[u8]) -> Vec<u8> {
    let mut pixels = blank.to_vec();
    list.iter().for_each(|(index, pixel)| put(&mut pixels, *index, &pixel[..bytes_per_pixel]));
    pixels
}

fn put(pixels: &mut [u8], index: u16, packed: &[u8]) {
    let start = usize::from(index) * packed.len();
    pixels[start..start + packed.len()].copy_from_slice(packed);
}
