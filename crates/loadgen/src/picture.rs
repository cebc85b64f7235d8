//! A picture from a PNG, as pixels to paint and to compare.

use std::io::Cursor;

use anyhow::{Context, Result, bail};
use pixel_canvas::{Color, Palette};
use png::{ColorType, Decoder, Transformations};

/// The most pixels of a picture: 4096².
const PIXELS_MAX: u64 = 1 << 24;

/// Rows of colours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Picture {
    /// Pixels in a row.
    pub width: u32,
    /// Rows.
    pub height: u32,
    /// Row by row.
    pub pixels: Vec<Color>,
}

impl Picture {
    /// Reads a PNG; what is transparent lies on white.
    pub fn read(png: &[u8]) -> Result<Self> {
        let mut decoder = Decoder::new(Cursor::new(png));
        decoder.set_transformations(Transformations::EXPAND | Transformations::STRIP_16);
        let mut reader = decoder.read_info().context("this is not a PNG")?;
        let (width, height) = (reader.info().width, reader.info().height);
        if u64::from(width) * u64::from(height) > PIXELS_MAX {
            bail!("{width}×{height} are more than the {PIXELS_MAX} pixels that a picture may have");
        }
        let mut bytes = vec![0; reader.output_buffer_size().context("the picture is too large")?];
        let frame = reader.next_frame(&mut bytes).context("the PNG is damaged")?;
        let bytes = &bytes[..frame.buffer_size()];
        let on_white = |value: u8, alpha: u8| {
            let (value, alpha) = (u16::from(value), u16::from(alpha));
            ((value * alpha + 255 * (255 - alpha) + 127) / 255) as u8
        };
        let pixels = match frame.color_type {
            ColorType::Grayscale => bytes.iter().map(|&gray| Color([gray; 3])).collect(),
            ColorType::GrayscaleAlpha => bytes
                .as_chunks::<2>()
                .0
                .iter()
                .map(|&[gray, alpha]| Color([on_white(gray, alpha); 3]))
                .collect(),
            ColorType::Rgb => bytes.as_chunks::<3>().0.iter().map(|&rgb| Color(rgb)).collect(),
            ColorType::Rgba => {
                let color =
                    |&[r, g, b, alpha]: &[u8; 4]| Color([r, g, b].map(|value| on_white(value, alpha)));
                bytes.as_chunks::<4>().0.iter().map(color).collect()
            }
            ColorType::Indexed => bail!("the PNG's palette was not expanded"),
        };
        Ok(Self { width, height, pixels })
    }

    /// Moves every colour to the nearest that the canvas has.
    #[must_use]
    pub fn fitted(mut self, palette: &Palette) -> Self {
        if let Palette::Indexed(colors) = palette {
            for pixel in &mut self.pixels {
                let distance = |color: &&Color| -> u32 {
                    color.0.iter().zip(pixel.0).map(|(a, b)| u32::from(a.abs_diff(b)).pow(2)).sum()
                };
                *pixel = *colors.iter().min_by_key(distance).expect("a palette is never empty");
            }
        }
        self
    }

    /// In how many pixels another picture differs; all of them when its size does.
    #[must_use]
    pub fn differences(&self, other: &Self) -> usize {
        if (self.width, self.height) != (other.width, other.height) {
            return self.pixels.len();
        }
        self.pixels.iter().zip(&other.pixels).filter(|(a, b)| a != b).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn png(color: ColorType, bytes: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        let mut encoder = png::Encoder::new(&mut out, 2, 1);
        encoder.set_color(color);
        encoder.set_depth(png::BitDepth::Eight);
        encoder
            .write_header()
            .and_then(|mut writer| writer.write_image_data(bytes))
            .expect("a valid picture");
        out
    }

    #[test]
    fn every_kind_of_png_is_the_same_two_pixels() {
        let expected = [Color([0; 3]), Color([255; 3])];
        let read = |color, bytes: &[u8]| Picture::read(&png(color, bytes)).expect("a picture").pixels;
        assert_eq!(read(ColorType::Grayscale, &[0, 255]), expected);
        assert_eq!(read(ColorType::GrayscaleAlpha, &[0, 255, 0, 0]), expected);
        assert_eq!(read(ColorType::Rgb, &[0, 0, 0, 255, 255, 255]), expected);
        assert_eq!(read(ColorType::Rgba, &[0, 0, 0, 255, 9, 9, 9, 0]), expected);
        assert!(Picture::read(b"no picture").is_err());
    }

    #[test]
    fn differences_are_counted() {
        let read = |bytes| Picture::read(&png(ColorType::Grayscale, bytes)).expect("a picture");
        assert_eq!(read(&[0, 255]).differences(&read(&[0, 254])), 1);
        let palette = Palette::indexed(vec![Color([1; 3]), Color([200; 3])]).expect("a palette");
        assert_eq!(read(&[0, 255]).fitted(&palette).pixels, [Color([1; 3]), Color([200; 3])]);
    }
}
