//! What the trained adapters are worth beside CLIP alone, local contrast and plain statistics, and the page
//! about it.

use std::path::Path;

use anomaly::{Detector, Domain, ImageInput, LocalContrast};
use burn::tensor::backend::Backend;
use inspect::backends::Job;
use inspect::{
    DataRequest, Dataset, LoadedDetector, MethodFiles, MethodName, SeenImage, for_each_image,
};
use moeclip_data::{
    CLIP_MEAN, CLIP_STD, ImageDataset, PictureReader, Preprocessing, Sample, Split,
};
use moeclip_eval::metrics::Workspace;
use moeclip_eval::report;
use moeclip_eval::report::html::{Case, Page};
use moeclip_eval::report::{
    ClassDetails, DatasetOutcome, DatasetPictures, DetectorPage, Evaluation, EvaluationDetails,
    ExpertView, Outcome, Provenance, Report, StageTime, TapRouting, TrainingStep,
};
use moeclip_train::StepMetrics;
use serde::Serialize;

use super::inspection::{Demo, SIZE};
use super::routing;
use super::statistics::PictureStatistics;
use crate::cli::Common;
use crate::output::{Terminal, print_json};
use crate::system;
use inspect::prompt_names;

/// Images of each kind of case.
const CASES: usize = 4;

/// Grey as televisions weigh it.
const LUMA: [f32; 3] = [0.299, 0.587, 0.114];

/// The world is scored as industrial pictures are.
pub(super) const DOMAIN: Domain = Domain::Industrial;

/// The work on a device.
pub(super) struct Measure<'a> {
    pub(super) demo: &'a Demo,
    pub(super) measured: &'a mut Option<DemoMeasurement>,
}

/// A method of the demo, as its page calls it.
struct DemoMethod {
    name: &'static str,
    method: MethodName,
    files: MethodFiles,
}

/// A detector that stands beside the methods.
struct Control<B: Backend> {
    name: &'static str,
    detector: Box<dyn Detector<B>>,
}

/// Everything that the page shows of the unseen half.
pub(super) struct DemoMeasurement {
    methods: Vec<String>,
    dataset: DatasetOutcome,
    pictures: DatasetPictures,
    routing: Vec<TapRouting>,
    experts: Vec<ExpertView>,
}

/// What a method said of an image.
struct Seen<'a> {
    sample: &'a Sample,
    map: Vec<f32>,
    mask: Option<Vec<bool>>,
}

impl Job for Measure<'_> {
    type Output = ();
    type Error = anyhow::Error;

    fn run<B: Backend>(self, device: B::Device) -> anyhow::Result<()> {
        let images = images(&self.demo.unseen())?;
        let prompts = prompt_names(images.samples());
        let mut measured = DemoMeasurement {
            methods: Vec::new(),
            dataset: DatasetOutcome { name: "unseen categories".into(), outcomes: Vec::new() },
            pictures: DatasetPictures::default(),
            routing: Vec::new(),
            experts: Vec::new(),
        };
        let (clip, compute) = (self.demo.clip().source(), self.demo.common().training());
        for DemoMethod { name, method, files } in self.methods() {
            let mut watch = Terminal::default();
            let opened = method.open(&files, &mut watch)?;
            let mut loaded =
                opened.load::<B>(&clip, &prompts, DOMAIN, compute, &device, &mut watch)?;
            measured.take(name, &images, &mut loaded, &device)?;
        }
        for Control { name, detector } in self.controls::<B>(&device)? {
            let mut loaded = LoadedDetector::new(detector)?;
            measured.take(name, &images, &mut loaded, &device)?;
        }
        let studies = &measured.pictures.classes[0];
        let routing = routing::explain::<B>(self.demo, &images, studies, &prompts, &device)?;
        (measured.routing, measured.experts) = (routing.taps, routing.views);
        *self.measured = Some(measured);
        Ok(())
    }
}

impl Measure<'_> {
    fn methods(&self) -> [DemoMethod; 2] {
        let (adapter, config) = (Some(self.demo.adapter()), Some(self.demo.config()));
        let adapted = MethodFiles { adapter, ..MethodFiles::default() };
        let plain = MethodFiles { config, ..MethodFiles::default() };
        [
            DemoMethod { name: "MoECLIP", method: MethodName::Moeclip, files: adapted },
            DemoMethod { name: "CLIP alone", method: MethodName::Clip, files: plain },
        ]
    }

    /// What needs no CLIP. What a method finds beyond these, it has understood.
    fn controls<B: Backend>(&self, device: &B::Device) -> anyhow::Result<[Control<B>; 2]> {
        let input = ImageInput { size: SIZE as usize, mean: CLIP_MEAN, std: CLIP_STD };
        let luma = std::array::from_fn(|channel| LUMA[channel] * CLIP_STD[channel]);
        let auxiliary = images(&self.demo.auxiliary())?;
        let statistics = PictureStatistics::fit::<B>(&auxiliary, input, luma, device)?;
        Ok([
            Control { name: "local contrast", detector: Box::new(LocalContrast::new(input, luma)) },
            Control { name: "picture statistics", detector: Box::new(statistics) },
        ])
    }
}

/// The pictures of a half of the world.
fn images(half: &Path) -> anyhow::Result<ImageDataset> {
    let opened = Dataset::open(half, &DataRequest::default(), &mut Terminal::default())?;
    let preprocessing = Preprocessing::clip(SIZE as usize)?;
    let preprocessing = preprocessing.with_mask_rule(opened.descriptor.masks.rule);
    let samples = opened.samples(Split::Test, &mut Terminal::default())?;
    Ok(ImageDataset::new(samples, preprocessing).with_bits(opened.descriptor.bits))
}

impl DemoMeasurement {
    /// Measures a method, and draws the images of it that are worth a look.
    fn take<B: Backend>(
        &mut self,
        name: &str,
        images: &ImageDataset,
        loaded: &mut LoadedDetector<B>,
        device: &B::Device,
    ) -> anyhow::Result<()> {
        let rule = loaded.detector.score_rule();
        let mut evaluation = Evaluation::new(rule, Workspace::default()).with_details();
        let mut seen = Vec::new();
        for_each_image(images, loaded, device, &mut Terminal::default(), |sample, record| {
            let (map, mask) = (record.map.values().to_vec(), record.mask.map(<[bool]>::to_vec));
            seen.push(Seen { sample, map, mask });
            Ok(evaluation.push(&sample.class, record)?)
        })?;
        let EvaluationDetails { reports, classes } = evaluation.finish_with_details()?;
        // Of the methods beside the first the numbers are enough.
        let is_first = self.methods.is_empty();
        let cases = match is_first {
            true => cases(&seen, &classes, &images.picture_reader())?,
            false => Vec::new(),
        };
        self.methods.push(name.to_owned());
        self.pictures.cases.push(cases);
        self.pictures.classes.push(classes);
        let (unread, undeployed) = (Vec::new(), None);
        self.dataset.outcomes.push(Outcome::Measured(report::Measured {
            reports,
            unread,
            undeployed,
        }));
        Ok(())
    }

    /// The report about training and answers.
    pub(super) fn page(&self, demo: &Demo, steps: &[StepMetrics], times: &[StageTime]) -> Page {
        let training: Vec<TrainingStep> = steps
            .iter()
            .map(|StepMetrics { report, .. }| TrainingStep {
                step: report.step,
                total: report.losses.total.into(),
                detection: report.losses.detection().into(),
            })
            .collect();
        let page = DetectorPage {
            title: "MoECLIP on an inspection world",
            lead: LEAD,
            methods: &self.methods,
            dataset: &self.dataset,
            pictures: &self.pictures,
            routing: &self.routing,
            experts: &self.experts,
            training: &training,
            provenance: &provenance(demo),
            times,
        };
        page.page()
    }

    /// The table, and where the report is.
    pub(super) fn print(&self, path: &Path, common: &Common) -> anyhow::Result<()> {
        let reports = self.methods.iter().zip(&self.dataset.outcomes);
        let reports =
            reports.filter_map(|(name, outcome)| Some((name, outcome.measured()?.paper()?)));
        let report = path.display().to_string();
        if common.json {
            let methods =
                reports.map(|(method, report)| Method { method, report }).collect::<Vec<_>>();
            return print_json(&Printed { report, methods });
        }
        for (name, report) in reports {
            println!("\n{name}, 8 categories that were never seen\n{report}");
        }
        println!("\nreport: {report}");
        Ok(())
    }
}

#[derive(Serialize)]
struct Printed<'a> {
    report: String,
    methods: Vec<Method<'a>>,
}

#[derive(Serialize)]
struct Method<'a> {
    method: &'a str,
    #[serde(flatten)]
    report: &'a Report,
}

const LEAD: &str = "Adapters were trained on 14 categories of a made-up world and are measured here on 8 \
    others, with kinds of defects among them that were never seen.";

/// The images that are worth a look; `seen` lies class by class.
fn cases(
    seen: &[Seen<'_>],
    classes: &[ClassDetails],
    reader: &PictureReader,
) -> anyhow::Result<Vec<Case>> {
    Ok(inspect::draw(classes, CASES, reader, |place| {
        let Seen { sample, map, mask } = &seen[place];
        let defect = sample.image.parent().and_then(Path::file_name).unwrap_or_default();
        let name = format!("{}, {}", sample.prompt, defect.display());
        let (size, map, mask) = ([SIZE as usize; 2], map.clone(), mask.clone());
        Ok(Some(SeenImage { sample, name, size, map, mask }))
    })?)
}

fn provenance(demo: &Demo) -> Vec<Provenance> {
    let fact = |name: &str, value: String| Provenance { name: name.into(), value };
    let seed = demo.seed();
    vec![
        fact("Program", format!("MoECLIP in Rust {}", system::described())),
        fact("Command", demo.command()),
        fact("CLIP", demo.clip_described()),
        fact(
            "Data",
            format!("world {seed}, {SIZE} pixels, made by cargo xtask datasets synth's code"),
        ),
        fact("Training", demo.training()),
        fact("Computed on", demo.common().device.to_string()),
    ]
}
