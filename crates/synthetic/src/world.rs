//! One picture of the world: what it shows follows from the world's seed and from which picture it is.

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::sync_channel;
use std::thread;

use image::{GrayImage, RgbImage};
use moeclip_data::{DataError, Split};

use crate::camera::{Camera, Exposure, TEXELS};
use crate::category::{Category, DefectKind};
use crate::chance::Chance;
use crate::defect::{Change, NormalScene, inflict};
use crate::marks::{Mark, MarkKind};
use crate::subject::Stage;

/// Smallest and largest sides of pictures.
const SIDES: std::ops::RangeInclusive<u32> = 32..=2048;

/// How often a defect is drawn anew when it cannot be seen or covers too much.
const ATTEMPTS: u64 = 16;

/// A world of things to inspect; everything in it follows from these two numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct World {
    seed: u64,
    size: u32,
}

/// Which picture of a world: the same one is the same whoever draws it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Shot {
    /// What it shows.
    pub category: Category,
    /// What is wrong with it; `None` for a normal picture.
    pub defect: Option<DefectKind>,
    /// The split that it is for.
    pub split: Split,
    /// Its number among those that agree in all of the above.
    pub index: usize,
}

/// A picture and the truth about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Picture {
    /// `[size, size]`.
    pub image: RgbImage,
    /// White where the picture is defective, black elsewhere; `None` for a normal one.
    pub mask: Option<GrayImage>,
    /// What is peculiar about it and harmless.
    pub marks: Vec<MarkKind>,
}

impl World {
    /// The world of a seed, in pictures of `size` by `size` pixels.
    ///
    /// # Errors
    /// [`DataError::Setting`] for a size under 32 or over 2048.
    pub fn new(seed: u64, size: u32) -> Result<Self, DataError> {
        if !SIDES.contains(&size) {
            return Err(DataError::setting("size", size, "use 32 to 2048 pixels"));
        }
        Ok(Self { seed, size })
    }

    /// The seed.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// The side of its pictures in pixels.
    pub fn size(&self) -> u32 {
        self.size
    }

    /// Takes the picture.
    ///
    /// # Errors
    /// [`DataError::Setting`] for a defect that its category cannot have.
    pub fn picture(&self, shot: &Shot) -> Result<Picture, DataError> {
        Ok(self.expose(shot)?.picture())
    }

    /// Takes the picture, and the same scene without its defect.
    ///
    /// # Errors
    /// As [`World::picture`].
    pub fn twins(&self, shot: &Shot) -> Result<Twins, DataError> {
        let exposed = self.expose(shot)?;
        let sound = exposed.defective.is_some().then(|| exposed.camera.develop(&exposed.sound));
        Ok(Twins { picture: exposed.picture(), sound })
    }

    /// Takes several pictures with their twins on so many threads; they are in the order of `shots`.
    /// `observe` is told of each; where it breaks, `None` is returned.
    ///
    /// # Errors
    /// As [`World::picture`], and [`DataError::Setting`] for no threads.
    pub fn all_twins(
        &self,
        shots: &[Shot],
        threads: usize,
        observe: impl FnMut(DrawProgress) -> ControlFlow<()>,
    ) -> Result<Option<Vec<Twins>>, DataError> {
        in_parallel(shots, threads, |shot| self.twins(shot), observe)
    }

    fn expose(&self, shot: &Shot) -> Result<Exposed, DataError> {
        let mut chance = shot.chance(self.seed);
        let stage = Stage::draw(shot.category, &mut chance);
        let camera = Camera::draw(shot.category.film(), &mut chance);
        let mut marks = Mark::draw_all(shot.category, &mut chance);
        if shot.defect.is_some() {
            // The defect stands in for a mark, or it would add to edges and extremes.
            marks.pop();
        }
        let mut canvas = stage.paint(self.size as usize * TEXELS);
        marks.iter().for_each(|mark| mark.apply(&mut canvas));
        let sound = camera.expose(&canvas);
        let seen = marks.iter().filter(|mark| mark.is_seen(&canvas));
        let kinds = seen.map(|mark| mark.kind).collect();
        let Some(defect) = shot.defect else {
            return Ok(Exposed { camera, sound, defective: None, marks: kinds });
        };
        let scene =
            NormalScene { category: shot.category, stage: &stage, marks: &marks, canvas: &canvas };
        let defective = inflicted(defect, &scene, &camera, &sound, &chance)
            .ok_or_else(|| DataError::setting("defect", defect.name(), NOT_POSSIBLE))?;
        Ok(Exposed { camera, sound, defective: Some(defective), marks: kinds })
    }
}

/// A picture, and what it would be if nothing were wrong with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Twins {
    /// The picture.
    pub picture: Picture,
    /// The same scene in the same light, to the grain, without the defect; `None` for a normal picture.
    pub sound: Option<RgbImage>,
}

/// A scene on the sensor, not yet developed.
struct Exposed {
    camera: Camera,
    /// Without a defect.
    sound: Exposure,
    defective: Option<VisibleDefect>,
    marks: Vec<MarkKind>,
}

impl Exposed {
    fn picture(self) -> Picture {
        let exposure = self.defective.as_ref().map_or(&self.sound, |seen| &seen.exposure);
        let image = self.camera.develop(exposure);
        let mask = self.defective.map(|seen| seen.change.mask());
        Picture { image, mask, marks: self.marks }
    }
}

const NOT_POSSIBLE: &str =
    "this category cannot have it; Category::defects lists those that it has";

/// A defective scene through the camera.
struct VisibleDefect {
    exposure: Exposure,
    change: Change,
}

/// The first attempt that can be seen well and is of a fit size; where none is, as on a dark picture of
/// a small part, the one that is seen best.
fn inflicted(
    defect: DefectKind,
    sound: &NormalScene<'_>,
    camera: &Camera,
    clean: &Exposure,
    chance: &Chance,
) -> Option<VisibleDefect> {
    let mut best: Option<VisibleDefect> = None;
    for attempt in 0..ATTEMPTS {
        let Some(canvas) = inflict(defect, sound, &mut chance.fork(attempt)) else { continue };
        let exposure = camera.expose(&canvas);
        let change = Change::between(clean, &exposure);
        if change.is_fit() {
            return Some(VisibleDefect { exposure, change });
        }
        if change.is_allowed() && best.as_ref().is_none_or(|best| best.change.is_fainter(&change)) {
            best = Some(VisibleDefect { exposure, change });
        }
    }
    best
}

impl Shot {
    fn chance(&self, seed: u64) -> Chance {
        let defect = self.defect.map_or(0, |defect| defect as u64 + 1);
        let split = match self.split {
            Split::Train => 0,
            Split::Test => 1,
        };
        Chance::new([seed, self.category as u64, defect << 8 | split, self.index as u64])
    }
}

/// How far the drawing is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DrawProgress {
    /// Pictures drawn.
    pub done: usize,
    /// Pictures in all.
    pub total: usize,
}

/// The results in the order of the jobs; `None` when `observe` broke. The first error ends the work.
pub(super) fn in_parallel<J: Sync, R: Send>(
    jobs: &[J],
    threads: usize,
    work: impl Fn(&J) -> Result<R, DataError> + Sync,
    mut observe: impl FnMut(DrawProgress) -> ControlFlow<()>,
) -> Result<Option<Vec<R>>, DataError> {
    if threads == 0 {
        return Err(DataError::setting("threads", threads, "use 1 or more"));
    }
    let mut results: Vec<Option<R>> = jobs.iter().map(|_| None).collect();
    let next = AtomicUsize::new(0);
    let total = jobs.len();
    thread::scope(|scope| {
        let (sender, receiver) = sync_channel(threads);
        for _ in 0..threads.min(total) {
            let (sender, next, work) = (sender.clone(), &next, &work);
            let take = move || loop {
                let index = next.fetch_add(1, Ordering::Relaxed);
                let Some(job) = jobs.get(index) else { return };
                if sender.send((index, work(job))).is_err() {
                    return;
                }
            };
            let started = thread::Builder::new().spawn_scoped(scope, take);
            let remedy = "the system starts fewer; use fewer";
            started.map_err(|_| DataError::setting("threads", threads, remedy))?;
        }
        drop(sender);
        // Leaving the loop closes the channel, and the threads end with the picture at hand.
        for (before, (index, result)) in receiver.into_iter().enumerate() {
            if let Some(place) = results.get_mut(index) {
                *place = Some(result?);
            }
            if observe(DrawProgress { done: before + 1, total }).is_break() {
                return Ok(None);
            }
        }
        Ok(Some(()))
    })
    .map(|whole| whole.and_then(|()| results.into_iter().collect()))
}
