//! A [`Chart`] as SVG: within a page, where it takes whatever width there is and the style sheet colours it, or alone, with
//! its title, legend and source, to embed and to print.
//!
//! What must not be stretched (text, lines) is placed in percent; the areas are in an inner drawing that is stretched.

use std::fmt::Write as _;

use maud::{Markup, PreEscaped, html};

use super::{
    Chart, ChartLayer,
    palette::{DARK, LIGHT, Palette},
    ticks::{TimeTick, rate_step, time_ticks},
};
use crate::{
    model::Direction,
    questions::words::{self, Lang},
};

/// Units of the areas' drawing, where it is stretched.
const STRETCHED: (f64, f64) = (3000.0, 1000.0);
/// Units to a pixel, where it is not.
const FINE: f64 = 3.0;
/// Left of the plot, for the marks of rates.
const GUTTER: f64 = 72.0;
/// What part of the height is above the marks of time.
const PLOT: f64 = 0.92;

/// What is said on and about a graph.
#[derive(Clone, Debug)]
pub(in crate::http::page) struct Labels {
    pub(in crate::http::page) lang: Lang,
    /// What it shows.
    pub(in crate::http::page) title: String,
    /// What can be seen on it, in a sentence or two.
    pub(in crate::http::page) description: String,
    /// By direction.
    pub(in crate::http::page) directions: [&'static str; 2],
    pub(in crate::http::page) nothing: &'static str,
    /// Of [`Chart::marks`].
    pub(in crate::http::page) mark: &'static str,
}

/// A graph within a page. `id` is not of another graph there.
pub(in crate::http::page) fn inline(chart: &Chart, labels: &Labels, id: &str) -> Markup {
    let (title, description) = (format!("{id}-t"), format!("{id}-d"));
    let labelled = format!("{title} {description}");
    html! {
        svg class="graph" id=(id) role="img" aria-labelledby=(labelled) {
            title id=(title) { (labels.title) }
            desc id=(description) { (labels.description) }
            (Plot::new(chart, labels, Frame::Fluid).draw(id))
        }
    }
}

/// The ground of a graph that stands alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(in crate::http::page) enum Theme {
    Light,
    Dark,
}

impl Theme {
    const fn palette(self) -> Palette {
        match self {
            Self::Light => LIGHT,
            Self::Dark => DARK,
        }
    }
}

/// Size of a graph that stands alone, in pixels.
pub(in crate::http::page) const ALONE: (u32, u32) = (1200, 675);

/// A graph that stands alone. `subtitle` is below its title, `source` at its foot.
pub(in crate::http::page) fn alone(
    chart: &Chart,
    labels: &Labels,
    theme: Theme,
    subtitle: &str,
    source: &str,
) -> String {
    const MARGIN: f64 = 40.0;
    const LEGEND_TOP: f64 = 118.0;
    const LEGEND_ROW: f64 = 24.0;
    const COLUMNS: usize = 5;
    let (width, height) = (f64::from(ALONE.0), f64::from(ALONE.1));
    let rows = chart.layers.len().div_ceil(COLUMNS);
    let legend = if chart.layers.len() > 1 { rows as f64 * LEGEND_ROW } else { 0.0 };
    let top = LEGEND_TOP - 8.0 + legend;
    let frame = Frame::Fixed {
        x: MARGIN + GUTTER,
        y: top,
        width: width - 2.0 * MARGIN - GUTTER,
        height: height - top - 52.0,
    };
    let column = (width - 2.0 * MARGIN) / COLUMNS as f64;
    let place = |index: usize| {
        let (row, cell) = (index / COLUMNS, index % COLUMNS);
        (MARGIN + column * cell as f64, LEGEND_TOP + LEGEND_ROW * row as f64)
    };
    let style = theme.palette().rules();
    let drawn = html! {
        svg xmlns="http://www.w3.org/2000/svg" width=(width) height=(height) viewBox=(format!("0 0 {width} {height}"))
            role="img" aria-labelledby="t d" font-family="Inter, system-ui, sans-serif" font-size="14" xml:lang=(labels.lang) {
            title id="t" { (labels.title) }
            desc id="d" { (labels.description) }
            style { (PreEscaped(style)) }
            rect class="paper" width=(width) height=(height) {}
            text class="ink" x=(MARGIN) y="54" font-size="28" font-weight="600" { (shortened(&labels.title, 72)) }
            text class="soft" x=(MARGIN) y="82" font-size="16" { (shortened(subtitle, 130)) }
            @if chart.layers.len() > 1 {
                @for (index, layer) in chart.layers.iter().enumerate() {
                    @let (x, y) = place(index);
                    rect class=(layer.colour.class()) x=(x) y=(y - 11.0) width="12" height="12" rx="2" {}
                    text class="ink" x=(x + 18.0) y=(y) { (shortened(&layer.label, 26)) }
                }
            }
            (Plot::new(chart, labels, frame).draw("a"))
            text class="soft" x=(MARGIN) y=(height - 18.0) font-size="13" { (shortened(source, 160)) }
        }
    };
    drawn.into_string()
}

/// The first letters of a text that is too long.
fn shortened(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    let mut short: String = text.chars().take(most.saturating_sub(1)).collect();
    short.truncate(short.trim_end().len());
    short.push('…');
    short
}

/// Where the plot is.
#[derive(Clone, Copy, Debug)]
enum Frame {
    /// All of the element, in percent.
    Fluid,
    /// Here, in pixels.
    Fixed { x: f64, y: f64, width: f64, height: f64 },
}

struct Plot<'a> {
    chart: &'a Chart,
    labels: &'a Labels,
    frame: Frame,
    /// Bits a second above and below the axis.
    span: [u64; 2],
    step: u64,
}

impl<'a> Plot<'a> {
    fn new(chart: &'a Chart, labels: &'a Labels, frame: Frame) -> Self {
        let highest = Direction::ALL.map(|direction| {
            let mark = chart.marks.get(direction as usize).copied().flatten().unwrap_or(0);
            chart.highest(direction).max(mark)
        });
        let [inward, outward] = highest;
        let whole = inward.saturating_add(outward).max(1);
        // Room for the uppermost mark's label, and for the names of the directions.
        let room = |rate: u64| rate.saturating_add(rate / 12).max(whole / 9).max(1);
        Self { chart, labels, frame, span: highest.map(room), step: rate_step(whole, 6) }
    }

    /// The axis' place, as a part of the plot's height.
    fn zero(&self) -> f64 {
        let [inward, outward] = self.span.map(|span| span as f64);
        inward / (inward + outward)
    }

    /// A rate's place, as a part of the plot's height.
    fn at(&self, direction: Direction, rate: u64) -> f64 {
        let whole = self.span.iter().map(|&span| span as f64).sum::<f64>();
        let part = rate as f64 / whole;
        match direction {
            Direction::In => self.zero() - part,
            Direction::Out => self.zero() + part,
        }
    }

    /// A time's place, as a part of the width.
    fn along(&self, second: i64) -> f64 {
        let (from, to) = (self.chart.from.as_second(), self.chart.to.as_second());
        (second - from) as f64 / (to - from).max(1) as f64
    }

    fn x(&self, part: f64) -> String {
        match self.frame {
            Frame::Fluid => percent(part),
            Frame::Fixed { x, width, .. } => short(x + width * part),
        }
    }

    fn y(&self, part: f64) -> String {
        match self.frame {
            Frame::Fluid => percent(part * PLOT),
            Frame::Fixed { y, height, .. } => short(y + height * PLOT * part),
        }
    }

    fn draw(&self, id: &str) -> Markup {
        let void = format!("{id}-v");
        let ticks = time_ticks(self.chart.from, self.chart.to, &self.chart.zone, self.labels.lang);
        html! {
            (self.gaps(&void))
            (self.areas())
            (self.rates())
            (self.times(&ticks))
            (self.marks())
            (self.directions())
            @if self.chart.layers.is_empty() {
                text class="soft" x=(self.x(0.5)) y=(self.y(0.3)) text-anchor="middle" { (self.labels.nothing) }
            }
        }
    }

    fn gaps(&self, void: &str) -> Markup {
        let url = format!("url(#{void})");
        html! {
            @if !self.chart.gaps.is_empty() {
                defs {
                    pattern id=(void) width="6" height="6" patternUnits="userSpaceOnUse" patternTransform="rotate(45)" {
                        line class="void" x1="0" y1="0" x2="0" y2="6" stroke-width="1.5" stroke-opacity=".35" {}
                    }
                }
                @for &(from, to) in &self.chart.gaps {
                    @let (from, to) = (self.along(from), self.along(to));
                    rect fill=(url) x=(self.x(from)) y=(self.y(0.0)) width=(self.length(to - from)) height=(self.height(1.0)) {}
                }
            }
        }
    }

    fn length(&self, part: f64) -> String {
        match self.frame {
            Frame::Fluid => percent(part),
            Frame::Fixed { width, .. } => short(width * part),
        }
    }

    fn height(&self, part: f64) -> String {
        match self.frame {
            Frame::Fluid => percent(part * PLOT),
            Frame::Fixed { height, .. } => short(height * PLOT * part),
        }
    }

    /// Units of the areas' drawing.
    fn units(&self) -> (f64, f64) {
        match self.frame {
            Frame::Fluid => STRETCHED,
            Frame::Fixed { width, height, .. } => (width * FINE, height * PLOT * FINE),
        }
    }

    /// The stack, in its own drawing that is stretched to the plot. Each layer reaches from the axis to the sum of all up to
    /// it, the outermost is drawn first: so every edge is there once.
    fn areas(&self) -> Markup {
        let layers: Vec<&ChartLayer> = self.chart.layers.iter().collect();
        let (width, height) = self.units();
        // Between layers a line of three quarters of a pixel; the style sheet has it where the drawing is stretched.
        let line = matches!(self.frame, Frame::Fixed { .. }).then_some(FINE * 0.75);
        html! {
            svg x=(self.x(0.0)) y=(self.y(0.0)) width=(self.length(1.0)) height=(self.height(1.0))
                viewBox=(format!("0 0 {width} {height}")) preserveAspectRatio="none" stroke-width=[line] {
                @for direction in Direction::ALL {
                    @for last in (0..layers.len()).rev() {
                        @let path = self.edge(direction, last);
                        @if !path.is_empty() {
                            @let class = layers.get(last).map_or("co", |layer| layer.colour.class());
                            path class=(class) d=(PreEscaped(path)) {}
                        }
                    }
                }
            }
        }
    }

    /// The outline of all layers up to this one; nothing if this one has nothing.
    fn edge(&self, direction: Direction, last: usize) -> String {
        let side = direction as usize;
        let own = self.chart.layers.get(last).and_then(|layer| layer.rates.get(side));
        if own.is_none_or(|rates| rates.iter().all(|&rate| rate == 0)) {
            return String::new();
        }
        let (width, height) = self.units();
        let zero = (self.zero() * height).round() as i64;
        let x = |second| (self.along(second) * width).round() as i64;
        let y = |column: usize| {
            let layers = self.chart.layers.iter().take(last + 1);
            let rates = layers.filter_map(|layer| layer.rates.get(side)?.get(column));
            let sum = rates.fold(0, |sum: u64, &rate| sum.saturating_add(rate));
            (self.at(direction, sum) * height).round() as i64
        };
        let mut path = String::new();
        let columns = &self.chart.columns;
        let mut place = 0;
        while let Some(column) = columns.get(place) {
            if !column.counted {
                place += 1;
                continue;
            }
            // From here to the next gap: the first and the last value reach to the edges of their columns, the others are at
            // the middle of theirs.
            let mut at = (x(column.from), y(place));
            let _ = write!(path, "M{} {zero}V{}", at.0, at.1);
            let mut end = column.to;
            while let Some(column) = columns.get(place).filter(|column| column.counted) {
                let to = (x(i64::midpoint(column.from, column.to)), y(place));
                line(&mut path, at, to);
                at = to;
                end = column.to;
                place += 1;
            }
            let _ = write!(path, "H{}V{zero}Z", x(end));
        }
        path
    }

    fn rates(&self) -> Markup {
        let [inward, outward] = self.span;
        let marks = |span: u64| (1..).map(|n| n * self.step).take_while(move |&rate| rate <= span);
        let zero = self.y(self.zero());
        html! {
            @for (direction, span) in [(Direction::In, inward), (Direction::Out, outward)] {
                @for rate in marks(span) {
                    @let part = self.at(direction, rate);
                    line class="rule" x1=(self.x(0.0)) x2=(self.x(1.0)) y1=(self.y(part)) y2=(self.y(part)) {}
                    text class="soft" x=(self.x(0.0)) y=(self.y(part)) dx="-8" dy="4" text-anchor="end" font-size="12" {
                        (round_rate(self.labels.lang, rate))
                    }
                }
            }
            line class="zero" x1=(self.x(0.0)) x2=(self.x(1.0)) y1=(zero) y2=(zero) {}
            text class="soft" x=(self.x(0.0)) y=(zero) dx="-8" dy="4" text-anchor="end" font-size="12" { "0" }
        }
    }

    fn times(&self, ticks: &[TimeTick]) -> Markup {
        html! {
            @for tick in ticks {
                @let part = self.along(tick.at.as_second());
                @let class = if tick.minor { "soft minor" } else { "soft" };
                line class="rule" x1=(self.x(part)) x2=(self.x(part)) y1=(self.y(0.0)) y2=(self.y(1.03)) {}
                @if part < 0.955 {
                    text class=(class) x=(self.x(part)) y=(self.y(1.03)) dx="4" dy="9" font-size="12" { (tick.label) }
                }
            }
        }
    }

    fn marks(&self) -> Markup {
        html! {
            @for (direction, mark) in Direction::ALL.into_iter().zip(self.chart.marks) {
                @if let Some(rate) = mark.filter(|&rate| rate > 0) {
                    @let part = self.at(direction, rate);
                    line class="zero" x1=(self.x(0.0)) x2=(self.x(1.0)) y1=(self.y(part)) y2=(self.y(part))
                        stroke-dasharray="5 4" {}
                    text class="ink halo" x=(self.x(1.0)) y=(self.y(part)) dy=(direction_offset(direction)) dx="-4" font-size="12"
                        font-weight="600" text-anchor="end" paint-order="stroke" stroke-width="3" stroke-linejoin="round" {
                        (self.labels.mark) " " (words::bits_per_second(self.labels.lang, rate))
                    }
                }
            }
        }
    }

    fn directions(&self) -> Markup {
        let at = [("14", 0.0), ("-6", 1.0)];
        html! {
            @for (label, (dy, part)) in self.labels.directions.into_iter().zip(at) {
                text class="ink halo" x=(self.x(0.0)) y=(self.y(part)) dx="6" dy=(dy) font-size="13" font-weight="600"
                    paint-order="stroke" stroke-width="4" stroke-linejoin="round" { (label) }
            }
        }
    }
}

const fn direction_offset(direction: Direction) -> &'static str {
    match direction {
        Direction::In => "-5",
        Direction::Out => "14",
    }
}

/// A line from one point to the next, in as few letters as it takes.
fn line(path: &mut String, from: (i64, i64), to: (i64, i64)) {
    let (dx, dy) = (to.0 - from.0, to.1 - from.1);
    // Writing to a String does not fail.
    let _ = match (dx, dy) {
        (0, 0) => Ok(()),
        (dx, 0) => write!(path, "h{dx}"),
        (0, dy) => write!(path, "v{dy}"),
        (dx, dy) if dy < 0 => write!(path, "l{dx}{dy}"),
        (dx, dy) => write!(path, "l{dx} {dy}"),
    };
}

/// A mark's rate: without decimals that say nothing.
fn round_rate(lang: Lang, rate: u64) -> String {
    const UNITS: [(u64, &str); 7] = [
        (1_000_000_000_000_000_000, "Ebit/s"),
        (1_000_000_000_000_000, "Pbit/s"),
        (1_000_000_000_000, "Tbit/s"),
        (1_000_000_000, "Gbit/s"),
        (1_000_000, "Mbit/s"),
        (1000, "kbit/s"),
        (1, "bit/s"),
    ];
    let (size, unit) = UNITS.into_iter().find(|&(size, _)| rate >= size).unwrap_or((1, "bit/s"));
    let space = lang.pick('\u{a0}', '\u{202f}');
    if rate.is_multiple_of(size) {
        format!("{}{space}{unit}", words::integer(lang, rate / size))
    } else {
        format!("{}{space}{unit}", words::number(lang, rate as f64 / size as f64, 1))
    }
}

fn percent(part: f64) -> String {
    format!("{}%", short(part * 100.0))
}

/// At most two decimals.
fn short(value: f64) -> String {
    let text = format!("{value:.2}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
pub(super) mod tests {
    use jiff::tz::TimeZone;

    use super::{
        super::tests::{names, series},
        *,
    };

    pub(crate) fn labels() -> Labels {
        Labels {
            lang: Lang::En,
            title: "Traffic & more".to_owned(),
            description: "In at most 48 kbit/s.".to_owned(),
            directions: ["In", "Out"],
            nothing: "no data",
            mark: "95th percentile",
        }
    }

    fn chart(count: usize, gaps: &[usize]) -> Chart {
        Chart::of(&series(count, gaps), &names(), TimeZone::UTC)
    }

    #[test]
    fn the_areas_have_the_values_heights() {
        // In 4000 and 8000, out 400 and 800: 8800 are 1000 units, but for room above and below.
        let chart = chart(2, &[]);
        let drawn = labels();
        let plot = Plot::new(&chart, &drawn, Frame::Fluid);
        assert_eq!(plot.span, [8666, 977]);
        let zero = (8666.0 / 9643.0 * 1000.0_f64).round() as i64;
        assert_eq!(zero, 899);
        // 4000 of 9643 are 415 units, 8000 are 830; the first layer has three quarters of it.
        assert_eq!(plot.edge(Direction::In, 1), "M0 899V484h750l1500-415H3000V899Z");
        assert_eq!(plot.edge(Direction::In, 0), "M0 899V588h750l1500-312H3000V899Z");
        assert_eq!(plot.edge(Direction::Out, 1), "M0 899V940h750l1500 42H3000V899Z");
    }

    #[test]
    fn gaps_break_the_areas_and_are_hatched() {
        let chart = chart(4, &[1]);
        let labels = labels();
        let plot = Plot::new(&chart, &labels, Frame::Fluid);
        let edge = plot.edge(Direction::In, 0);
        assert_eq!(edge.matches('M').count(), 2, "{edge}");
        assert!(edge.contains("H750V") && edge.contains("M1500 "), "{edge}");
        let svg = inline(&chart, &labels, "g").into_string();
        assert!(svg.contains(r#"<rect fill="url(#g-v)" x="25%" y="0%" width="25%" height="92%">"#), "{svg}");
        assert!(!inline(&self::chart(4, &[]), &labels, "g").into_string().contains("pattern"));
    }

    #[test]
    fn a_graph_says_what_it_is() {
        let svg = inline(&chart(12, &[]), &labels(), "g").into_string();
        assert!(svg.starts_with(
            r#"<svg class="graph" id="g" role="img" aria-labelledby="g-t g-d"><title id="g-t">Traffic &amp; more</title>"#
        ));
        assert!(svg.contains("20&nbsp;kbit/s") || svg.contains("20\u{a0}kbit/s"), "{svg}");
        assert!(!svg.contains("style="));
    }

    #[test]
    fn alone_it_is_xml_with_its_own_colours() {
        let svg = alone(&chart(288, &[7]), &labels(), Theme::Dark, "last day", "border1, every packet");
        assert!(svg.starts_with(r#"<svg xmlns="http://www.w3.org/2000/svg" width="1200" height="675""#));
        assert!(svg.contains(".c0{fill:#4f75b4}") && svg.contains("Netflix &lt;Streaming&gt;"));
        let options = resvg::usvg::Options::default();
        resvg::usvg::Tree::from_str(&svg, &options).unwrap();
    }

    #[test]
    fn nothing_to_draw_is_said() {
        let chart = Chart { layers: vec![], ..chart(3, &[0, 1, 2]) };
        let svg = inline(&chart, &labels(), "g").into_string();
        assert!(svg.contains("no data"));
    }

    #[test]
    fn small_words() {
        assert_eq!(shortened("Netflix", 7), "Netflix");
        assert_eq!(shortened("Netflix Streaming", 9), "Netflix…");
        assert_eq!(round_rate(Lang::En, 500_000_000), "500\u{a0}Mbit/s");
        assert_eq!(round_rate(Lang::Fr, 2_500_000_000), "2,5\u{202f}Gbit/s");
        assert_eq!((short(12.0), short(12.345), percent(0.5)), ("12".into(), "12.35".into(), "50%".into()));
        let mut path = String::new();
        line(&mut path, (0, 0), (3, -4));
        line(&mut path, (3, -4), (6, -4));
        line(&mut path, (6, -4), (6, 2));
        assert_eq!(path, "l3-4h3v6");
    }
}
