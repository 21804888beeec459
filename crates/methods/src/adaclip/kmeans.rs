//! k-means from given starting points, by scikit-learn's rules (`KMeans`, Lloyd's algorithm), on the host in
//! f64.
//!
//! The starting points are an input where scikit-learn draws them, so that the clusters of an image are a
//! function of the image.

/// Rounds after which the centres are taken as they are.
const MOST_ROUNDS: usize = 300;

/// Centres whose squared moves sum to this share of the columns' mean variance stand still.
const STILL: f64 = 1e-4;

/// Points of one width, row by row.
#[derive(Debug, Clone, PartialEq)]
pub struct Points {
    values: Vec<f64>,
    width: usize,
}

impl Points {
    /// Rows of `width` values; `None` unless there is at least one and the values fill their rows.
    pub fn new(values: Vec<f64>, width: usize) -> Option<Self> {
        let fits = width > 0 && !values.is_empty() && values.len().is_multiple_of(width);
        fits.then_some(Self { values, width })
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.values.len() / self.width
    }

    fn row(&self, index: usize) -> &[f64] {
        &self.values[index * self.width..][..self.width]
    }

    fn rows(&self) -> impl Iterator<Item = &[f64]> {
        self.values.chunks_exact(self.width)
    }

    fn zeros(count: usize, width: usize) -> Self {
        Self { values: vec![0.0; count * width], width }
    }

    fn row_mut(&mut self, index: usize) -> &mut [f64] {
        &mut self.values[index * self.width..][..self.width]
    }

    /// The same points around their mean.
    fn centred(&self) -> Self {
        let mut mean = vec![0.0; self.width];
        self.rows().for_each(|row| add(&mut mean, row, 1.0));
        let count = self.count() as f64;
        mean.iter_mut().for_each(|sum| *sum /= count);
        let mut centred = self.clone();
        centred.values.chunks_exact_mut(self.width).for_each(|row| add(row, &mean, -1.0));
        centred
    }

    /// The columns' mean variance, of points around their mean.
    fn mean_variance(&self) -> f64 {
        self.values.iter().map(|value| value * value).sum::<f64>() / self.values.len() as f64
    }
}

/// The cluster of each point. Cluster numbers follow the seeds; `None` when there is no seed, or a seed is no
/// point's number.
///
/// A cluster that loses its points takes over the point that lies farthest from its own centre; several take
/// the farthest ones in turn, in the order of their numbers. It can end without points only where points
/// coincide.
pub fn k_means(points: &Points, seeds: &[usize]) -> Option<Vec<usize>> {
    if seeds.is_empty() || seeds.iter().any(|&seed| seed >= points.count()) {
        return None;
    }
    let points = points.centred();
    let values = seeds.iter().flat_map(|&seed| points.row(seed)).copied().collect();
    let mut centres = Points { values, width: points.width };
    let limit = STILL * points.mean_variance();
    let mut before = None;
    for _ in 0..MOST_ROUNDS {
        let labels = nearest(&points, &centres);
        let moved = means(&points, &labels, &centres);
        let shift: f64 =
            moved.rows().zip(centres.rows()).map(|(a, b)| squared_distance(a, b)).sum();
        centres = moved;
        if before.as_ref() == Some(&labels) {
            return Some(labels);
        }
        if shift <= limit {
            break;
        }
        before = Some(labels);
    }
    Some(nearest(&points, &centres))
}

/// The centre that is nearest to each point, the first of several.
fn nearest(points: &Points, centres: &Points) -> Vec<usize> {
    let lengths: Vec<f64> = centres.rows().map(|centre| dot(centre, centre)).collect();
    let of = |point: &[f64]| {
        let mut best = (0, f64::INFINITY);
        for (number, (centre, length)) in centres.rows().zip(&lengths).enumerate() {
            let distance = length - 2.0 * dot(point, centre);
            if distance < best.1 {
                best = (number, distance);
            }
        }
        best.0
    };
    points.rows().map(of).collect()
}

/// The mean of each cluster, once empty ones have taken over a point.
fn means(points: &Points, labels: &[usize], centres: &Points) -> Points {
    let mut sums = Points::zeros(centres.count(), points.width);
    let mut counts = vec![0.0; centres.count()];
    for (point, &label) in points.rows().zip(labels) {
        add(sums.row_mut(label), point, 1.0);
        counts[label] += 1.0;
    }
    refill(points, labels, centres, &mut sums, &mut counts);
    for (sum, &count) in sums.values.chunks_exact_mut(points.width).zip(&counts) {
        if count > 0.0 {
            sum.iter_mut().for_each(|value| *value /= count);
        }
    }
    stand_by_the_largest(&mut sums, &counts);
    sums
}

/// Gives each empty cluster the point farthest from its own centre.
fn refill(
    points: &Points,
    labels: &[usize],
    centres: &Points,
    sums: &mut Points,
    counts: &mut [f64],
) {
    let empty: Vec<usize> = (0..counts.len()).filter(|&cluster| counts[cluster] == 0.0).collect();
    if empty.is_empty() {
        return;
    }
    let own = points.rows().zip(labels);
    let distances: Vec<f64> =
        own.map(|(point, &label)| squared_distance(point, centres.row(label))).collect();
    let mut farthest: Vec<usize> = (0..distances.len()).collect();
    farthest.sort_by(|&a, &b| distances[b].total_cmp(&distances[a]));
    if farthest.first().is_none_or(|&first| distances[first] == 0.0) {
        return;
    }
    for (&cluster, &point) in empty.iter().zip(&farthest) {
        let donor = labels[point];
        add(sums.row_mut(donor), points.row(point), -1.0);
        counts[donor] -= 1.0;
        sums.row_mut(cluster).copy_from_slice(points.row(point));
        counts[cluster] = 1.0;
    }
}

/// Puts the centres of clusters that are still empty where the largest cluster is.
fn stand_by_the_largest(centres: &mut Points, counts: &[f64]) {
    let mut largest = 0;
    for (cluster, count) in counts.iter().enumerate() {
        if *count > counts[largest] {
            largest = cluster;
        }
    }
    let place = centres.row(largest).to_vec();
    for (cluster, _) in counts.iter().enumerate().filter(|(_, count)| **count <= 0.0) {
        centres.row_mut(cluster).copy_from_slice(&place);
    }
}

fn add(sum: &mut [f64], row: &[f64], factor: f64) {
    sum.iter_mut().zip(row).for_each(|(sum, value)| *sum += factor * value);
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn squared_distance(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| (a - b) * (a - b)).sum()
}

#[cfg(test)]
#[path = "kmeans_tests.rs"]
mod tests;
