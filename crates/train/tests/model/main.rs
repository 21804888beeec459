//! Ablations of the model in training: what learns, what is saved, and how far the experts turn.

mod ablated;
mod turning;
mod world;
