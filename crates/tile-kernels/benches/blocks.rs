//! A block and its input's gradient, for each kind of kernels that this machine has and each precision.
//!
//! `cargo bench -p tile-kernels` builds nothing of Burn. Sizes are those of ViT-L/14 at 518 px; `BLOCK_TOKENS`
//! in the environment asks for another number of tokens.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput};
use tile_kernels::{
    Activation, BlockWeights, Isa, LinearWeights, NormWeights, PackedBlock, Precision, Tokens,
    Visibility,
};

const WIDTH: usize = 1024;
const HIDDEN: usize = 4 * WIDTH;
const HEADS: usize = 16;

/// Patches of 518 px and the class token.
const TOKENS: usize = 37 * 37 + 1;

const PRECISIONS: [(&str, Precision); 2] = [("f32", Precision::F32), ("bf16", Precision::Bf16)];

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    blocks(&mut criterion);
    criterion.final_summary();
}

fn blocks(criterion: &mut Criterion) {
    let tokens = Tokens { batch: 1, count: tokens() };
    let size = tokens.count * WIDTH;
    let stream: Vec<f32> = (0..size).map(|index| noise(index, 1.0)).collect();
    let mut group = criterion.benchmark_group("block");
    group.sample_size(10).throughput(Throughput::Elements(operations(tokens.count)));
    for isa in Isa::available() {
        for (name, precision) in PRECISIONS {
            let block = block(isa, precision);
            let mut changed = stream.clone();
            group.bench_function(BenchmarkId::new(format!("forward/{name}"), isa), |bencher| {
                bencher.iter(|| {
                    changed.copy_from_slice(&stream);
                    block.forward(black_box(&mut changed), tokens, Visibility::All);
                });
            });
            let id = BenchmarkId::new(format!("input_gradient/{name}"), isa);
            group.bench_function(id, |bencher| {
                bencher.iter(|| {
                    changed.copy_from_slice(&stream);
                    block.input_gradient(&stream, black_box(&mut changed), tokens, Visibility::All);
                });
            });
        }
    }
    group.finish();
}

fn tokens() -> usize {
    std::env::var("BLOCK_TOKENS").ok().and_then(|count| count.parse().ok()).unwrap_or(TOKENS)
}

/// Multiplications and additions of a block's products.
fn operations(tokens: usize) -> u64 {
    let linear = tokens * WIDTH * (4 * WIDTH + 2 * HIDDEN);
    let attention = 2 * tokens * tokens * WIDTH;
    (2 * (linear + attention)) as u64
}

fn block(isa: Isa, precision: Precision) -> PackedBlock {
    let scale = 1.0 / (WIDTH as f32).sqrt();
    let weight = |input: usize, output: usize| noise(input * HIDDEN + output, scale);
    let (gamma, beta) = (vec![1.0; WIDTH], vec![0.0; WIDTH]);
    let bias = vec![0.0; HIDDEN];
    let norm = || NormWeights { gamma: &gamma, beta: &beta, epsilon: 1e-5 };
    let linear = |outputs: usize| LinearWeights { weight: &weight, bias: &bias[..outputs] };
    PackedBlock::new(
        isa,
        precision,
        &BlockWeights {
            norm_attention: norm(),
            qkv: linear(3 * WIDTH),
            attention_out: linear(WIDTH),
            norm_mlp: norm(),
            mlp_in: linear(HIDDEN),
            mlp_out: linear(WIDTH),
            heads: HEADS,
            activation: Activation::QuickGelu,
        },
    )
}

/// A number between -scale and scale that only looks random.
fn noise(index: usize, scale: f32) -> f32 {
    let bits = (index as u32).wrapping_mul(2_654_435_761).wrapping_add(0x9E37);
    scale * ((bits ^ (bits >> 15)) as f32 / (1_u32 << 31) as f32 - 1.0)
}
