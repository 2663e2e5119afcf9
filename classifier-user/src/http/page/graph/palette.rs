//! Colours: nine for what is named, greys for the rest, told apart by those who see no red, green or blue, and by
//! lightness from one layer to the next for those who print in grey. A test measures it.

use std::fmt::Write as _;

/// The colour of a layer, a swatch or a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Colour {
    /// One of [`NAMED`], by place.
    Named(u8),
    /// What is in no layer of its own.
    Other,
    /// IP without a known origin.
    Unmatched,
    /// What is not IP.
    NonIp,
}

/// How many layers can have a colour of their own.
pub(crate) const NAMED: usize = 9;

impl Colour {
    /// The colour of the largest, the second, …; [`Colour::Other`] after the last one.
    pub(crate) fn of_rank(place: usize) -> Self {
        match u8::try_from(place) {
            Ok(number) if place < NAMED => Self::Named(number),
            _ => Self::Other,
        }
    }

    /// Its class in CSS.
    pub(crate) fn class(self) -> &'static str {
        const CLASSES: [&str; NAMED] = ["c0", "c1", "c2", "c3", "c4", "c5", "c6", "c7", "c8"];
        match self {
            Self::Named(number) => CLASSES.get(usize::from(number)).copied().unwrap_or("co"),
            Self::Other => "co",
            Self::Unmatched => "cu",
            Self::NonIp => "cn",
        }
    }
}

/// What is on which ground.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Palette {
    pub(crate) paper: &'static str,
    pub(crate) ink: &'static str,
    /// Text of second rank.
    pub(crate) soft: &'static str,
    /// Thin lines.
    pub(crate) rule: &'static str,
    /// Behind what is marked.
    pub(crate) wash: &'static str,
    /// Links, focus, bars.
    pub(crate) accent: &'static str,
    pub(crate) up: &'static str,
    pub(crate) down: &'static str,
    /// By [`Colour`]: the named ones, other, unmatched, not IP.
    pub(crate) layers: [&'static str; NAMED + 3],
}

pub(crate) const LIGHT: Palette = Palette {
    paper: "#ffffff",
    ink: "#16191d",
    soft: "#59616b",
    rule: "#dcdfe3",
    wash: "#f3f4f6",
    accent: "#1f4fa8",
    up: "#14663c",
    down: "#a3321f",
    layers: [
        "#1f3f8f", "#dc9f55", "#14717a", "#d9cf3f", "#731d41", "#5897e4", "#3c5510", "#e4847e", "#7a4bd0",
        "#b9bec4", "#979ea7", "#d9dce0",
    ],
};

pub(crate) const DARK: Palette = Palette {
    paper: "#121417",
    ink: "#eceef0",
    soft: "#a0a8b1",
    rule: "#30353b",
    wash: "#1c2024",
    accent: "#8ab4f5",
    up: "#7fcf9f",
    down: "#f2a08f",
    layers: [
        "#4f75b4", "#efa47a", "#3c9fba", "#e7c45f", "#f0758c", "#b8cbf3", "#5b8e1b", "#f3d9d8", "#aa9cf4",
        "#5c646d", "#7b848e", "#454c54",
    ],
};

impl Palette {
    fn classes() -> impl Iterator<Item = &'static str> {
        (0..NAMED)
            .map(|place| Colour::of_rank(place).class())
            .chain([Colour::Other, Colour::Unmatched, Colour::NonIp].map(Colour::class))
    }

    /// Custom properties for the page's style sheet: `--paper:#fff;…;--c0:#…`.
    pub(crate) fn properties(&self) -> String {
        let mut css = format!(
            "--paper:{};--ink:{};--soft:{};--rule:{};--wash:{};--accent:{};--up:{};--down:{}",
            self.paper, self.ink, self.soft, self.rule, self.wash, self.accent, self.up, self.down
        );
        for (class, colour) in Self::classes().zip(self.layers) {
            // Writing to a String does not fail.
            let _ = write!(css, ";--{class}:{colour}");
        }
        css
    }

    /// Rules by which a graph that stands alone is coloured.
    pub(crate) fn rules(&self) -> String {
        let mut css = format!(
            ".paper{{fill:{paper}}}.ink{{fill:{ink}}}.soft{{fill:{soft}}}.halo{{stroke:{paper}}}\
             .rule{{stroke:{ink};stroke-opacity:.13}}.zero{{stroke:{ink}}}.void{{stroke:{soft}}}path{{stroke:{paper}}}",
            paper = self.paper,
            ink = self.ink,
            soft = self.soft,
        );
        for (class, colour) in Self::classes().zip(self.layers) {
            let _ = write!(css, ".{class}{{fill:{colour}}}");
        }
        css
    }
}

/// Rules for the page's style sheet that give every class its property.
pub(crate) fn class_rules() -> String {
    Palette::classes().map(|class| format!(".{class}{{fill:var(--{class})}}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    type Rgb = [f64; 3];

    fn rgb(hex: &str) -> Rgb {
        let part = |at: usize| {
            let value = f64::from(u8::from_str_radix(&hex[at..at + 2], 16).unwrap()) / 255.0;
            if value <= 0.04045 { value / 12.92 } else { ((value + 0.055) / 1.055).powf(2.4) }
        };
        [part(1), part(3), part(5)]
    }

    fn luminance([r, g, b]: Rgb) -> f64 {
        0.2126 * r + 0.7152 * g + 0.0722 * b
    }

    /// WCAG 2.2, 1.4.3.
    fn contrast(a: &str, b: &str) -> f64 {
        let (a, b) = (luminance(rgb(a)), luminance(rgb(b)));
        (a.max(b) + 0.05) / (a.min(b) + 0.05)
    }

    /// What is seen without one sort of cone (Machado, Oliveira, Fernandes 2009, severity 1).
    const SIGHT: [[Rgb; 3]; 4] = [
        [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]],
        [
            [0.152_286, 1.052_583, -0.204_868],
            [0.114_503, 0.786_281, 0.099_216],
            [-0.003_882, -0.048_116, 1.051_998],
        ],
        [
            [0.367_322, 0.860_646, -0.227_968],
            [0.280_085, 0.672_501, 0.047_413],
            [-0.011_820, 0.042_940, 0.968_881],
        ],
        [
            [1.255_528, -0.076_749, -0.178_779],
            [-0.078_411, 0.930_809, 0.147_602],
            [0.004_733, 0.691_367, 0.303_900],
        ],
    ];

    /// CIE L*a*b*.
    fn lab(sight: &[Rgb; 3], colour: &str) -> Rgb {
        let colour = rgb(colour);
        let seen = sight.map(|row| row.iter().zip(colour).map(|(m, c)| m * c).sum::<f64>().clamp(0.0, 1.0));
        let [r, g, b] = seen;
        let f = |t: f64| if t > 0.008_856 { t.cbrt() } else { 7.787 * t + 16.0 / 116.0 };
        let x = f((0.4124 * r + 0.3576 * g + 0.1805 * b) / 0.950_47);
        let y = f(luminance(seen));
        let z = f((0.0193 * r + 0.1192 * g + 0.9505 * b) / 1.088_83);
        [116.0 * y - 16.0, 500.0 * (x - y), 200.0 * (y - z)]
    }

    fn distance(sight: &[Rgb; 3], a: &str, b: &str) -> f64 {
        let squares = lab(sight, a).iter().zip(lab(sight, b)).map(|(a, b)| (a - b).powi(2)).sum::<f64>();
        squares.sqrt()
    }

    #[test]
    fn text_can_be_read() {
        for palette in [LIGHT, DARK] {
            for (text, least) in [
                (palette.ink, 12.0),
                (palette.soft, 4.5),
                (palette.accent, 4.5),
                (palette.up, 4.5),
                (palette.down, 4.5),
            ] {
                for ground in [palette.paper, palette.wash] {
                    let got = contrast(text, ground);
                    assert!(got >= least, "{text} on {ground}: {got:.2}");
                }
            }
        }
    }

    #[test]
    fn layers_are_told_apart_whatever_one_sees() {
        for palette in [LIGHT, DARK] {
            let layers = &palette.layers[..=NAMED];
            for sight in &SIGHT {
                for (i, a) in layers.iter().enumerate() {
                    for (j, b) in layers.iter().enumerate().skip(i + 1) {
                        let got = distance(sight, a, b);
                        let least = if j == i + 1 { 25.0 } else { 12.0 };
                        assert!(got >= least, "{a} and {b}: {got:.1}");
                    }
                }
            }
            // In print without colour.
            for pair in layers.windows(2) {
                let light = |colour| lab(&SIGHT[0], colour)[0];
                assert!((light(pair[0]) - light(pair[1])).abs() >= 12.0, "{pair:?}");
            }
        }
    }

    #[test]
    fn every_class_has_a_colour() {
        let css = LIGHT.rules();
        for place in 0..NAMED + 2 {
            assert!(css.contains(&format!(".{}{{", Colour::of_rank(place).class())));
        }
        assert_eq!(Colour::of_rank(NAMED), Colour::Other);
        assert!(LIGHT.properties().contains("--cn:#d9dce0"));
        assert!(class_rules().starts_with(".c0{fill:var(--c0)}"));
    }
}
