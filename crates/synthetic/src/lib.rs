//! A made-up world of things to inspect, so that the whole method can be trained and measured where no
//! dataset may be had.
//!
//! It is honestly zero-shot: categories of [`Role::Auxiliary`] and of [`Role::Test`] are disjoint, and
//! some kinds of defects occur in one half only. A defect changes the scene (colour, height, what covers
//! the ground) before light, blur and noise, and every picture has harmless marks that are as dark,
//! bright and crisp as defects are: a test holds that statistics of a picture do not tell what is
//! defective.
//!
//! [`World::picture`] takes one picture; [`write_world`] writes both halves as datasets in MVTec layout.

mod camera;
mod canvas;
mod caption;
mod category;
mod chance;
mod defect;
mod marks;
mod plain;
mod subject;
mod world;
mod write;

pub use caption::{Caption, State};
pub use category::{Category, DefectKind, Role};
pub use marks::MarkKind;
pub use plain::{Surface, SyntheticSet, write_synthetic};
pub use world::{DrawProgress, Picture, Shot, Twins, World};
pub use write::{Quota, Quotas, WorldSummary, write_world};
