//! Colours that mean something on a sheet of experts.

use image::Rgb;

/// Colours that colour-blind people can tell apart (Okabe and Ito 2008), the darkest left out: it is
/// lost on a dark ground.
const EXPERTS: [[u8; 3]; 7] = [
    [230, 159, 0],
    [86, 180, 233],
    [0, 158, 115],
    [240, 228, 66],
    [0, 114, 178],
    [213, 94, 0],
    [204, 121, 167],
];

/// An expert's colour, by its place. Past the seventh they come again, darker each time.
pub(super) fn expert(place: usize) -> Rgb<u8> {
    let round = (place / EXPERTS.len()) as f32;
    let dim = |value: u8| (f32::from(value) / (1.0 + 0.6 * round)) as u8;
    Rgb(EXPERTS[place % EXPERTS.len()].map(dim))
}

/// The colour of a cosine: blue at -1, white at 0, red at 1.
pub(super) fn cosine(value: f32) -> Rgb<u8> {
    let colour = colorous::RED_BLUE.eval_continuous(f64::from((1.0 - value) / 2.0).clamp(0.0, 1.0));
    Rgb([colour.r, colour.g, colour.b])
}

/// Black or white, whichever can be read on it.
pub(super) fn ink_on(colour: Rgb<u8>) -> Rgb<u8> {
    if luma(colour) > 140.0 { Rgb([0; 3]) } else { Rgb([255; 3]) }
}

/// A pixel as grey, for colours to stand out on it.
pub(super) fn grey(colour: Rgb<u8>) -> Rgb<u8> {
    Rgb([luma(colour) as u8; 3])
}

/// How bright a colour looks, 0 to 255, as televisions weigh it.
fn luma(Rgb([red, green, blue]): Rgb<u8>) -> f32 {
    0.299 * f32::from(red) + 0.587 * f32::from(green) + 0.114 * f32::from(blue)
}

/// `over` with this strength on `under`.
pub(super) fn mixed(under: Rgb<u8>, over: Rgb<u8>, strength: f32) -> Rgb<u8> {
    let mix = |under: u8, over: u8| {
        (f32::from(under) * (1.0 - strength) + f32::from(over) * strength).round() as u8
    };
    Rgb([0, 1, 2].map(|channel| mix(under.0[channel], over.0[channel])))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn experts_differ_and_cosines_have_their_ends() {
        let colours: std::collections::BTreeSet<_> = (0..21).map(|at| expert(at).0).collect();
        assert_eq!(colours.len(), 21);
        let (Rgb(apart), Rgb(alike), Rgb(none)) = (cosine(-1.0), cosine(1.0), cosine(0.0));
        assert!(
            apart[2] > apart[0] && alike[0] > alike[2] && none.iter().all(|value| *value > 230)
        );
        assert_eq!((ink_on(cosine(0.0)), ink_on(cosine(1.0))), (Rgb([0; 3]), Rgb([255; 3])));
    }
}
