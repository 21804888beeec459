//! The two towers in training, and what is thrown away behind it.

use burn::module::{Module, ModuleMapper, Param};
use burn::nn::Linear;
use burn::tensor::{DType, Tensor, TensorData, backend::Backend};
use clip_vit::{Precision, TextBackbone, TextTower, VisionBackbone, VisionTower, WeightError};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};

use crate::PretrainConfig;
use crate::batch::Shard;
use crate::captions::Vocabulary;
use crate::initial_weights::InitialWeights;

/// The scale that cosines start with, as CLIP's 1 / 0.07; stored as its logarithm.
const FIRST_SCALE: f64 = 14.0;

/// A patch's first logit of being defective, but for the number of patches: one in two pictures.
const FIRST_STATE_BIAS: f32 = -0.4;

/// Deviation of a reader's weights.
const FIRST_READER: f32 = 0.02;

/// A CLIP in training.
#[derive(Module, Debug)]
pub struct ClipModel<B: Backend> {
    pub(crate) vision: VisionTower<B>,
    /// With the rows of the [`Vocabulary`] only.
    pub(crate) text: TextTower<B>,
    /// Logarithm of what cosines of pictures and sentences are multiplied with, `[1]`.
    pub(crate) logit_scale: Param<Tensor<B, 1>>,
    /// Logit of a picture and a sentence at right angles, `[1]`; thrown away.
    logit_bias: Param<Tensor<B, 1>>,
    /// One for each tap; thrown away. What reads patches is left to adapters.
    readers: Vec<PatchReader<B>>,
    #[module(skip)]
    taps: Vec<usize>,
}

/// What reads the patches of a tap: one number of each, how odd it is. That it was replaced makes it odd,
/// and so does that it is what a defective state is about: what is learned of the one, which is supervised patch
/// by patch, starts the other, of which only the whole picture is. It is not read against sentences: a
/// product of two things that both have yet to learn would learn nothing for long.
#[derive(Module, Debug)]
struct PatchReader<B: Backend> {
    /// To the logit of having been replaced, `[width, 1]`, where half of the patches were.
    odd: Linear<B>,
    /// What the logit of being what a state is about grows by with that, `[1]`.
    gain: Param<Tensor<B, 1>>,
    /// And what it is where that is nothing, `[1]`: such patches are rare.
    shift: Param<Tensor<B, 1>>,
}

/// What the model says of pictures and sentences.
#[derive(Debug, Clone)]
pub struct Predictions<B: Backend> {
    /// Logit of each sentence being true of each picture, `[pictures, sentences]`: all normal sentences,
    /// then all defective ones.
    pub pairs: Tensor<B, 2>,
    /// Logit of the defective sentence of a picture against its normal one, `[pictures]`.
    pub state: Tensor<B, 1>,
    /// Logit of each patch showing a defect, a tensor for each tap: `[pictures, patches]`.
    pub patches: Vec<Tensor<B, 2>>,
    /// Logit of each patch having been replaced, a tensor for each tap: `[pictures, patches]`.
    pub replaced: Vec<Tensor<B, 2>>,
}

/// Token ids of the two sentences of each caption.
#[derive(Debug, Clone, Default)]
pub struct SentenceIds {
    /// That all is well.
    pub normal: Vec<Vec<i64>>,
    /// That something is wrong.
    pub defective: Vec<Vec<i64>>,
    /// Which of the captions is about each picture.
    pub of: Vec<usize>,
}

impl SentenceIds {
    /// The sentences of a shard.
    pub fn of(shard: &Shard) -> Self {
        Self {
            normal: shard.captions.iter().map(|pair| pair.normal.tokens.clone()).collect(),
            defective: shard.captions.iter().map(|pair| pair.defective.tokens.clone()).collect(),
            of: shard.caption_of.clone(),
        }
    }
}

impl<B: Backend> ClipModel<B> {
    /// A model before its first step.
    ///
    /// # Errors
    ///
    /// [`WeightError`] when the sizes cannot be built.
    pub fn start(
        config: &PretrainConfig,
        vocabulary: &Vocabulary,
        device: &B::Device,
    ) -> Result<Self, ClipModelError> {
        let spec = config.model.spec()?;
        let start = InitialWeights::new(config.seed, &spec, vocabulary);
        let vision = VisionTower::load(&spec, &start, Precision::F32, device)?;
        let mut small = spec.clone();
        small.text.vocab = vocabulary.ids().len();
        let text = TextTower::load(&small, &start, Precision::F32, device)?;
        let taps = config.model.taps();
        let mut rng = ChaCha8Rng::seed_from_u64(config.seed ^ READERS);
        let width = config.model.width;
        let readers = taps.iter().map(|_| PatchReader::start(width, &mut rng, device)).collect();
        let model = Self {
            vision,
            text,
            logit_scale: number(FIRST_SCALE.ln() as f32, device),
            logit_bias: number(0.0, device),
            readers,
            taps: taps.to_vec(),
        };
        Ok(model.map(&mut RequireGrad))
    }

    /// The text tower, with the rows of the [`Vocabulary`] only.
    pub fn text(&self) -> &TextTower<B> {
        &self.text
    }

    /// Looks at pictures.
    ///
    /// # Shapes
    ///
    /// - images: `[pictures, 3, side, side]`, a corner for each
    ///
    /// # Errors
    ///
    /// [`ClipModelError`] when a sentence is none of the vocabulary's.
    pub fn forward(
        &self,
        images: Tensor<B, 4>,
        corners: &[[usize; 2]],
        sentences: &SentenceIds,
    ) -> Result<Predictions<B>, ClipModelError> {
        let (captions, pictures) = (sentences.normal.len(), sentences.of.len());
        let ids = [sentences.normal.as_slice(), &sentences.defective].concat();
        let text = unit(self.text.project(self.text.encode(&ids)?));
        let [_, embed] = text.dims();
        let towards_defect =
            text.clone().narrow(0, captions, captions) - text.clone().narrow(0, 0, captions);
        let of: Vec<i64> = sentences.of.iter().map(|caption| *caption as i64).collect();
        let of = Tensor::from_data(TensorData::new(of, [pictures]), &images.device());
        let towards_defect = towards_defect.select(0, of);

        let tokens = self.vision.embed_crops(images, corners);
        let (mut patches, mut replaced) = (Vec::new(), Vec::new());
        let tokens = self.vision.through_taps(tokens, &self.taps, &mut |tap, tokens| {
            let seen = self.vision.patches(tokens.clone());
            let odd = self.readers[tap].odd(self.vision.post_norm(seen));
            patches.push(self.readers[tap].state(odd.clone()));
            replaced.push(odd);
            tokens
        });
        let class = self.vision.post_norm(tokens.narrow(1, 0, 1));
        let image = unit(self.vision.project(class).reshape([pictures, embed]));
        let scale = self.logit_scale.val().exp();
        let state = (image.clone() * towards_defect).sum_dim(1).squeeze_dim::<1>(1) * scale.clone();
        let pairs =
            image.matmul(text.transpose()) * scale.unsqueeze() + self.logit_bias.val().unsqueeze();
        Ok(Predictions { pairs, state, patches, replaced })
    }
}

impl<B: Backend> PatchReader<B> {
    fn start(width: usize, rng: &mut ChaCha8Rng, device: &B::Device) -> Self {
        let values = (0..width).map(|_| {
            let unit: f32 = StandardNormal.sample(rng);
            FIRST_READER * unit
        });
        let values = TensorData::new(values.collect::<Vec<f32>>(), [width, 1]);
        let weight = Param::from_tensor(Tensor::from_data(values, (device, DType::F32)));
        let odd = Linear { weight, bias: Some(number(0.0, device)) };
        Self { odd, gain: number(1.0, device), shift: number(FIRST_STATE_BIAS, device) }
    }

    /// Logits of having been replaced, `[pictures, patches]`.
    fn odd(&self, seen: Tensor<B, 3>) -> Tensor<B, 2> {
        let [pictures, patches, width] = seen.dims();
        self.odd.forward(seen.reshape([pictures * patches, width])).reshape([pictures, patches])
    }

    /// Logits of showing a defect, `[pictures, patches]`. The more patches a picture has, the less
    /// likely is each of them to be the one: crops of all sizes start alike.
    fn state(&self, odd: Tensor<B, 2>) -> Tensor<B, 2> {
        let [_, patches] = odd.dims();
        let logits = odd * self.gain.val().unsqueeze() + self.shift.val().unsqueeze();
        logits.sub_scalar((patches as f64).ln())
    }
}

/// A model that cannot be built, or sentences that it cannot read.
#[derive(Debug, thiserror::Error)]
pub enum ClipModelError {
    /// Sizes that cannot be built.
    #[error(transparent)]
    Sizes(#[from] clip_vit::SpecError),
    /// A start that cannot be drawn.
    #[error(transparent)]
    Weights(#[from] WeightError),
    /// Sentences of another table.
    #[error(transparent)]
    Sentences(#[from] clip_vit::PromptError),
}

/// Keeps the readers' draws apart from the towers'.
const READERS: u64 = 0x7265_6164;

/// Length 1 along the last axis.
fn unit<B: Backend>(rows: Tensor<B, 2>) -> Tensor<B, 2> {
    let length = rows.clone().square().sum_dim(1).add_scalar(1e-12).sqrt();
    rows / length
}

fn number<B: Backend>(value: f32, device: &B::Device) -> Param<Tensor<B, 1>> {
    Param::from_tensor(Tensor::from_data(TensorData::new(vec![value], [1]), (device, DType::F32)))
}

/// Lets every weight learn; towers are loaded as frozen ones.
struct RequireGrad;

impl<B: Backend> ModuleMapper<B> for RequireGrad {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<B, D>>) -> Param<Tensor<B, D>> {
        param.set_require_grad(true)
    }
}
