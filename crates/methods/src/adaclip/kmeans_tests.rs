//! Beside scikit-learn 1.9's `KMeans(init=points[seeds], n_init=1, algorithm="lloyd")` on the same points.

use super::*;

/// Numbers between 0 and 1 that are the same everywhere.
fn numbers(count: usize, mut state: u64) -> Vec<f64> {
    let mut next = || {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f64 / f64::from(1 << 24)
    };
    (0..count).map(|_| next()).collect()
}

fn labels(values: Vec<f64>, width: usize, seeds: &[usize]) -> String {
    let labels = k_means(&Points::new(values, width).unwrap(), seeds).unwrap();
    labels.iter().map(usize::to_string).collect()
}

#[test]
fn clusters_are_scikit_learns() {
    let of = |state| labels(numbers(120, state), 3, &[0, 5, 9, 14]);
    assert_eq!(of(1), "0232113122011030001101302310003120110101");
    assert_eq!(of(2), "0120312112300103111313312023120200013130");
    assert_eq!(of(3), "0203312302302333322213301201003323202023");
}

#[test]
fn clusters_that_start_at_one_place_take_over_the_farthest_points() {
    let mut values = numbers(48, 7);
    values.copy_within(0..2, 2);
    values.copy_within(0..2, 4);
    assert_eq!(labels(values, 2, &[0, 1, 2, 10]), "000230023032300203211030");
    let values = vec![0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 5.0, 5.0, 6.0, 5.0, 0.0, 9.0];
    assert_eq!(labels(values, 2, &[0, 1, 2]), "000221");
}

#[test]
fn fewer_places_than_clusters_leave_some_empty() {
    assert_eq!(labels(vec![1.0, 1.0, 1.0, 1.0, 2.0, 2.0, 2.0, 2.0], 2, &[0, 1, 2]), "0022");
    assert_eq!(labels(vec![1.0; 8], 2, &[0, 1, 2]), "0000");
}

#[test]
fn a_point_between_two_centres_goes_to_the_first() {
    assert_eq!(labels(vec![0.0, 1.0, 2.0, 3.0, 4.0], 1, &[0, 4]), "00011");
    assert_eq!(labels(vec![0.0, 1.0, 2.0, 3.0, 4.0], 1, &[4, 0]), "11000");
    let cross = vec![-1.0, 0.0, 1.0, 0.0, 0.0, 3.0, 0.0, -3.0, 0.0, 0.0];
    assert_eq!(labels(cross.clone(), 2, &[0, 1]), "01000");
    assert_eq!(labels(cross, 2, &[1, 0]), "10000");
}

#[test]
fn a_cluster_whose_only_point_is_taken_stands_by_the_largest() {
    let points = Points::new(vec![0.0, 0.1, 9.0], 1).unwrap();
    let centres = Points::new(vec![0.0, 3.0, 50.0], 1).unwrap();
    assert_eq!(means(&points, &[0, 0, 1], &centres).values, [0.05, 0.05, 9.0]);
}

#[test]
fn points_and_seeds_that_are_none_are_refused() {
    assert_eq!(Points::new(vec![1.0; 3], 2), None);
    assert_eq!(Points::new(Vec::new(), 2), None);
    assert_eq!(Points::new(vec![1.0; 3], 0), None);
    let points = Points::new(vec![1.0, 2.0], 1).unwrap();
    assert_eq!(k_means(&points, &[]), None);
    assert_eq!(k_means(&points, &[0, 2]), None);
    assert_eq!(k_means(&points, &[1]), Some(vec![0, 0]));
}
