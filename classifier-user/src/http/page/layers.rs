//! Layers of a series: putting small ones together, and what they are called.

use super::{graph::palette::Colour, text::messages};
use crate::{
    model::Direction,
    questions::{
        answer::{Course, Layer, Name, SeriesAnswer},
        words::Lang,
    },
    totals::answer::Directions,
};

/// Puts layers into `other`: `keep` says of each that is a subject which directions stay with it. The sum stays as it was.
pub(super) fn fold(series: &mut SeriesAnswer, mut keep: impl FnMut(&Layer) -> [bool; 2]) {
    let silence = || Course {
        bytes: 0,
        bits_per_second: series.steps.iter().map(|step| (step.covered_seconds > 0).then_some(0)).collect(),
    };
    let mut other = Directions {
        inward: series.total.inward.is_some().then(silence),
        outward: series.total.outward.is_some().then(silence),
    };
    let mut kept = Vec::new();
    let mut rests = Vec::new();
    for mut layer in std::mem::take(&mut series.layers) {
        let stays = match layer.subject.rest.as_deref() {
            Some("other") => [false, false],
            Some(_) => {
                rests.push(layer);
                continue;
            }
            None => keep(&layer),
        };
        for (direction, stays) in Direction::ALL.into_iter().zip(stays) {
            if !stays && let Some(course) = of_mut(&mut layer.directions, direction) {
                let course = std::mem::replace(course, silence());
                add(of_mut(&mut other, direction), &course);
            }
        }
        if stays.contains(&true) {
            kept.push(layer);
        }
    }
    if other.iter().any(|(_, course)| course.bytes > 0) {
        let subject = Name { rest: Some("other".to_owned()), ..Name::default() };
        kept.push(Layer { subject, directions: other });
    }
    kept.append(&mut rests);
    series.layers = kept;
}

/// Leaves the first `n` subjects, the others are in `other`.
pub(super) fn first(series: &mut SeriesAnswer, n: usize) {
    let mut left = n;
    fold(series, |_| {
        let stays = left > 0;
        left = left.saturating_sub(1);
        [stays; 2]
    });
}

fn of_mut(directions: &mut Directions<Course>, direction: Direction) -> Option<&mut Course> {
    match direction {
        Direction::In => directions.inward.as_mut(),
        Direction::Out => directions.outward.as_mut(),
    }
}

fn add(sum: Option<&mut Course>, course: &Course) {
    let Some(sum) = sum else { return };
    sum.bytes = sum.bytes.saturating_add(course.bytes);
    for (sum, rate) in sum.bits_per_second.iter_mut().zip(&course.bits_per_second) {
        *sum = match (*sum, *rate) {
            (Some(sum), Some(rate)) => Some(sum.saturating_add(rate)),
            (sum, rate) => sum.or(rate),
        };
    }
}

/// What each layer is called, and its colour.
pub(super) fn named(series: &SeriesAnswer, lang: Lang) -> Vec<(String, Colour)> {
    let mut rank = 0;
    series
        .layers
        .iter()
        .map(|layer| {
            let colour = match layer.subject.rest.as_deref() {
                None => {
                    rank += 1;
                    Colour::of_rank(rank - 1)
                }
                Some("unmatched") => Colour::Unmatched,
                Some("non_ip") => Colour::NonIp,
                Some(_) => Colour::Other,
            };
            (label(&layer.subject, lang), colour)
        })
        .collect()
}

/// What a subject is called: its name, or its number or key where it has none.
pub(super) fn label(name: &Name, lang: Lang) -> String {
    let text = messages(lang);
    if let Some(rest) = name.rest.as_deref() {
        let known = match rest {
            "unmatched" => text.unmatched,
            "non_ip" => text.non_ip,
            _ => text.other,
        };
        return known.to_owned();
    }
    if let Some(name) = &name.name {
        return name.clone();
    }
    if let Some(asn) = name.asn {
        return format!("AS{asn}");
    }
    [&name.group, &name.kind, &name.link].into_iter().flatten().next().cloned().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::{super::graph::tests::series, *};

    #[test]
    fn what_is_folded_is_not_lost() {
        let mut folded = series(4, &[2]);
        first(&mut folded, 1);
        assert_eq!(folded.layers.len(), 2);
        assert_eq!(folded.layers[0], series(4, &[2]).layers[0]);
        let other = &folded.layers[1];
        assert_eq!(other.subject.rest.as_deref(), Some("other"));
        assert_eq!(other.directions, series(4, &[2]).layers[1].directions);
        // Again, into the `other` that is there.
        first(&mut folded, 0);
        assert_eq!(folded.layers.len(), 1);
        assert_eq!(folded.layers[0].directions, folded.total);
    }

    #[test]
    fn one_direction_can_go() {
        let mut folded = series(2, &[]);
        fold(&mut folded, |layer| [true, layer.subject.asn != Some(2906)]);
        let netflix = &folded.layers[0].directions;
        assert_eq!(netflix.inward.as_ref().unwrap().bits_per_second, [Some(3000), Some(6000)]);
        assert_eq!(netflix.outward.as_ref().unwrap().bits_per_second, [Some(0), Some(0)]);
        let other = &folded.layers[2].directions;
        assert_eq!(other.outward.as_ref().unwrap().bits_per_second, [Some(300), Some(600)]);
        assert_eq!(other.inward.as_ref().unwrap().bytes, 0);
    }

    #[test]
    fn every_layer_has_a_name() {
        let mut folded = series(2, &[]);
        first(&mut folded, 1);
        let names = named(&folded, Lang::Fr);
        assert_eq!(
            names,
            [("Netflix <Streaming>".to_owned(), Colour::Named(0)), ("autres".to_owned(), Colour::Other)]
        );
        assert_eq!(label(&Name { asn: Some(5), ..Name::default() }, Lang::En), "AS5");
        assert_eq!(label(&Name { link: Some("ix".into()), ..Name::default() }, Lang::En), "ix");
    }
}
