//! The small line in a table's row: a subject's course without axes.

use maud::{Markup, PreEscaped, html};

/// How many points it has.
const POINTS: usize = 48;
const WIDTH: f64 = 96.0;
const HEIGHT: f64 = 24.0;

/// A line through these values, from 0 to the highest; broken where there are none. It says nothing that the row and
/// the graph's table do not say: hidden from screen readers.
pub(in crate::http::page) fn spark(values: &[Option<u64>]) -> Markup {
    let points = thin(values);
    let Some(highest) = points.iter().flatten().max().copied().filter(|&highest| highest > 0) else {
        return html! {};
    };
    let step = WIDTH / (points.len().max(2) - 1) as f64;
    let mut path = String::new();
    let mut pen_down = false;
    for (place, value) in points.iter().enumerate() {
        let Some(value) = value else {
            pen_down = false;
            continue;
        };
        let x = (place as f64 * step).round();
        let y = (HEIGHT - 1.5 - (HEIGHT - 3.0) * *value as f64 / highest as f64).round();
        let letter = if pen_down { 'L' } else { 'M' };
        path.push_str(&format!("{letter}{x} {y}"));
        pen_down = true;
    }
    html! {
        svg class="spark" viewBox=(PreEscaped(format!("0 0 {WIDTH} {HEIGHT}"))) width="96" height="24" aria-hidden="true" {
            path d=(path) {}
        }
    }
}

/// The highest of each of at most [`POINTS`] stretches: what peaks is seen.
fn thin(values: &[Option<u64>]) -> Vec<Option<u64>> {
    let each = values.len().div_ceil(POINTS).max(1);
    values.chunks(each).map(|chunk| chunk.iter().flatten().max().copied()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_from_zero_to_the_highest() {
        let drawn = spark(&[Some(0), None, Some(5), Some(10)]).into_string();
        assert!(drawn.contains(r#"d="M0 23M64 12L96 2""#), "{drawn}");
        assert!(spark(&[None, Some(0)]).into_string().is_empty());
        assert!(spark(&[]).into_string().is_empty());
    }

    #[test]
    fn long_courses_are_thinned() {
        let values: Vec<Option<u64>> = (0..480).map(Some).collect();
        let thin = thin(&values);
        assert_eq!((thin.len(), thin[0], thin[47]), (48, Some(9), Some(479)));
    }
}
