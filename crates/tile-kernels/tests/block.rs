//! Whole blocks against the formulas in f64, for every kind of kernels that this machine has.

use std::ops::Range;

use tile_kernels::{
    Activation, BlockWeights, Isa, LinearWeights, NormWeights, PackedBlock, Precision, Tokens,
    Visibility,
};

const EPSILON: f32 = 1e-5;

/// Sizes of a block and what passes through it.
#[derive(Debug, Clone, Copy)]
struct Case {
    tokens: Tokens,
    width: usize,
    heads: usize,
    hidden: usize,
    activation: Activation,
    visibility: Visibility,
}

const CASES: [Case; 6] = [
    case(1, 1, 32, 1, 32),
    case(1, 33, 64, 2, 160),
    case(2, 70, 96, 3, 100),
    Case { visibility: Visibility::Causal, ..case(3, 77, 64, 4, 64) },
    Case { activation: Activation::Gelu, ..case(1, 300, 72, 6, 200) },
    case(1, 40, 160, 2, 32),
];

const fn case(batch: usize, count: usize, width: usize, heads: usize, hidden: usize) -> Case {
    let tokens = Tokens { batch, count };
    let (activation, visibility) = (Activation::QuickGelu, Visibility::All);
    Case { tokens, width, heads, hidden, activation, visibility }
}

/// A dense layer, `weight[input][output]`.
struct Dense {
    weight: Vec<f32>,
    bias: Vec<f32>,
}

/// Scale and shift.
struct Norm {
    gamma: Vec<f32>,
    beta: Vec<f32>,
}

struct Block {
    case: Case,
    norm_attention: Norm,
    qkv: Dense,
    attention_out: Dense,
    norm_mlp: Norm,
    mlp_in: Dense,
    mlp_out: Dense,
}

/// Numbers between -1 and 1 that only look random.
struct Noise(u64);

impl Noise {
    fn many(&mut self, count: usize, scale: f32, middle: f32) -> Vec<f32> {
        let next = |state: &mut u64| {
            *state ^= *state << 13;
            *state ^= *state >> 7;
            *state ^= *state << 17;
            (*state >> 40) as f32 / (1_u64 << 23) as f32 - 1.0
        };
        (0..count).map(|_| middle + scale * next(&mut self.0)).collect()
    }

    fn dense(&mut self, inputs: usize, outputs: usize) -> Dense {
        let scale = 2.0 / (inputs as f32).sqrt();
        let (weight, bias) =
            (self.many(inputs * outputs, scale, 0.0), self.many(outputs, 0.2, 0.0));
        Dense { weight, bias }
    }

    fn norm(&mut self, width: usize) -> Norm {
        Norm { gamma: self.many(width, 0.3, 1.0), beta: self.many(width, 0.3, 0.0) }
    }
}

impl Block {
    fn new(case: Case) -> Self {
        let mut noise = Noise(0x2545_F491_4F6C_DD1D);
        let Case { width, hidden, .. } = case;
        Self {
            case,
            norm_attention: noise.norm(width),
            qkv: noise.dense(width, 3 * width),
            attention_out: noise.dense(width, width),
            norm_mlp: noise.norm(width),
            mlp_in: noise.dense(width, hidden),
            mlp_out: noise.dense(hidden, width),
        }
    }

    fn packed(&self, isa: Isa, precision: Precision) -> PackedBlock {
        let of = |dense: &Dense| {
            let (weight, outputs) = (dense.weight.clone(), dense.bias.len());
            move |input: usize, output: usize| weight[input * outputs + output]
        };
        let [qkv, out] = [of(&self.qkv), of(&self.attention_out)];
        let [mlp_in, mlp_out] = [of(&self.mlp_in), of(&self.mlp_out)];
        let weights = BlockWeights {
            norm_attention: self.norm_attention.weights(),
            qkv: LinearWeights { weight: &qkv, bias: &self.qkv.bias },
            attention_out: LinearWeights { weight: &out, bias: &self.attention_out.bias },
            norm_mlp: self.norm_mlp.weights(),
            mlp_in: LinearWeights { weight: &mlp_in, bias: &self.mlp_in.bias },
            mlp_out: LinearWeights { weight: &mlp_out, bias: &self.mlp_out.bias },
            heads: self.case.heads,
            activation: self.case.activation,
        };
        PackedBlock::new(isa, precision, &weights)
    }

    fn stream(&self) -> Vec<f32> {
        let Case { tokens, width, .. } = self.case;
        Noise(88_172_645_463_325_252).many(tokens.batch * tokens.count * width, 1.5, 0.1)
    }

    /// What the block adds to the stream, by the formulas.
    fn expected(&self, before: &[f64]) -> Vec<f64> {
        let Case { tokens, width, .. } = self.case;
        let after = before.chunks(tokens.count * width).flat_map(|image| {
            let mixed = self.attention(&self.qkv.of(&self.norm_attention.of(image, width)));
            let middle = sum(image, &self.attention_out.of(&mixed));
            let mut hidden = self.mlp_in.of(&self.norm_mlp.of(&middle, width));
            hidden.iter_mut().for_each(|x| *x = activated(self.case.activation, *x));
            sum(&middle, &self.mlp_out.of(&hidden))
        });
        after.zip(before).map(|(after, before)| after - before).collect()
    }

    fn attention(&self, qkv: &[f64]) -> Vec<f64> {
        let Case { tokens, width, heads, visibility, .. } = self.case;
        let channels = width / heads;
        let at = |token: usize, part: usize, head: usize, channel: usize| {
            qkv[token * 3 * width + part * width + head * channels + channel]
        };
        let mut mixed = vec![0.0; tokens.count * width];
        for head in 0..heads {
            for query in 0..tokens.count {
                let seen: Range<usize> = match visibility {
                    Visibility::All => 0..tokens.count,
                    Visibility::Causal => 0..query + 1,
                };
                let score = |key| {
                    let along = (0..channels).map(|c| at(query, 0, head, c) * at(key, 1, head, c));
                    along.sum::<f64>() / (channels as f64).sqrt()
                };
                let weights: Vec<f64> = seen.clone().map(|key| score(key).exp()).collect();
                let total: f64 = weights.iter().sum();
                for channel in 0..channels {
                    let values =
                        seen.clone().zip(&weights).map(|(key, w)| w * at(key, 2, head, channel));
                    mixed[query * width + head * channels + channel] = values.sum::<f64>() / total;
                }
            }
        }
        mixed
    }
}

impl Dense {
    fn of(&self, rows: &[f64]) -> Vec<f64> {
        let outputs = self.bias.len();
        let inputs = self.weight.len() / outputs;
        let product = |row: &[f64], output: usize| {
            let along = row.iter().enumerate();
            along.map(|(i, x)| x * f64::from(self.weight[i * outputs + output])).sum::<f64>()
        };
        let rows = rows.chunks(inputs);
        rows.flat_map(|row| {
            (0..outputs).map(move |output| product(row, output) + f64::from(self.bias[output]))
        })
        .collect()
    }
}

impl Norm {
    fn weights(&self) -> NormWeights<'_> {
        NormWeights { gamma: &self.gamma, beta: &self.beta, epsilon: EPSILON }
    }

    fn of(&self, rows: &[f64], width: usize) -> Vec<f64> {
        let rows = rows.chunks(width);
        rows.flat_map(|row| {
            let mean = row.iter().sum::<f64>() / width as f64;
            let variance = row.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / width as f64;
            let deviation = (variance + f64::from(EPSILON)).sqrt();
            let scaled = row.iter().zip(&self.gamma).zip(&self.beta);
            scaled.map(move |((x, &gamma), &beta)| {
                (x - mean) / deviation * f64::from(gamma) + f64::from(beta)
            })
        })
        .collect()
    }
}

fn sum(a: &[f64], b: &[f64]) -> Vec<f64> {
    a.iter().zip(b).map(|(a, b)| a + b).collect()
}

fn activated(activation: Activation, x: f64) -> f64 {
    match activation {
        Activation::QuickGelu => x / (1.0 + (-1.702 * x).exp()),
        Activation::Gelu => x * normal_share(x),
    }
}

/// The normal distribution's share below x, by its series.
fn normal_share(x: f64) -> f64 {
    let (mut term, mut total) = (x, x);
    for n in 1..200 {
        term *= x * x / f64::from(2 * n + 1);
        total += term;
    }
    0.5 + total * (-x * x / 2.0).exp() / (2.0 * std::f64::consts::PI).sqrt()
}

fn kinds() -> impl Iterator<Item = (Isa, Precision)> {
    Isa::available()
        .flat_map(|isa| [Precision::F32, Precision::Bf16].map(|precision| (isa, precision)))
}

#[test]
fn a_block_is_what_the_formulas_say() {
    for case in CASES {
        let block = Block::new(case);
        let stream = block.stream();
        let expected = block.expected(&doubles(&stream));
        for (isa, precision) in kinds() {
            let mut out = stream.clone();
            block.packed(isa, precision).forward(&mut out, case.tokens, case.visibility);
            let error = relative(out.iter().zip(&stream).map(|(a, b)| f64::from(a - b)), &expected);
            let most = match precision {
                Precision::F32 => 2e-6,
                Precision::Bf16 => 6e-3,
            };
            assert!(error < most, "{isa} {precision:?} {case:?}: {error:.2e}");
        }
    }
}

fn doubles(values: &[f32]) -> Vec<f64> {
    values.iter().map(|&x| f64::from(x)).collect()
}

#[test]
fn the_inputs_gradient_is_what_differences_say() {
    const STEP: f64 = 1e-4;
    for case in CASES {
        let block = Block::new(case);
        let stream = block.stream();
        let mut noise = Noise(0x9E37_79B9_7F4A_7C15);
        let output_gradient = noise.many(stream.len(), 1.0, 0.0);
        // The gradient along some directions, for all of it would take a block for each number.
        let directions: Vec<Vec<f32>> =
            (0..12).map(|_| noise.many(stream.len(), 1.0, 0.0)).collect();
        let value = |direction: &[f32], step: f64| {
            let moved = stream.iter().zip(direction);
            let moved: Vec<f64> =
                moved.map(|(&x, &d)| f64::from(x) + step * f64::from(d)).collect();
            let added = block.expected(&moved);
            let out = moved.iter().zip(added).map(|(x, added)| x + added);
            out.zip(&output_gradient).map(|(x, &g)| x * f64::from(g)).sum::<f64>()
        };
        let slope = |d: &Vec<f32>| (value(d, STEP) - value(d, -STEP)) / (2.0 * STEP);
        let expected: Vec<f64> = directions.iter().map(slope).collect();
        for (isa, precision) in kinds() {
            let mut gradient = output_gradient.clone();
            block.packed(isa, precision).input_gradient(
                &stream,
                &mut gradient,
                case.tokens,
                case.visibility,
            );
            let along = directions.iter().map(|direction| {
                let products = direction.iter().zip(&gradient);
                products.map(|(&d, &g)| f64::from(d) * f64::from(g)).sum::<f64>()
            });
            let error = relative(along, &expected);
            let most = match precision {
                Precision::F32 => 2e-5,
                Precision::Bf16 => 2e-2,
            };
            assert!(error < most, "{isa} {precision:?} {case:?}: {error:.2e}");
        }
    }
}

/// Relative L2 distance.
fn relative(found: impl Iterator<Item = f64>, expected: &[f64]) -> f64 {
    let apart: f64 = found.zip(expected).map(|(a, b)| (a - b).powi(2)).sum();
    (apart / expected.iter().map(|x| x * x).sum::<f64>()).sqrt()
}

#[test]
fn the_number_of_threads_changes_no_bit() {
    for case in [CASES[2], CASES[4]] {
        let block = Block::new(case);
        for (isa, precision) in kinds() {
            let packed = block.packed(isa, precision);
            let with = |threads| {
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
                let mut stream = block.stream();
                pool.install(|| packed.forward(&mut stream, case.tokens, case.visibility));
                let mut gradient = stream.clone();
                pool.install(|| {
                    packed.input_gradient(
                        &block.stream(),
                        &mut gradient,
                        case.tokens,
                        case.visibility,
                    )
                });
                stream.iter().chain(&gradient).map(|x| x.to_bits()).collect::<Vec<_>>()
            };
            let one = with(1);
            for threads in [2, 3, 7] {
                assert!(with(threads) == one, "{isa} {precision:?}, {threads} threads");
            }
        }
    }
}

#[test]
fn large_scores_and_equal_tokens_stay_numbers() {
    for (isa, precision) in kinds() {
        let mut block = Block::new(case(1, 65, 64, 2, 64));
        block.qkv.weight.iter_mut().for_each(|weight| *weight *= 100.0);
        let packed = block.packed(isa, precision);
        let mut stream = block.stream();
        packed.forward(&mut stream, block.case.tokens, Visibility::All);
        assert!(stream.iter().all(|x| x.is_finite()), "{isa} {precision:?}: large scores");

        let mut equal = vec![0.25; stream.len()];
        packed.forward(&mut equal, block.case.tokens, Visibility::All);
        let first = equal[..64].to_vec();
        let same =
            equal.chunks(64).all(|row| row.iter().zip(&first).all(|(a, b)| (a - b).abs() < 1e-3));
        assert!(same, "{isa} {precision:?}: equal tokens");
    }
}
