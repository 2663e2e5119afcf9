//! What a page is made with besides its HTML: style, script, typeface, icon. Their names in URLs have a hash of their
//! content, so that they may be kept for ever.

use std::sync::LazyLock;

use super::graph::palette::{DARK, LIGHT, class_rules};

/// The typeface for pictures (OpenType): regular and semi-bold.
pub(super) static FONTS: [&[u8]; 2] = [
    include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/../data/fonts/Inter-Regular.otf")),
    include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/../data/fonts/Inter-SemiBold.otf")),
];

/// The same for browsers.
static WEB_FONTS: [&[u8]; 2] = [
    include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/../data/fonts/Inter-Regular.woff2")),
    include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/../data/fonts/Inter-SemiBold.woff2")),
];

/// A file that pages name.
#[derive(Debug)]
pub(super) struct Asset {
    /// Where it is: `/assets/page-1a2b3c4d.css`.
    pub(super) path: String,
    pub(super) content_type: &'static str,
    pub(super) content: Vec<u8>,
}

impl Asset {
    fn new(name: &str, extension: &str, content_type: &'static str, content: impl Into<Vec<u8>>) -> Self {
        let content = content.into();
        let path = format!("/assets/{name}-{:08x}.{extension}", crc32fast::hash(&content));
        Self { path, content_type, content }
    }
}

/// All of them.
#[derive(Debug)]
pub(super) struct Assets {
    pub(super) style: Asset,
    pub(super) script: Asset,
    pub(super) icon: Asset,
    fonts: [Asset; 2],
}

pub(super) static ASSETS: LazyLock<Assets> = LazyLock::new(|| {
    let [regular, semibold] = WEB_FONTS;
    let fonts = [
        Asset::new("inter", "woff2", "font/woff2", regular),
        Asset::new("inter-semibold", "woff2", "font/woff2", semibold),
    ];
    let [regular, semibold] = &fonts;
    let rules = include_str!("page.css")
        .replace("FONT_REGULAR", &regular.path)
        .replace("FONT_SEMIBOLD", &semibold.path);
    let style = format!(
        ":root{{{}}}@media(prefers-color-scheme:dark){{:root{{{}}}}}{}\n{rules}",
        LIGHT.properties(),
        DARK.properties(),
        class_rules()
    );
    Assets {
        style: Asset::new("page", "css", "text/css; charset=utf-8", style),
        script: Asset::new("page", "js", "text/javascript; charset=utf-8", include_str!("page.js")),
        icon: Asset::new("icon", "svg", "image/svg+xml", include_str!("icon.svg")),
        fonts,
    }
});

impl Assets {
    fn all(&self) -> impl Iterator<Item = &Asset> {
        [&self.style, &self.script, &self.icon].into_iter().chain(&self.fonts)
    }

    /// The file at this path.
    pub(super) fn find(&self, path: &str) -> Option<&Asset> {
        self.all().find(|asset| asset.path == path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_and_named_by_content() {
        let script = &ASSETS.script;
        assert!(script.content.len() < 15_000, "{}", script.content.len());
        assert!(script.path.starts_with("/assets/page-") && script.path.ends_with(".js"));
        assert_eq!(ASSETS.find(&script.path).map(|asset| asset.content_type), Some(script.content_type));
        assert!(ASSETS.find("/assets/page-00000000.js").is_none());
        let style = String::from_utf8(ASSETS.style.content.clone()).unwrap();
        assert!(!style.contains("FONT_") && style.contains(&ASSETS.fonts[0].path));
        assert!(ASSETS.all().map(|asset| asset.content.len()).sum::<usize>() < 80_000);
        assert!(FONTS.iter().all(|font| font.len() < 80_000));
    }
}
