//! The world as files: two datasets in MVTec layout, each with its description, and captions beside the
//! auxiliary one. All of it is there in the end, or nothing.

use std::fs;
use std::ops::ControlFlow;
use std::path::Path;

use moeclip_data::{Class, DataError, Descriptor, Layout, Split, Tree};
use serde::Serialize;

use crate::caption::Caption;
use crate::category::{Category, Role};
use crate::world::{DrawProgress, Shot, World, in_parallel};

/// What was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct WorldSummary {
    /// Seed of the world.
    pub seed: u64,
    /// Side of the pictures, pixels.
    pub size: u32,
    /// Pictures of the auxiliary half, both splits.
    pub auxiliary: usize,
    /// Pictures of the test half, both splits.
    pub test: usize,
}

/// Writes both halves of the world to `out/auxiliary` and `out/test`: `CATEGORY/{train,test}/KIND/NNN.png`,
/// masks in `CATEGORY/ground_truth/KIND/NNN_mask.png`, and `dataset.toml`. The auxiliary half also has
/// `captions.jsonl`, a [`Caption`] a line; the test half has none, so that nothing is pretrained on it by
/// mistake.
///
/// The bytes follow from `world` and `quotas`, whatever the number of threads. `out` must not exist or be
/// empty. `observe` is told of every picture; where it breaks, `None` is returned and nothing remains.
///
/// # Errors
/// [`DataError::Layout`] for a folder that is not empty, [`DataError::Setting`] for no threads or no
/// pictures, [`DataError::Write`] when a file cannot be written.
pub fn write_world(
    out: &Path,
    world: &World,
    quotas: &Quotas,
    threads: usize,
    observe: impl FnMut(DrawProgress) -> ControlFlow<()>,
) -> Result<Option<WorldSummary>, DataError> {
    refuse_full(out)?;
    let jobs = jobs(quotas)?;
    let parent = out.parent().filter(|parent| !parent.as_os_str().is_empty());
    let parent = parent.unwrap_or(Path::new("."));
    fs::create_dir_all(parent).map_err(|error| DataError::write(parent, error))?;
    let unfinished = tempfile::Builder::new().prefix(".unfinished-").tempdir_in(parent);
    let unfinished = unfinished.map_err(|error| DataError::write(parent, error))?;
    let folder = unfinished.path().join("world");
    let draw = |job: &Job| job.write(world, &folder);
    let Some(captions) = in_parallel(&jobs, threads, draw, observe)? else { return Ok(None) };
    for role in Role::ALL {
        describe(&folder.join(role.name()), world, role, quotas.of(role))?;
    }
    write_captions(&folder.join(Role::Auxiliary.name()), &jobs, &captions)?;
    put_in_place(&folder, out)?;
    let count = |role| jobs.iter().filter(|job| job.role() == role).count();
    Ok(Some(WorldSummary {
        seed: world.seed(),
        size: world.size(),
        auxiliary: count(Role::Auxiliary),
        test: count(Role::Test),
    }))
}

fn refuse_full(out: &Path) -> Result<(), DataError> {
    match fs::read_dir(out).map(|mut entries| entries.next().is_none()) {
        Ok(true) => Ok(()),
        Ok(false) => Err(DataError::layout(out, "is not empty; name a new folder")),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(DataError::write(out, error)),
    }
}

/// The description that `dataset.toml` holds.
fn describe(folder: &Path, world: &World, role: Role, quota: Quota) -> Result<(), DataError> {
    let class = |category: Category| Class {
        name: category.name().into(),
        folders: Vec::new(),
        prompt: Some(category.prompt().into()),
        release_prompt: None,
        normal: quota.normal,
        anomalous: quota.defective,
    };
    let name = format!("synthetic-{}", role.name());
    let descriptor = Descriptor {
        licence: "made by a program; nobody's pictures".into(),
        source: format!("the synthetic world of seed {}, {} pixels", world.seed(), world.size()),
        classes: Category::of(role).map(class).collect(),
        ..Descriptor::undescribed(name, vec![Layout::Tree(Tree::default())])
    };
    let path = folder.join("dataset.toml");
    let text = toml::to_string(&descriptor).map_err(|error| DataError::write(&path, error))?;
    fs::write(&path, text).map_err(|error| DataError::write(&path, error))
}

fn write_captions(folder: &Path, jobs: &[Job], captions: &[Caption]) -> Result<(), DataError> {
    let path = folder.join("captions.jsonl");
    let failed = |error: &dyn std::fmt::Display| DataError::write(&path, error);
    let mut text = String::new();
    let auxiliary = jobs.iter().zip(captions).filter(|(job, _)| job.role() == Role::Auxiliary);
    for (_, caption) in auxiliary {
        text.push_str(&serde_json::to_string(caption).map_err(|error| failed(&error))?);
        text.push('\n');
    }
    fs::write(&path, text).map_err(|error| failed(&error))
}

/// An empty folder may be there already; not every system renames onto it.
fn put_in_place(folder: &Path, out: &Path) -> Result<(), DataError> {
    match fs::remove_dir(out) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(DataError::write(out, error));
        }
        _ => (),
    }
    fs::rename(folder, out).map_err(|error| DataError::write(out, error))
}

/// Most pictures of one category and split.
const MOST: usize = 100_000;

/// How many pictures each category of one half gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quota {
    /// Normal pictures of the train split.
    pub train: usize,
    /// Normal pictures of the test split.
    pub normal: usize,
    /// Defective pictures of the test split, as even as can be over the category's defects.
    pub defective: usize,
}

/// The quotas of both halves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quotas {
    /// Of the half that is trained on.
    pub auxiliary: Quota,
    /// Of the unseen half.
    pub test: Quota,
}

impl Quotas {
    /// So many pictures in each test split: half of them normal in the test half, a tenth in the auxiliary
    /// one. Adapters that start from random heads fall for calling every patch normal, which is right of all
    /// normal pictures and costs a dice loss of 1 for each defective one: with nine of ten defective it
    /// costs as much as knowing nothing.
    pub fn per_category(train: usize, pictures: usize) -> Self {
        let quota = |normal: usize| Quota { train, normal, defective: pictures - normal };
        Self {
            auxiliary: quota((pictures / 10).max(1).min(pictures)),
            test: quota(pictures - pictures / 2),
        }
    }

    /// Of one half.
    pub fn of(&self, role: Role) -> Quota {
        match role {
            Role::Auxiliary => self.auxiliary,
            Role::Test => self.test,
        }
    }
}

/// A picture to be written.
struct Job {
    shot: Shot,
    /// Its number in its folder.
    number: usize,
}

/// All pictures: by category, train before test, normal ones first.
fn jobs(quotas: &Quotas) -> Result<Vec<Job>, DataError> {
    for Quota { train, normal, defective } in [quotas.auxiliary, quotas.test] {
        if normal == 0 || defective == 0 || train.max(normal).max(defective) > MOST {
            let counts = format!("{train} train, {normal} normal, {defective} defective");
            let remedy = "use 1 to 100000 of each, or none for training";
            return Err(DataError::setting("pictures per category", counts, remedy));
        }
    }
    Ok(Category::ALL.into_iter().flat_map(|category| of_category(category, quotas)).collect())
}

fn of_category(category: Category, quotas: &Quotas) -> Vec<Job> {
    let Quota { train, normal, defective } = quotas.of(category.role());
    let normal_job = |split| {
        move |index| Job { shot: Shot { category, defect: None, split, index }, number: index }
    };
    let defects = category.defects();
    let defective_job = |index: usize| {
        let (defect, number) = (defects[index % defects.len()], index / defects.len());
        let shot = Shot { category, defect: Some(defect), split: Split::Test, index: number };
        Job { shot, number }
    };
    let mut jobs: Vec<Job> = (0..train).map(normal_job(Split::Train)).collect();
    jobs.extend((0..normal).map(normal_job(Split::Test)));
    jobs.extend((0..defective).map(defective_job));
    jobs
}

impl Job {
    fn role(&self) -> Role {
        self.shot.category.role()
    }

    /// Draws the picture and writes it below `folder`.
    fn write(&self, world: &World, folder: &Path) -> Result<Caption, DataError> {
        let picture = world.picture(&self.shot)?;
        let Shot { category, defect, split, .. } = self.shot;
        let kind = defect.map_or("good", |defect| defect.name());
        let name = format!("{:03}", self.number);
        let own = folder.join(self.role().name());
        let path = format!("{}/{}/{kind}/{name}.png", category.name(), split.name());
        save(&picture.image, &own.join(&path))?;
        if let Some(mask) = &picture.mask {
            let path = format!("{}/ground_truth/{kind}/{name}_mask.png", category.name());
            save(mask, &own.join(path))?;
        }
        Ok(Caption::of(&self.shot, &picture, path))
    }
}

fn save<P>(picture: &image::ImageBuffer<P, Vec<u8>>, path: &Path) -> Result<(), DataError>
where
    P: image::Pixel<Subpixel = u8> + image::PixelWithColorType,
{
    let folder = path.parent().unwrap_or(Path::new(""));
    fs::create_dir_all(folder).map_err(|error| DataError::write(folder, error))?;
    picture.save(path).map_err(|error| DataError::write(path, error))
}
