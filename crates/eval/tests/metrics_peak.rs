//! The limit of memory holds: 54 million pixels pass through 8 MiB. A test of its own, because the peak is the
//! process's.

use std::fs;

use moeclip_eval::MapView;
use moeclip_eval::metrics::{MaskedMap, PixelScores, Workspace};

const SIDE: usize = 518;
const MAPS: u32 = 200;
/// The limit, the tables, one map with its regions, the program. The pixels would take 107 MB in the
/// shortest form that there is.
const PEAK: u64 = 40 << 20;

#[test]
#[cfg_attr(not(target_os = "linux"), ignore = "only Linux tells a process's peak memory")]
fn memory_stays_within_the_limit() {
    let mut scores = PixelScores::new(Workspace { memory: 8 << 20, ..Workspace::default() });
    let mut mask = vec![false; SIDE * SIDE];
    mask[1000..7000].fill(true);
    let mut values = vec![0.0; SIDE * SIDE];
    for map in 0..MAPS {
        for (index, value) in (0..).zip(&mut values) {
            let mixed = (map * (SIDE * SIDE) as u32 + index).wrapping_mul(2_654_435_761);
            *value = mixed as f32;
        }
        let map = MapView::new(SIDE, SIDE, &values).unwrap();
        scores.push(MaskedMap::new(map, &mask).unwrap()).unwrap();
    }
    let auroc = scores.metrics().unwrap().auroc.unwrap();
    assert!((auroc - 0.5).abs() < 0.01, "{auroc}");
    let peak = peak();
    assert!(peak < PEAK, "{} MiB at the peak", peak >> 20);
}

/// The process's peak in bytes, as Linux tells it.
fn peak() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().strip_suffix("kB").unwrap().trim().parse::<u64>().unwrap() << 10
}
