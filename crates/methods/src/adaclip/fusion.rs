//! Hybrid semantic fusion (section 3.4 of the paper): one feature of an image from clusters of its patches.
//!
//! Which patches, and which clusters, is decided on the host. The feature is a weighted mean of patches, so
//! gradients flow through the patches, and not through the choice.

use anomaly::{DetectError, to_host};
use burn::tensor::{Int, Tensor, TensorData, activation::softmax, backend::Backend};
use paa_adapter::unit;
use thiserror::Error;

use crate::adaclip::kmeans::{Points, k_means};
use crate::adaclip::{AdaClipSettings, SemanticFusion};

/// The points that k-means starts from, one for each cluster. Under [`SemanticFusion::Selected`] they are ranks
/// among the selected patches, 0 the most abnormal; under [`SemanticFusion::Clusters`] numbers of patches. The
/// release draws them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum ClusterSeeds {
    /// Evenly spread, so that the clusters are a function of the image.
    #[default]
    Spread,
    /// Given, for each image.
    Given(Vec<Vec<usize>>),
}

/// Clusters that cannot be made.
#[derive(Debug, Error)]
pub enum FusionError {
    /// Seeds that are no points.
    #[error("k-means cannot start from points {seeds:?} of {points}; give numbers below {points}")]
    Seeds {
        /// What it was to start from.
        seeds: Vec<usize>,
        /// Points there are.
        points: usize,
    },
    /// The device did not give its numbers back.
    #[error(transparent)]
    Device(#[from] DetectError),
}

/// What of an image was clustered, and how.
#[derive(Debug, Clone, PartialEq)]
pub struct PatchClusters {
    /// Numbers of the clustered patches; under [`SemanticFusion::Selected`] the most abnormal one first.
    pub chosen: Vec<usize>,
    /// The cluster of each of them.
    pub labels: Vec<usize>,
}

/// The clustered feature of a batch of images.
#[derive(Debug, Clone)]
pub struct Clustered<B: Backend> {
    /// Unit, `[batch, embed]`.
    pub feature: Tensor<B, 2>,
    /// How abnormal each patch is, `[batch, patches]`, the mean of its taps' logits through a softmax.
    pub abnormal: Tensor<B, 2>,
    /// What was clustered of each image.
    pub clusters: Vec<PatchClusters>,
}

/// Clusters patches, or none where fusion is off.
///
/// # Shapes
///
/// - patches: unit, each tap's `[batch, patches, embed]`
/// - logits: each tap's `[batch, patches, 2]`
pub(crate) fn clustered<B: Backend>(
    settings: &AdaClipSettings,
    patches: &[Tensor<B, 3>],
    logits: &[Tensor<B, 3>],
    seeds: &ClusterSeeds,
) -> Result<Option<Clustered<B>>, FusionError> {
    let choose = match settings.fusion {
        SemanticFusion::Off => return Ok(None),
        SemanticFusion::Selected => selected::<B>,
        SemanticFusion::Clusters => most_abnormal_cluster::<B>,
    };
    let mean = mean_of_taps(patches);
    let abnormal = softmax(mean_of_taps(logits).detach(), 2).narrow(2, 1, 1).squeeze_dim::<2>(2);
    let [batch, count, _] = mean.dims();
    let on_host = to_host(abnormal.clone())?;
    let (mut shares, mut clusters) = (Vec::with_capacity(batch * count), Vec::with_capacity(batch));
    for (image, abnormal) in on_host.chunks_exact(count).enumerate() {
        let taps: Vec<_> = patches
            .iter()
            .map(|tap| tap.clone().detach().narrow(0, image, 1).squeeze_dim::<2>(0))
            .collect();
        let seeds = match seeds {
            ClusterSeeds::Spread => None,
            ClusterSeeds::Given(seeds) => Some(seeds.get(image).map_or(&[][..], Vec::as_slice)),
        };
        let choice = choose(settings, &taps, abnormal, seeds)?;
        shares.extend(choice.shares);
        clusters.push(choice.clusters);
    }
    let shares = TensorData::new(shares, [batch, 1, count]);
    let shares = Tensor::<B, 3>::from_data(shares, &mean.device());
    let feature = unit(shares.matmul(mean).squeeze_dim::<2>(1));
    Ok(Some(Clustered { feature, abnormal, clusters }))
}

/// What was chosen of an image.
struct Choice {
    clusters: PatchClusters,
    /// The share of every patch in the feature.
    shares: Vec<f32>,
}

/// The most abnormal patches, clustered by all their taps side by side. A small cluster has as much share as a
/// large one.
fn selected<B: Backend>(
    settings: &AdaClipSettings,
    taps: &[Tensor<B, 2>],
    abnormal: &[f32],
    seeds: Option<&[usize]>,
) -> Result<Choice, FusionError> {
    let mut chosen: Vec<usize> = (0..abnormal.len()).collect();
    chosen.sort_by(|&a, &b| abnormal[b].total_cmp(&abnormal[a]));
    chosen.truncate(settings.clusters.saturating_mul(settings.patches_per_cluster));
    let side_by_side = Tensor::cat(taps.to_vec(), 1).select(0, numbers(&chosen, &taps[0]));
    let labels = labels(side_by_side, settings.clusters, seeds)?;
    let sizes = sizes(&labels, settings.clusters);
    let filled = sizes.iter().filter(|size| **size > 0).count();
    let mut shares = vec![0.0; abnormal.len()];
    for (&patch, &label) in chosen.iter().zip(&labels) {
        shares[patch] = ((filled * sizes[label]) as f32).recip();
    }
    Ok(Choice { clusters: PatchClusters { chosen, labels }, shares })
}

/// All patches, clustered by the mean of their taps; the cluster that is most abnormal on the mean has all
/// share.
fn most_abnormal_cluster<B: Backend>(
    settings: &AdaClipSettings,
    taps: &[Tensor<B, 2>],
    abnormal: &[f32],
    seeds: Option<&[usize]>,
) -> Result<Choice, FusionError> {
    let mean = Tensor::stack::<3>(taps.to_vec(), 0).mean_dim(0).squeeze_dim::<2>(0);
    let labels = labels(mean, settings.clusters, seeds)?;
    let sizes = sizes(&labels, settings.clusters);
    let mut sums = vec![0.0; settings.clusters];
    for (&label, &abnormal) in labels.iter().zip(abnormal) {
        sums[label] += f64::from(abnormal);
    }
    let (mut worst, mut highest) = (0, f64::NEG_INFINITY);
    for (cluster, (sum, &size)) in sums.iter().zip(&sizes).enumerate() {
        if size > 0 && sum / size as f64 > highest {
            (worst, highest) = (cluster, sum / size as f64);
        }
    }
    let share = |&label: &usize| {
        if label == worst { (sizes[worst] as f32).recip() } else { 0.0 }
    };
    let shares = labels.iter().map(share).collect();
    Ok(Choice { clusters: PatchClusters { chosen: (0..abnormal.len()).collect(), labels }, shares })
}

/// Clusters of points, `[points, width]`.
fn labels<B: Backend>(
    points: Tensor<B, 2>,
    clusters: usize,
    seeds: Option<&[usize]>,
) -> Result<Vec<usize>, FusionError> {
    let [count, width] = points.dims();
    let spread = || (0..clusters).map(|cluster| cluster * count / clusters).collect();
    let seeds = seeds.map_or_else(spread, <[usize]>::to_vec);
    let values = to_host(points)?.into_iter().map(f64::from).collect();
    let labels = Points::new(values, width).and_then(|points| k_means(&points, &seeds));
    match labels {
        Some(labels) if seeds.len() == clusters => Ok(labels),
        _ => Err(FusionError::Seeds { seeds, points: count }),
    }
}

fn sizes(labels: &[usize], clusters: usize) -> Vec<usize> {
    let mut sizes = vec![0; clusters];
    labels.iter().for_each(|&label| sizes[label] += 1);
    sizes
}

fn numbers<B: Backend>(chosen: &[usize], beside: &Tensor<B, 2>) -> Tensor<B, 1, Int> {
    let numbers: Vec<i64> = chosen.iter().map(|&patch| patch as i64).collect();
    Tensor::from_data(TensorData::new(numbers, [chosen.len()]), &beside.device())
}

/// `[batch, patches, any]` of each tap to the mean over taps.
pub(crate) fn mean_of_taps<B: Backend>(taps: &[Tensor<B, 3>]) -> Tensor<B, 3> {
    Tensor::stack::<4>(taps.to_vec(), 0).mean_dim(0).squeeze_dim(0)
}

#[cfg(test)]
mod tests {
    use burn::backend::Flex;

    use super::*;

    /// Four patches of two taps at three places; the more abnormal the later.
    fn run(fusion: SemanticFusion, clusters: usize, per_cluster: usize) -> Clustered<Flex> {
        let device = Default::default();
        let settings = AdaClipSettings {
            fusion,
            clusters,
            patches_per_cluster: per_cluster,
            ..AdaClipSettings::default()
        };
        let places = [[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.6, 0.8]];
        let patches = Tensor::<Flex, 3>::from_floats([places], &device);
        let logits = [[0.0, -1.0], [0.0, 0.0], [0.0, 1.0], [0.0, 2.0]];
        let logits = Tensor::<Flex, 3>::from_floats([logits], &device);
        let twice = |tap: &Tensor<Flex, 3>| vec![tap.clone(), tap.clone()];
        clustered(&settings, &twice(&patches), &twice(&logits), &ClusterSeeds::Spread)
            .unwrap()
            .unwrap()
    }

    fn direction(clustered: &Clustered<Flex>) -> Vec<f32> {
        clustered.feature.to_data().to_vec().unwrap()
    }

    #[test]
    fn the_most_abnormal_patches_are_clustered_and_clusters_weigh_alike() {
        let seen = run(SemanticFusion::Selected, 2, 2);
        assert_eq!(seen.clusters[0].chosen, [3, 2, 1, 0]);
        assert_eq!(seen.clusters[0].labels, [0, 0, 1, 1]);
        let [x, y] = [(1.0 + 0.3) / 2.0, 0.9 / 2.0f32];
        let length = x.hypot(y);
        let found = direction(&seen);
        assert!((found[0] - x / length).abs() < 1e-6 && (found[1] - y / length).abs() < 1e-6);
        let few = run(SemanticFusion::Selected, 2, 1);
        assert_eq!(few.clusters[0].chosen, [3, 2]);
    }

    #[test]
    fn the_most_abnormal_of_all_clusters_is_the_feature() {
        let seen = run(SemanticFusion::Clusters, 2, 1);
        assert_eq!(seen.clusters[0].chosen, [0, 1, 2, 3]);
        assert_eq!(seen.clusters[0].labels, [0, 0, 1, 1]);
        let found = direction(&seen);
        assert!((found[1] / found[0] - 3.0).abs() < 1e-5, "the mean of both, {found:?}");
    }

    #[test]
    fn seeds_that_are_no_points_are_refused() {
        let device = Default::default();
        let settings = AdaClipSettings { clusters: 2, ..AdaClipSettings::default() };
        let patches = [Tensor::<Flex, 3>::ones([1, 3, 2], &device)];
        let logits = [Tensor::<Flex, 3>::zeros([1, 3, 2], &device)];
        for seeds in [vec![0, 3], vec![0]] {
            let seeds = ClusterSeeds::Given(vec![seeds]);
            assert!(clustered(&settings, &patches, &logits, &seeds).is_err(), "{seeds:?}");
        }
    }
}
