//! A run over its images: while one is looked at, a thread decodes the next and another draws and writes
//! the one before. What is written, told and in which order, is as if one did it all.

use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{self, Scope, ScopedJoinHandle};
use std::time::Instant;

use anomaly::Calibration;
use burn::tensor::backend::Backend;
use image::RgbImage;
use moeclip_data::PictureReader;
use moeclip_eval::pictures::Overlay;
use moeclip_eval::{MapRange, MapView};

use super::names::{PictureFiles, shown_path};
use super::results::{DrawnPicture, GrowingList, NewFiles, Reserved, refuse_taken};
use super::{PredictOutput, Predicted, Prediction, Target, Tell};
use crate::error::Context;
use crate::view::{Legend, colours};
use crate::{InspectError, LoadedDetector, SeenMap, Watcher, WorkKind, tell_each};

/// Images and what is to become of them.
pub(super) struct PredictRun<'a> {
    pub(super) targets: &'a [Target],
    pub(super) output: &'a PredictOutput,
    pub(super) calibration: Option<Calibration>,
}

/// An image that was read.
struct Decoded {
    image: RgbImage,
    milliseconds: f64,
}

/// An image that was looked at.
struct SeenPicture {
    map: SeenMap,
    image: RgbImage,
    /// Decoding and looking.
    milliseconds: f64,
}

/// What became of an image.
enum PictureOutcome {
    /// It has its files and its line; the map ranges over this.
    Written(Box<Prediction>, MapRange),
    /// It could not be read, looked at or drawn; the others can.
    Failed(InspectError),
    /// It could not be written, nor can the others.
    Ended(InspectError),
}

impl PredictRun<'_> {
    /// Looks at the images and writes what is seen; `tell` hears of each, in order.
    pub(super) fn predict<B: Backend>(
        self,
        mut reserved: Reserved,
        loaded: &mut LoadedDetector<B>,
        device: &B::Device,
        watch: &mut dyn Watcher,
        tell: Tell<'_>,
    ) -> Result<Predicted, InspectError> {
        let files = std::mem::take(&mut reserved.files);
        let list = reserved.begin(watch)?;
        let images = self.targets.len();
        let mut predicted =
            Predicted { images, lines: list.path().to_path_buf(), ..Predicted::default() };
        let reader = PictureReader::new(self.output.viewing.bits);
        watch.begin(WorkKind::Images, images);
        let ran = thread::scope(|scope| {
            let decoder = Decoder::start(scope, self.targets, &reader);
            let mut stages = Stages { decoder, writer: Writer::start(scope, &self, &files, list) };
            let ran = self.each(&mut stages, loaded, device, watch, &mut predicted, tell);
            let Stages { decoder, writer } = stages;
            drop(decoder);
            let finished = writer.finish();
            ran.and(finished)
        });
        watch.end();
        tell_each(&reader.take_faults(), watch);
        ran.with_context(|| {
            let (done, list) = (predicted.done, predicted.lines.display());
            format!("ended after {done} of {images} images, which {list} names")
        })?;
        predicted.calibration = self.calibration;
        Ok(predicted)
    }

    fn each<B: Backend>(
        &self,
        stages: &mut Stages<'_>,
        loaded: &mut LoadedDetector<B>,
        device: &B::Device,
        watch: &mut dyn Watcher,
        predicted: &mut Predicted,
        tell: Tell<'_>,
    ) -> Result<(), InspectError> {
        // Images that are cut into tiles may fill the memory by themselves.
        let is_overlapping = self.output.viewing.tiling.is_none();
        for index in 0..self.targets.len() {
            if watch.is_cancelled() {
                break;
            }
            let Some(decoded) = stages.decoder.take(index) else { break };
            if is_overlapping {
                stages.decoder.ask_for(index + 1);
            }
            let seen = decoded.and_then(|image| self.look(index, image, loaded, device, watch));
            if matches!(seen, Err(InspectError::Cancelled { .. })) {
                break;
            }
            if predicted.tell_of(stages.writer.wait(), watch, tell)?.is_break() {
                return Ok(());
            }
            stages.writer.hand(index, seen);
            if !is_overlapping && predicted.tell_of(stages.writer.wait(), watch, tell)?.is_break() {
                return Ok(());
            }
        }
        predicted.tell_of(stages.writer.wait(), watch, tell).map(drop)
    }

    fn look<B: Backend>(
        &self,
        index: usize,
        decoded: Decoded,
        loaded: &mut LoadedDetector<B>,
        device: &B::Device,
        watch: &mut dyn Watcher,
    ) -> Result<SeenPicture, InspectError> {
        let Decoded { image, milliseconds } = decoded;
        let (class, calibration) = (&self.targets[index].class, self.calibration.as_ref());
        let start = Instant::now();
        let map = self.output.viewing.look(&image, class, calibration, loaded, device, watch)?;
        let milliseconds = milliseconds + start.elapsed().as_secs_f64() * 1e3;
        Ok(SeenPicture { map, image, milliseconds })
    }

    /// Draws an image, writes its files and its line.
    fn write(
        &self,
        target: &Target,
        files: &PictureFiles,
        seen: Result<SeenPicture, InspectError>,
        list: &mut GrowingList,
    ) -> PictureOutcome {
        let with_npy = self.output.npy;
        let drawn = seen.and_then(|seen| {
            refuse_taken(files, with_npy)?;
            self.output.draw(target, files, seen, self.calibration.as_ref())
        });
        let (prediction, drawn) = match drawn {
            Ok(drawn) => drawn,
            Err(error) => return PictureOutcome::Failed(error),
        };
        let written = NewFiles::write(files, &drawn, with_npy)
            .and_then(|new| list.push(&prediction).map(|()| new.keep()));
        match written {
            Ok(()) => PictureOutcome::Written(Box::new(prediction), drawn.own_range),
            Err(error) => PictureOutcome::Ended(error),
        }
    }
}

impl PredictOutput {
    /// The line and the pictures of an image.
    fn draw(
        &self,
        target: &Target,
        files: &PictureFiles,
        seen: SeenPicture,
        calibration: Option<&Calibration>,
    ) -> Result<(Prediction, DrawnPicture), InspectError> {
        let SeenPicture {
            map: SeenMap { map, image_score, score, tiles, judged },
            image,
            milliseconds,
        } = seen;
        let (width, height) = (map.width, map.height);
        let view = MapView::new(width, height, &map.values)?;
        let legend = Legend::of(&target.class, score, judged.as_ref());
        let range = colours(self.range, calibration, view)?;
        let (title, score_shown) = (legend.title.as_str(), legend.score);
        let overlay = Overlay { image: &image, map: view, range, title, score: score_shown };
        let overlay = overlay.draw()?;
        let (own_range, peak) = (view.range(), view.peak());
        let own = |at: usize, side: u32, of: usize| {
            ((at as f64 + 0.5) * f64::from(side) / of as f64) as u32
        };
        let prediction = Prediction {
            path: shown_path(&target.path),
            path_encoding: target.path.to_str().is_none().then_some("percent"),
            class: target.class.clone(),
            score,
            image_score,
            maximum: peak.value,
            maximum_x: own(peak.x, image.width(), width),
            maximum_y: own(peak.y, image.height(), height),
            milliseconds,
            tiles,
            map: shown_path(&files.map()),
            overlay: shown_path(&files.overlay()),
            judged,
        };
        let range = self.range.unwrap_or(own_range);
        Ok((prediction, DrawnPicture { map, range, own_range, overlay }))
    }
}

impl Predicted {
    /// Counts an image and tells of it, where there is one.
    fn tell_of(
        &mut self,
        outcome: Option<PictureOutcome>,
        watch: &mut dyn Watcher,
        tell: Tell<'_>,
    ) -> Result<ControlFlow<()>, InspectError> {
        let (said, told) = match outcome {
            None => return Ok(ControlFlow::Continue(())),
            Some(PictureOutcome::Ended(error)) => return Err(error),
            Some(PictureOutcome::Failed(error)) => {
                self.failed += 1;
                ("failed".to_owned(), tell(Err(error)))
            }
            Some(PictureOutcome::Written(prediction, range)) => {
                self.done += 1;
                let is_anomalous = prediction.judged.is_some_and(|judged| judged.is_anomalous());
                self.anomalous += usize::from(is_anomalous);
                self.range = Some(self.range.map_or(range, |all| all.union(range)));
                (format!("score {:.3}", prediction.score), tell(Ok(&prediction)))
            }
        };
        watch.advance(said);
        Ok(told)
    }
}

/// The threads beside the one that looks.
struct Stages<'scope> {
    decoder: Decoder,
    writer: Writer<'scope>,
}

/// Reads images ahead, in order. `None` of it is that its thread panicked, which the scope passes on.
struct Decoder {
    asks: Sender<usize>,
    images: Receiver<Result<Decoded, InspectError>>,
    /// How many were asked for.
    asked: usize,
    count: usize,
}

impl Decoder {
    fn start<'scope>(
        scope: &'scope Scope<'scope, '_>,
        targets: &'scope [Target],
        reader: &'scope PictureReader,
    ) -> Self {
        let ((asks, asked), (give, images)) = (channel(), channel());
        scope.spawn(move || {
            let decode = |index: usize| -> Result<Decoded, InspectError> {
                let start = Instant::now();
                let image = reader.rgb(&targets[index].path)?;
                Ok(Decoded { image, milliseconds: start.elapsed().as_secs_f64() * 1e3 })
            };
            // Nobody waits for more once the run has ended.
            let _ = asked.iter().try_for_each(|index| give.send(decode(index)));
        });
        Self { asks, images, asked: 0, count: targets.len() }
    }

    fn ask_for(&mut self, index: usize) {
        if index == self.asked && index < self.count {
            self.asked += 1;
            // Taking it says whether the thread is gone.
            let _ = self.asks.send(index);
        }
    }

    fn take(&mut self, index: usize) -> Option<Result<Decoded, InspectError>> {
        self.ask_for(index);
        self.images.recv().ok()
    }
}

/// Draws and writes one image at a time.
struct Writer<'scope> {
    jobs: Sender<(usize, Result<SeenPicture, InspectError>)>,
    outcomes: Receiver<PictureOutcome>,
    is_waiting: bool,
    thread: ScopedJoinHandle<'scope, Result<PathBuf, InspectError>>,
}

impl<'scope> Writer<'scope> {
    fn start(
        scope: &'scope Scope<'scope, '_>,
        run: &'scope PredictRun<'_>,
        files: &'scope [PictureFiles],
        mut list: GrowingList,
    ) -> Self {
        let ((jobs, handed), (answer, outcomes)) = (channel(), channel());
        let thread = scope.spawn(move || {
            for (index, seen) in handed {
                let written = run.write(&run.targets[index], &files[index], seen, &mut list);
                if answer.send(written).is_err() {
                    break;
                }
            }
            list.finish()
        });
        Self { jobs, outcomes, is_waiting: false, thread }
    }

    fn hand(&mut self, index: usize, seen: Result<SeenPicture, InspectError>) {
        self.is_waiting = self.jobs.send((index, seen)).is_ok();
    }

    /// What became of the image that was handed over last and not waited for.
    fn wait(&mut self) -> Option<PictureOutcome> {
        std::mem::take(&mut self.is_waiting).then(|| self.outcomes.recv().ok()).flatten()
    }

    fn finish(self) -> Result<(), InspectError> {
        let Self { jobs, thread, .. } = self;
        drop(jobs);
        match thread.join() {
            Ok(finished) => finished.map(drop),
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }
}
