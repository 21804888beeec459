//! How unlike everything in normal references the places of an image are: WinCLIP+.

use burn::tensor::{Tensor, backend::Backend};

use super::{AssociationLevels, PatchWindows, WinClipFeatures, WinClipSettings};
use crate::memory::MemoryBank;

/// What is remembered of references.
#[derive(Debug, Clone)]
pub struct WindowMemory<B: Backend> {
    /// Single patches.
    pub patches: MemoryBank<B>,
    /// The windows of each scale.
    pub windows: Vec<MemoryBank<B>>,
}

impl<B: Backend> WindowMemory<B> {
    /// Remembers what was seen of normal references.
    pub fn new(references: &WinClipFeatures<B>) -> Self {
        let WinClipFeatures { patches, windows, .. } = references;
        Self {
            patches: MemoryBank::new(patches.clone()),
            windows: windows.iter().cloned().map(MemoryBank::new).collect(),
        }
    }
}

/// Distances of a batch to references, from 0 to 1.
#[derive(Debug, Clone)]
pub struct Association<B: Backend> {
    /// Of single patches, `[batch, patches]`.
    pub patches: Tensor<B, 2>,
    /// Of the windows of each scale, `[batch, windows]`.
    pub window_scores: Vec<Tensor<B, 2>>,
    /// The same for the patches, for each scale: `[batch, patches]`.
    pub scales: Vec<Tensor<B, 2>>,
    /// The arithmetic mean over the levels, `[batch, patches]`.
    pub map: Tensor<B, 2>,
}

impl<B: Backend> Association<B> {
    /// Compares images with what is remembered; `windows` are those of each scale.
    pub fn of(
        features: &WinClipFeatures<B>,
        memory: &WindowMemory<B>,
        windows: &[PatchWindows<B>],
        settings: &WinClipSettings,
    ) -> Self {
        let patches = distance(&features.patches, &memory.patches);
        let remembered = features.windows.iter().zip(&memory.windows);
        let window_scores: Vec<Tensor<B, 2>> =
            remembered.map(|(vectors, bank)| distance(vectors, bank)).collect();
        let spread = |(windows, scores): (&PatchWindows<B>, &Tensor<B, 2>)| {
            windows.spread(scores.clone(), settings.association_mean)
        };
        let scales: Vec<Tensor<B, 2>> = windows.iter().zip(&window_scores).map(spread).collect();
        let mut levels = scales.clone();
        if settings.association_levels == AssociationLevels::PatchesAndWindows {
            levels.push(patches.clone());
        }
        let map = Tensor::stack::<3>(levels, 0).mean_dim(0).squeeze_dim::<2>(0);
        Self { patches, window_scores, scales, map }
    }
}

/// `(1 - cosine) / 2` to the nearest remembered vector.
///
/// # Shapes
///
/// - vectors: `[batch, places, width]`
/// - output: `[batch, places]`
fn distance<B: Backend>(vectors: &Tensor<B, 3>, bank: &MemoryBank<B>) -> Tensor<B, 2> {
    bank.best_cosine(vectors.clone()).neg().add_scalar(1.0).div_scalar(2.0)
}
