//! Our side of `metrics.py`: every pixel metric of made-up maps that come one at a time.
//!
//! `metrics MAPS [MEMORY_MIB]` prints one line of JSON: the seconds spent in `PixelScores` (making the
//! maps does not count), the process's peak memory and the metrics, of which AUROC and AP have to
//! equal the peer's.

use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use moeclip_eval::MapView;
use moeclip_eval::metrics::{MaskedMap, PixelScores, Workspace};

const SIDE: usize = 518;
/// Side of an anomalous square, two of which stand in each map: 2 % of its pixels.
const SQUARE: usize = 52;
/// How much higher anomalous pixels score.
const LIFT: f64 = 0.2;

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let maps: u64 = arguments.next().context("usage: metrics MAPS [MEMORY_MIB]")?.parse()?;
    let mut workspace = Workspace::default();
    if let Some(mib) = arguments.next() {
        workspace.memory = mib.parse::<usize>()? << 20;
    }
    let mut scores = PixelScores::new(workspace);
    let mut spent = Duration::ZERO;
    for map in 0..maps {
        let mask = mask(map);
        let values = values(map, &mask);
        let start = Instant::now();
        let view = MapView::new(SIDE, SIDE, &values)?;
        scores.push(MaskedMap::new(view, &mask)?)?;
        spent += start.elapsed();
    }
    let start = Instant::now();
    let metrics = scores.metrics()?;
    spent += start.elapsed();
    let seconds = spent.as_secs_f64();
    println!(
        "{}",
        serde_json::json!({ "seconds": seconds, "peak_bytes": peak(), "metrics": metrics })
    );
    Ok(())
}

/// Two squares, in the upper and in the lower half.
fn mask(map: u64) -> Vec<bool> {
    let mut mask = vec![false; SIDE * SIDE];
    let half = SIDE / 2;
    for square in 0..2 {
        let drawn = mixed(2 * map + square) as usize;
        let left = drawn % (SIDE - SQUARE);
        let top = half * square as usize + (drawn >> 16) % (half - SQUARE);
        for row in top..top + SQUARE {
            mask[row * SIDE + left..row * SIDE + left + SQUARE].fill(true);
        }
    }
    mask
}

/// The sum of two 24-bit numbers, rounded to f32; exact in every language up to there.
fn values(map: u64, mask: &[bool]) -> Vec<f32> {
    let first = (map + 1) << 32;
    let score = |(pixel, &anomalous): (u64, &bool)| {
        let drawn = mixed(first + pixel);
        let sum = (drawn & 0xff_ffff) + (drawn >> 24 & 0xff_ffff);
        (sum as f64 / f64::from(1 << 25) + if anomalous { LIFT } else { 0.0 }) as f32
    };
    (0..).zip(mask).map(score).collect()
}

/// SplitMix64's output for a counter.
fn mixed(counter: u64) -> u64 {
    let mut bits = counter.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    bits = (bits ^ bits >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ bits >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ bits >> 31
}

/// The process's peak memory, where Linux tells it.
fn peak() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    Some(line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? << 10)
}
