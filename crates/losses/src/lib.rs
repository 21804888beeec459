//! The losses of MoECLIP (arXiv 2603.03101): segmentation, image, and what keeps the experts apart.

mod balance;
mod dice;
mod etf;
mod focal;
mod image;

pub use balance::balance;
pub use dice::dice;
pub use etf::{etf, output_cosines, similarity};
pub use focal::focal;
pub use image::image_cross_entropy;
