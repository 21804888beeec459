//! From stored results to numbers: one image at a time, so that memory does not grow with a dataset.

use std::time::{Duration, Instant};

use anomaly::ScoreRule;
use moeclip_data::{Label, PictureReader};
use moeclip_eval::StoredResult;
use moeclip_eval::metrics::Workspace;
use moeclip_eval::report::html::Case;
use moeclip_eval::report::{
    Benchmark, ClassDetails, DatasetOutcome, DatasetPictures, Evaluation, EvaluationDetails,
    ImageRecord, Measured, Outcome, StageTime, Unread,
};

use super::BenchRequest;
use super::plan::{BenchPlan, DatasetCopy, Deployment, FoundCopy, Ready, Task, without};
use super::workers::FailedPiece;
use crate::cases::{SeenImage, draw};
use crate::{InspectError, Watcher, WorkKind};

/// What stands above the tables.
const TITLE: &str = "Zero-shot anomaly detection, fourteen benchmarks";

/// What a killed process left unfinished so long ago is nobody's any more.
const STRAY: Duration = Duration::from_secs(3600);

/// Everything that a report is made of.
pub(crate) struct Gathered {
    pub(crate) benchmark: Benchmark,
    pub(crate) pictures: Vec<DatasetPictures>,
    pub(crate) times: Vec<StageTime>,
}

/// Measures what is stored.
pub(crate) fn run(
    request: &BenchRequest,
    plan: &BenchPlan,
    failed: &[FailedPiece],
    watch: &mut dyn Watcher,
) -> Result<Gathered, InspectError> {
    let start = Instant::now();
    watch.begin(WorkKind::Counting, images(plan));
    let mut gatherer = Gatherer { request, plan, times: Vec::new(), watch };
    let (mut datasets, mut pictures) = (Vec::new(), Vec::new());
    for (number, planned) in plan.datasets.iter().enumerate() {
        let mut shown = DatasetPictures::default();
        let mut outcomes = Vec::new();
        for method in 0..plan.methods.len() {
            let failure = failed.iter().find(|one| one.dataset == number && one.method == method);
            let gathered = gatherer.outcome(number, method, failure)?;
            outcomes.push(gathered.outcome);
            shown.classes.push(gathered.classes);
            shown.cases.push(gathered.cases);
        }
        datasets.push(DatasetOutcome { name: planned.descriptor.name.clone(), outcomes });
        pictures.push(shown);
    }
    gatherer.watch.end();
    let methods = plan.methods.iter().map(|method| method.name().to_owned()).collect();
    let benchmark = Benchmark { title: TITLE.into(), methods, datasets };
    let (mut times, seconds) = (gatherer.times, start.elapsed().as_secs_f64());
    let images = times.iter().map(|time| time.images).sum();
    times.push(StageTime { stage: "counting and drawing".into(), images, seconds });
    Ok(Gathered { benchmark, pictures, times })
}

/// Images whose results are counted.
fn images(plan: &BenchPlan) -> usize {
    let images = plan.datasets.iter().map(|planned| match &planned.copy {
        DatasetCopy::Found(copy) => {
            let ready = copy.tasks.iter().filter(|task| matches!(task, Task::Ready(_)));
            copy.samples.len() * ready.count()
        }
        DatasetCopy::Missing | DatasetCopy::Unusable(_) => 0,
    });
    images.sum()
}

struct Gatherer<'a> {
    request: &'a BenchRequest,
    plan: &'a BenchPlan,
    times: Vec<StageTime>,
    watch: &'a mut dyn Watcher,
}

/// A method on a dataset.
struct Gathering {
    outcome: Outcome,
    classes: Vec<ClassDetails>,
    cases: Vec<Case>,
}

impl From<Outcome> for Gathering {
    fn from(outcome: Outcome) -> Self {
        Self { outcome, classes: Vec::new(), cases: Vec::new() }
    }
}

impl Gatherer<'_> {
    fn outcome(
        &mut self,
        dataset: usize,
        method: usize,
        failure: Option<&FailedPiece>,
    ) -> Result<Gathering, InspectError> {
        let copy = match &self.plan.datasets[dataset].copy {
            DatasetCopy::Missing => return Ok(Outcome::Missing.into()),
            DatasetCopy::Unusable(reason) => return Ok(Outcome::Failed(reason.clone()).into()),
            DatasetCopy::Found(copy) => copy,
        };
        match (&copy.tasks[method], failure) {
            (Task::Refused(reason), _) => Ok(Outcome::Refused(reason.clone()).into()),
            (Task::Ready(_), Some(failed)) => {
                Ok(Outcome::Failed(without(&failed.reason, &copy.root)).into())
            }
            (Task::Ready(ready), None) => self.measured(dataset, method, copy, ready),
        }
    }

    fn measured(
        &mut self,
        dataset: usize,
        method: usize,
        copy: &FoundCopy,
        ready: &Ready,
    ) -> Result<Gathering, InspectError> {
        ready.results.tidy(STRAY)?;
        let (planned, method) = (&self.plan.datasets[dataset], &self.plan.methods[method]);
        let descriptor = &planned.descriptor;
        let rule = method.subject(descriptor).score_rule(descriptor.domain);
        let taken = match self.take(copy, ready, rule) {
            // A file that turned on the disk is a fault of this dataset, not of the others.
            Err(error) if !self.watch.is_cancelled() => {
                return Ok(Outcome::Failed(without(&error.one_line(), &self.request.out)).into());
            }
            taken => taken?,
        };
        let stage = format!("{}, {}", descriptor.name, method.name());
        self.times.push(StageTime { stage, images: taken.indices.len(), seconds: taken.seconds });
        if taken.left > 0 {
            let (left, all) = (taken.left, copy.samples.len());
            let reason = format!("{left} of {all} images are left to be measured");
            return Ok(Outcome::Failed(reason).into());
        }
        let EvaluationDetails { reports, classes } = taken.evaluation.finish_with_details()?;
        let reader = PictureReader::new(descriptor.bits);
        let cases = cases(copy, ready, &classes, &taken.indices, &reader)?;
        let undeployed = match &ready.deployment {
            Deployment::Unusable(why) => Some(why.clone()),
            Deployment::Uncalibrated | Deployment::Calibrated(_) => None,
        };
        let outcome = Outcome::Measured(Measured { reports, unread: taken.unread, undeployed });
        Ok(Gathering { outcome, classes, cases })
    }

    /// Every stored result of a dataset into an evaluation.
    fn take(
        &mut self,
        copy: &FoundCopy,
        ready: &Ready,
        rule: ScoreRule,
    ) -> Result<Taken, InspectError> {
        let memory = self.request.pixel_memory.saturating_mul(1 << 20);
        let folder = self.request.pixel_folder.clone();
        let folder = folder.unwrap_or_else(|| Workspace::default().folder);
        let mut evaluation = Evaluation::new(rule, Workspace { memory, folder }).with_details();
        if let Deployment::Calibrated(calibration) = &ready.deployment {
            evaluation = evaluation.calibrated((**calibration).clone())?;
        }
        let (unread, indices) = (Vec::new(), Vec::new());
        let mut taken = Taken { evaluation, unread, indices, left: 0, seconds: 0.0 };
        for (index, key) in copy.keys.iter().enumerate() {
            if self.watch.is_cancelled() {
                return Err(InspectError::cancelled("interrupted; what was measured is stored"));
            }
            match key {
                Ok(key) => taken.image(copy, ready, index, key)?,
                Err(reason) => taken.unreadable(copy, index, reason.clone()),
            }
            self.watch.advance(String::new());
        }
        Ok(taken)
    }
}

/// What was taken in.
struct Taken {
    evaluation: Evaluation,
    unread: Vec<Unread>,
    /// The samples that are in, in their order.
    indices: Vec<usize>,
    /// Images without result or reason.
    left: usize,
    /// Of all detections.
    seconds: f64,
}

impl Taken {
    fn image(
        &mut self,
        copy: &FoundCopy,
        ready: &Ready,
        index: usize,
        key: &str,
    ) -> Result<(), InspectError> {
        let Some(result) = ready.results.get(key)? else {
            match ready.results.unread(key) {
                Some(reason) => self.unreadable(copy, index, reason),
                None => self.left += 1,
            }
            return Ok(());
        };
        let sample = &copy.samples[index];
        let name = copy.path_of(sample);
        let record = ImageRecord {
            name: &name,
            group: sample.group.as_deref(),
            map: result.view()?,
            mask: result.mask.as_deref(),
            label: sample.label == Label::Anomalous,
            image_score: result.image_score,
        };
        self.evaluation.push(&sample.class, record)?;
        self.indices.push(index);
        self.seconds += result.seconds;
        Ok(())
    }

    fn unreadable(&mut self, copy: &FoundCopy, index: usize, reason: String) {
        let reason = without(&reason, &copy.root);
        self.unread.push(Unread { image: copy.path_of(&copy.samples[index]), reason });
    }
}

/// Images of each kind that are drawn.
const DRAWN: usize = 2;

/// Draws the images that are worth a look, from their stored results. `indices` are the samples behind the scores of the classes, class by class.
fn cases(
    copy: &FoundCopy,
    ready: &Ready,
    classes: &[ClassDetails],
    indices: &[usize],
    reader: &PictureReader,
) -> Result<Vec<Case>, InspectError> {
    draw(classes, DRAWN, reader, |place| {
        let index = indices[place];
        let Ok(key) = &copy.keys[index] else { return Ok(None) };
        let Some(result) = ready.results.get(key)? else { return Ok(None) };
        let StoredResult { width, height, map, mask, .. } = result;
        let sample = &copy.samples[index];
        let (name, size) = (copy.path_of(sample), [width, height]);
        Ok(Some(SeenImage { sample, name, size, map, mask }))
    })
}
