//! Which experts the patches of unseen pictures ask.

use anomaly::{Explanation, TapExplanation};
use burn::tensor::{Tensor, TensorData, backend::Backend};
use inspect::{LoadedModel, open_adapter, open_model};
use moeclip::{Assumed, Explainer};
use moeclip_data::{ImageDataset, Sample};
use moeclip_eval::pictures::ExpertSheet;
use moeclip_eval::report::html::Picture;
use moeclip_eval::report::{
    CaseKind, ClassDetails, ExpertShare, ExpertView, TapRouting, choose_cases,
};

use super::inspection::{Demo, SIZE};
use super::measure::DOMAIN;
use crate::output::Terminal;

/// Anomalous images of each class that are looked at.
const IMAGES: usize = 2;
/// Images whose experts are shown.
const SHOWN: usize = 2;

/// What the experts do.
pub(super) struct Routing {
    pub(super) taps: Vec<TapRouting>,
    pub(super) views: Vec<ExpertView>,
}

/// Explains some anomalous images of every class, and shows the sheets of those found best.
pub(super) fn explain<B: Backend>(
    demo: &Demo,
    images: &ImageDataset,
    classes: &[ClassDetails],
    prompts: &[String],
    device: &B::Device,
) -> anyhow::Result<Routing> {
    let adapter = open_adapter(&demo.adapter(), &Assumed::default(), &mut Terminal::default())?;
    let LoadedModel { model, book, preprocessing, .. } = open_model::<B>(
        &demo.clip().source(),
        &adapter,
        prompts,
        demo.common().training(),
        device,
        &mut Terminal::default(),
    )?;
    let explainer = Explainer::new(model, book, DOMAIN, device)?;
    let reader = images.picture_reader();
    let explain = |sample: &Sample| -> anyhow::Result<Explanation> {
        let size = SIZE as usize;
        let values = preprocessing.image(&reader.rgb(&sample.image)?)?;
        let image = Tensor::from_data(TensorData::new(values, [1, 3, size, size]), device);
        Ok(explainer.explain(image, &sample.prompt)?)
    };
    let mut all: Vec<Vec<TapExplanation>> = Vec::new();
    for study in classes {
        for sample in found(images, study, IMAGES) {
            all.push(explain(sample)?.taps);
        }
    }
    let mut views = Vec::new();
    for place in choose_cases(classes, SHOWN) {
        if place.kind != CaseKind::Found {
            continue;
        }
        let Some(sample) = found(images, &classes[place.class], 1).next() else { continue };
        let explanation = explain(sample)?;
        let image = reader.rgb(&sample.image)?;
        let title = &sample.prompt;
        let sheet = ExpertSheet { image: &image, explanation: &explanation, title }.draw()?;
        let text = format!("{title}: what each expert looks at");
        views.push(ExpertView { sheet: Picture::photo(&sheet, text.clone())?, text });
    }
    Ok(Routing { taps: mean(&all), views })
}

/// The anomalous images of a class with the highest scores.
fn found<'a>(
    images: &'a ImageDataset,
    study: &'a ClassDetails,
    most: usize,
) -> impl Iterator<Item = &'a Sample> {
    let samples: Vec<&Sample> =
        images.samples().iter().filter(|sample| sample.class == study.class).collect();
    let places = choose_cases(std::slice::from_ref(study), most);
    let places = places.into_iter().filter(|place| place.kind == CaseKind::Found);
    places.filter_map(move |place| samples.get(place.image).copied())
}

/// The mean over images of what the experts of each tap did.
fn mean(images: &[Vec<TapExplanation>]) -> Vec<TapRouting> {
    let Some(first) = images.first() else { return Vec::new() };
    let count = images.len() as f64;
    let of_tap = |(tap, layer): (usize, usize)| {
        let taps: Vec<&TapExplanation> = images.iter().filter_map(|taps| taps.get(tap)).collect();
        let experts = first[tap].experts.iter().enumerate().map(|(at, expert)| {
            let of = |value: &dyn Fn(&TapExplanation) -> f64| {
                taps.iter().map(|tap| value(tap)).sum::<f64>() / count
            };
            ExpertShare {
                number: expert.number,
                weight: of(&|tap| tap.experts[at].mean_weight.into()),
                first_choices: of(&|tap| {
                    tap.experts[at].first_choices as f64 / tap.first_choices.len().max(1) as f64
                }),
            }
        });
        let similarity = taps.iter().map(|tap| f64::from(tap.mean_similarity)).sum::<f64>() / count;
        TapRouting { layer, experts: experts.collect(), similarity }
    };
    first.iter().map(|tap| tap.layer).enumerate().map(of_tap).collect()
}
