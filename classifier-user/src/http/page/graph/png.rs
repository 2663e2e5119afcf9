//! A graph that stands alone as PNG, in the embedded typeface: no machine needs fonts for it.

use std::sync::{Arc, LazyLock};

use resvg::{
    tiny_skia::{Pixmap, Transform},
    usvg::{Options, Tree, fontdb::Database},
};

use super::svg::ALONE;
use crate::http::page::assets;

/// Pixels of the picture for one of the drawing: 1600 by 900 of them.
const SCALE: f32 = 4.0 / 3.0;

/// A graph that cannot be drawn: a bug.
#[derive(Debug, thiserror::Error)]
pub(in crate::http::page) enum PngError {
    /// The drawing is not SVG.
    #[error("the graph is not SVG: {0}")]
    Svg(#[from] resvg::usvg::Error),
    /// The picture has no size, or cannot be written.
    #[error("the picture could not be made")]
    Picture,
}

static FONTS: LazyLock<Arc<Database>> = LazyLock::new(|| {
    let mut fonts = Database::new();
    for font in assets::FONTS {
        fonts.load_font_data(font.to_vec());
    }
    fonts.set_sans_serif_family("Inter");
    Arc::new(fonts)
});

/// The picture of what [`super::svg::alone`] drew. Nothing but pixels is in it.
pub(in crate::http::page) fn png(svg: &str) -> Result<Vec<u8>, PngError> {
    let options =
        Options { fontdb: Arc::clone(&FONTS), font_family: "Inter".to_owned(), ..Options::default() };
    let tree = Tree::from_str(svg, &options)?;
    let mut picture = Pixmap::new(pixels(ALONE.0), pixels(ALONE.1)).ok_or(PngError::Picture)?;
    resvg::render(&tree, Transform::from_scale(SCALE, SCALE), &mut picture.as_mut());
    picture.encode_png().map_err(|_| PngError::Picture)
}

fn pixels(length: u32) -> u32 {
    (length as f32 * SCALE).round() as u32
}

#[cfg(test)]
mod tests {
    use jiff::tz::TimeZone;

    use super::{
        super::{
            Chart,
            svg::{Theme, alone, tests::labels},
            tests::{names, series},
        },
        *,
    };

    #[test]
    fn a_picture_with_text_and_no_words() {
        let chart = Chart::of(&series(288, &[20, 21, 22]), &names(), TimeZone::UTC);
        let svg = alone(&chart, &labels(), Theme::Light, "", "");
        let picture = png(&svg).unwrap();
        assert!(picture.starts_with(b"\x89PNG\r\n"));
        let decoded = Pixmap::decode_png(&picture).unwrap();
        assert_eq!((decoded.width(), decoded.height()), (1600, 900));
        // The title's line has ink on it, the line above has not.
        let dark = |rows: std::ops::Range<u32>| {
            rows.flat_map(|y| (53..467).map(move |x| (x, y)))
                .filter(|&(x, y)| decoded.pixel(x, y).is_some_and(|pixel| pixel.red() < 60))
                .count()
        };
        assert!(dark(44..76) > 200);
        assert_eq!(dark(0..36), 0);
        // Chunks other than the picture's own would be the place for words.
        for chunk in [&b"tEXt"[..], b"iTXt", b"zTXt", b"eXIf"] {
            assert!(!picture.windows(4).any(|four| four == chunk));
        }
    }
}
