//! Pretraining of a small CLIP: what is minimised, that all of it learns, and that a run that was ended
//! and taken up again ends with the same bytes.

mod config;
mod learning;
mod losses;
mod world;
