//! Which pictures are written, and each of them as files.

use std::fs;
use std::path::Path;

use crate::caption::Caption;
use crate::category::Category;
use crate::category::Role;
use crate::world::{Shot, World};
use moeclip_data::DataError;
use moeclip_data::Split;

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
pub(super) struct Job {
    shot: Shot,
    /// Its number in its folder.
    number: usize,
}

/// All pictures: by category, train before test, normal ones first.
pub(super) fn jobs(quotas: &Quotas) -> Result<Vec<Job>, DataError> {
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
    pub(super) fn role(&self) -> Role {
        self.shot.category.role()
    }

    /// Draws the picture and writes it below `folder`.
    pub(super) fn write(&self, world: &World, folder: &Path) -> Result<Caption, DataError> {
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
