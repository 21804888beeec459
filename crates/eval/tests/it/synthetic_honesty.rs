//! Is the synthetic world worth anything? What needs no understanding must not solve it: a classifier on
//! statistics of whole pictures stays near chance, and local contrast of grey values finds some pixels
//! but not the defective pictures.
//!
//! `PICTURES=100 SIZE=112 cargo test -p moeclip-eval --test it synthetic_honesty -- --nocapture` measures
//! more of it.

use std::thread;

use anomaly::local_contrast;
use image::{GrayImage, RgbImage};
use moeclip_data::Split;
use moeclip_eval::MapView;
use moeclip_eval::metrics::{MaskedMap, binary_metrics, pixel_metrics};
use synthetic_world::{Category, Picture, Role, Shot, World};

/// The bound on what statistics may reach, in percent, mean over categories.
const MOST: f64 = 70.0;

/// What a single statistic may deviate from chance, mean over categories; about four times the
/// deviation that chance has with so few pictures.
const MOST_ALONE: f64 = 9.0;

const STATISTICS: [&str; 17] = [
    "mean",
    "deviation",
    "minimum",
    "maximum",
    "1 %",
    "5 %",
    "25 %",
    "50 %",
    "75 %",
    "95 %",
    "99 %",
    "edges",
    "strong edges",
    "noise",
    "red",
    "green",
    "blue",
];

struct Seen {
    category: Category,
    grey: Vec<f32>,
    size: usize,
    mask: Option<GrayImage>,
    statistics: Vec<f64>,
}

impl Seen {
    fn is_defective(&self) -> bool {
        self.mask.is_some()
    }
}

fn setting(name: &str, default: usize) -> usize {
    std::env::var(name).ok().and_then(|value| value.parse().ok()).unwrap_or(default)
}

/// So many normal and as many defective pictures of each category.
fn draw_all() -> Vec<Seen> {
    let count = setting("PICTURES", 24);
    let world = World::new(5, setting("SIZE", 64) as u32).unwrap();
    let draw = |category: Category| {
        let defects = category.defects();
        let mut seen = Vec::new();
        for index in 0..count {
            let (defect, number) = (defects[index % defects.len()], index / defects.len());
            for (defect, index) in [(None, index), (Some(defect), number)] {
                let shot = Shot { category, defect, split: Split::Test, index };
                seen.push(Seen::of(category, world.picture(&shot).unwrap()));
            }
        }
        seen
    };
    thread::scope(|scope| {
        let halves = Category::ALL.chunks(Category::ALL.len() / 2);
        let draw = &draw;
        let spawned: Vec<_> = halves
            .map(|half| scope.spawn(move || half.iter().flat_map(|c| draw(*c)).collect::<Vec<_>>()))
            .collect();
        spawned.into_iter().flat_map(|half| half.join().unwrap()).collect()
    })
}

impl Seen {
    fn of(category: Category, picture: Picture) -> Self {
        let Picture { image, mask, .. } = picture;
        let grey = |pixel: &image::Rgb<u8>| {
            let [red, green, blue] = pixel.0.map(f32::from);
            0.299 * red + 0.587 * green + 0.114 * blue
        };
        let grey: Vec<f32> = image.pixels().map(grey).collect();
        let size = image.width() as usize;
        let statistics = statistics(&image, &grey, size);
        Self { category, grey, size, mask, statistics }
    }
}

fn statistics(image: &RgbImage, grey: &[f32], size: usize) -> Vec<f64> {
    let count = grey.len() as f64;
    let mean = grey.iter().map(|v| f64::from(*v)).sum::<f64>() / count;
    let variance = grey.iter().map(|v| (f64::from(*v) - mean).powi(2)).sum::<f64>() / count;
    let mut sorted = grey.to_vec();
    sorted.sort_by(f32::total_cmp);
    let quantile = |share: f64| f64::from(sorted[((sorted.len() - 1) as f64 * share) as usize]);
    let (mut edges, mut strong, mut noise) = (0.0, 0.0, 0.0);
    for (x, y) in (1..size - 1).flat_map(|y| (1..size - 1).map(move |x| (x, y))) {
        let at = |dx: usize, dy: usize| f64::from(grey[(y + dy - 1) * size + x + dx - 1]);
        let edge = (at(2, 1) - at(0, 1)).hypot(at(1, 2) - at(1, 0));
        edges += edge;
        strong += if edge > 40.0 { 1.0 } else { 0.0 };
        let corners = at(0, 0) + at(2, 0) + at(0, 2) + at(2, 2);
        let sides = at(1, 0) + at(0, 1) + at(2, 1) + at(1, 2);
        noise += (corners - 2.0 * sides + 4.0 * at(1, 1)).abs();
    }
    let mut all = vec![mean, variance.sqrt(), quantile(0.0), quantile(1.0)];
    all.extend([0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99].map(quantile));
    all.extend([edges / count, (strong / count + 1e-4).ln(), noise / count]);
    all.extend(
        (0..3)
            .map(|i| image.pixels().map(|pixel| f64::from(pixel.0[i])).sum::<f64>() / count - mean),
    );
    all
}

/// Logistic regression on standardised statistics.
struct Classifier {
    mean: Vec<f64>,
    deviation: Vec<f64>,
    weights: Vec<f64>,
}

impl Classifier {
    fn fit(pictures: &[&Seen]) -> Self {
        let count = pictures.len() as f64;
        let width = STATISTICS.len();
        let average =
            |of: &dyn Fn(&Seen) -> f64| pictures.iter().map(|p| of(p)).sum::<f64>() / count;
        let mean: Vec<f64> = (0..width).map(|i| average(&|seen| seen.statistics[i])).collect();
        let deviation = (0..width)
            .map(|i| average(&|seen| (seen.statistics[i] - mean[i]).powi(2)).sqrt().max(1e-9))
            .collect();
        let mut classifier = Self { mean, deviation, weights: vec![0.0; width] };
        for _ in 0..400 {
            let mut gradient = vec![0.0; width];
            for seen in pictures {
                let truth = if seen.is_defective() { 1.0 } else { 0.0 };
                let error = 1.0 / (1.0 + (-classifier.score(seen)).exp()) - truth;
                (0..width)
                    .for_each(|i| gradient[i] += error * classifier.standard(seen, i) / count);
            }
            for (weight, slope) in classifier.weights.iter_mut().zip(gradient) {
                *weight -= 0.5 * (slope + 0.01 * *weight);
            }
        }
        classifier
    }

    fn standard(&self, seen: &Seen, i: usize) -> f64 {
        (seen.statistics[i] - self.mean[i]) / self.deviation[i]
    }

    fn score(&self, seen: &Seen) -> f64 {
        (0..self.weights.len()).map(|i| self.weights[i] * self.standard(seen, i)).sum()
    }

    fn auroc(&self, pictures: &[&Seen]) -> f64 {
        image_auroc(pictures, |seen| self.score(seen))
    }
}

fn image_auroc(pictures: &[&Seen], score: impl Fn(&Seen) -> f64) -> f64 {
    let scores: Vec<f32> = pictures.iter().map(|seen| score(seen) as f32).collect();
    let labels: Vec<bool> = pictures.iter().map(|seen| seen.is_defective()).collect();
    100.0 * binary_metrics(&scores, &labels).unwrap().auroc.expect("both labels are there")
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

fn of_category(all: &[Seen], category: Category) -> Vec<&Seen> {
    all.iter().filter(|seen| seen.category == category).collect()
}

/// Four fifths of a category's pictures teach, the others are asked; all fifths in turn. A picture and
/// its defective neighbour are in the same fifth.
fn within(pictures: &[&Seen]) -> f64 {
    let part = |keep: &dyn Fn(usize) -> bool| {
        let chosen = pictures.iter().enumerate().filter(|(index, _)| keep(index / 2 % 5));
        chosen.map(|(_, seen)| *seen).collect::<Vec<_>>()
    };
    let fold = |fold: usize| {
        let taught = Classifier::fit(&part(&|fifth| fifth != fold));
        taught.auroc(&part(&|fifth| fifth == fold))
    };
    mean(&(0..5).map(fold).collect::<Vec<_>>())
}

#[test]
fn statistics_of_a_picture_do_not_tell_what_is_defective() {
    let all = draw_all();
    let auxiliary: Vec<&Seen> =
        all.iter().filter(|seen| seen.category.role() == Role::Auxiliary).collect();
    let taught = Classifier::fit(&auxiliary);
    let transferred: Vec<f64> = Category::of(Role::Test)
        .map(|category| taught.auroc(&of_category(&all, category)))
        .collect();
    let learned: Vec<f64> =
        Category::ALL.into_iter().map(|category| within(&of_category(&all, category))).collect();
    println!(
        "taught on auxiliary, asked on test: {transferred:.1?}, mean {:.1}",
        mean(&transferred)
    );
    println!("taught and asked within a category: {learned:.1?}, mean {:.1}", mean(&learned));
    assert!(mean(&transferred) < MOST, "{transferred:.1?}");
    assert!(mean(&learned) < MOST, "{learned:.1?}");
    for (index, name) in STATISTICS.into_iter().enumerate() {
        let of =
            |category| image_auroc(&of_category(&all, category), |seen| seen.statistics[index]);
        let alone = mean(&Category::ALL.into_iter().map(of).collect::<Vec<_>>());
        println!("{name} alone: {alone:.1}");
        assert!((alone - 50.0).abs() < MOST_ALONE, "{name}: {alone:.1}");
    }
    measure_contrast(&all);
}

/// What local contrast reaches on one category, in percent.
#[derive(Debug)]
struct Contrast {
    image_auroc: f64,
    pixel_auroc: f64,
    ap: f64,
    aupro: f64,
}

/// How far each pixel's surroundings differ from their wider surroundings: the baseline that knows
/// nothing and was never taught.
fn measure_contrast(all: &[Seen]) {
    let measured: Vec<Contrast> = Category::of(Role::Test)
        .map(|category| {
            let contrast = Contrast::of(&of_category(all, category));
            println!("local contrast, {}: {contrast:.1?}", category.name());
            contrast
        })
        .collect();
    let mean = |of: fn(&Contrast) -> f64| mean(&measured.iter().map(of).collect::<Vec<_>>());
    let contrast = Contrast {
        image_auroc: mean(|contrast| contrast.image_auroc),
        pixel_auroc: mean(|contrast| contrast.pixel_auroc),
        ap: mean(|contrast| contrast.ap),
        aupro: mean(|contrast| contrast.aupro),
    };
    println!("local contrast, mean: {contrast:.1?}");
    assert!(contrast.image_auroc < MOST, "{contrast:.1?}");
    assert!(contrast.pixel_auroc < 85.0, "found without knowing what they are: {contrast:.1?}");
}

impl Contrast {
    fn of(pictures: &[&Seen]) -> Self {
        let maps: Vec<Vec<f32>> =
            pictures.iter().map(|seen| local_contrast(&seen.grey, seen.size)).collect();
        let marked = |mask: &GrayImage| mask.pixels().map(|p| p.0[0] > 0).collect::<Vec<bool>>();
        let masks: Vec<_> = pictures.iter().map(|seen| seen.mask.as_ref().map(marked)).collect();
        let masked = pictures.iter().zip(maps.iter().zip(&masks)).map(|(seen, (map, mask))| {
            let view = MapView::new(seen.size, seen.size, map).unwrap();
            let normal = MaskedMap::normal(view);
            mask.as_ref().map_or(normal, |mask| MaskedMap::new(view, mask).unwrap())
        });
        let metrics = pixel_metrics(&masked.collect::<Vec<_>>()).unwrap();
        let [pixel_auroc, ap, aupro] = [metrics.auroc, metrics.ap, metrics.aupro_exact]
            .map(|value| 100.0 * value.expect("defects have masks"));
        let peaks: Vec<f32> =
            maps.iter().map(|map| map.iter().copied().fold(0.0, f32::max)).collect();
        let labels: Vec<bool> = pictures.iter().map(|seen| seen.is_defective()).collect();
        let image = binary_metrics(&peaks, &labels).unwrap().auroc;
        let image_auroc = 100.0 * image.expect("both labels are there");
        Self { image_auroc, pixel_auroc, ap, aupro }
    }
}
