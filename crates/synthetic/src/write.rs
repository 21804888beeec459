//! The world as files: two datasets in MVTec layout, each with its description, and captions beside the
//! auxiliary one. All of it is there in the end, or nothing.

mod plan;

use std::fs;
use std::ops::ControlFlow;
use std::path::Path;

use serde::Serialize;

use self::plan::Job;
pub use self::plan::{Quota, Quotas};
use super::caption::Caption;
use super::category::Category;
use super::category::Role;
use super::threads::{self, Drawn};
use super::world::World;
use moeclip_data::DataError;
use moeclip_data::{Class, Descriptor};
use moeclip_data::{Layout, Tree};

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
    observe: impl FnMut(Drawn) -> ControlFlow<()>,
) -> Result<Option<WorldSummary>, DataError> {
    refuse_full(out)?;
    let jobs = plan::jobs(quotas)?;
    let parent = out.parent().filter(|parent| !parent.as_os_str().is_empty());
    let parent = parent.unwrap_or(Path::new("."));
    fs::create_dir_all(parent).map_err(|error| DataError::write(parent, error))?;
    let unfinished = tempfile::Builder::new().prefix(".unfinished-").tempdir_in(parent);
    let unfinished = unfinished.map_err(|error| DataError::write(parent, error))?;
    let folder = unfinished.path().join("world");
    let draw = |job: &Job| job.write(world, &folder);
    let Some(captions) = threads::run(&jobs, threads, draw, observe)? else { return Ok(None) };
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
