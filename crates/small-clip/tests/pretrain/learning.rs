//! Everything learns, words that mean nothing do not, and a run that was taken up again is the same run.

use std::collections::BTreeMap;
use std::path::Path;

use burn::backend::{Autodiff, Flex};
use burn::module::{AutodiffModule, Module, ModuleVisitor, Param};
use burn::optim::GradientsParams;
use burn::tensor::backend::Backend;
use burn::tensor::{DType, ElementConversion, Tensor, TensorData};
use clip_vit::weights::OpenOptions;
use clip_vit::{
    ClipCheckpoint, Precision, RandomWeights, TensorFile, TextBackbone, TextTower, WeightSource,
};
use conditions::{Condition, Conditions, NUMBERS};
use moeclip_train::{
    CheckpointError, CheckpointPolicy, CheckpointedRun, Checkpoints, Trainer, write_checkpoint,
};
use small_clip::{
    Captions, ClipModel, Pictures, PretrainConfig, PretrainLearner, PretrainRun, Pretraining,
    SentenceIds, Shard, ShardNumber, State, Targets, TwinPlaces, objective,
};
use synthetic_world::{Category, Role};

use crate::world::{pictures, tiny};

type A = Autodiff<Flex>;

/// The largest gradient of each parameter, by its path.
struct Largest {
    gradients: GradientsParams,
    path: Vec<String>,
    found: BTreeMap<String, f32>,
}

impl ModuleVisitor<A> for Largest {
    fn enter_module(&mut self, name: &str, _container: &str) {
        self.path.push(name.to_owned());
    }

    fn exit_module(&mut self, _name: &str, _container: &str) {
        self.path.pop();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<A, D>>) {
        let gradient = self.gradients.get::<Flex, D>(param.id);
        let largest = gradient.map_or(0.0, |gradient| gradient.abs().max().into_scalar());
        self.found.insert(self.path.join("."), largest);
    }
}

#[test]
fn a_gradient_reaches_every_weight_of_both_towers() {
    let (config, device) = (tiny(), Default::default());
    let captions = Captions::new(config.model.context, &config.pictures, config.seed);
    let model = ClipModel::<A>::start(&config, captions.vocabulary(), &device).unwrap();
    let number = ShardNumber { step: 0, shard: 0 };
    let shard = Shard::draw(&config, &pictures(&config), &captions, number);
    let ids = SentenceIds::of(&shard);
    let shape = [shard.len(), 3, shard.side, shard.side];
    let images = Tensor::from_data(TensorData::new(shard.pixels.clone(), shape), &device);
    let predictions = model.forward(images, &shard.corners, &ids).unwrap();
    let terms = objective(predictions, &Targets::of(&shard, &device), &config.losses);
    let gradients = GradientsParams::from_grads(terms.total.backward(), &model);
    let mut largest = Largest { gradients, path: Vec::new(), found: BTreeMap::new() };
    model.visit(&mut largest);
    // 12 a block, of which the image tower has four and the text tower one, and what stands around them.
    assert_eq!(largest.found.len(), 5 * 12 + 9 + 5 + 2 + 4 * 4);
    for (name, gradient) in largest.found {
        assert!(gradient > 0.0 && gradient.is_finite(), "{name}: {gradient}");
    }
}

/// The file that a run of two steps writes into a folder, and the learner that wrote it.
fn written(config: &PretrainConfig, folder: &Path) -> (PretrainLearner<Flex>, ClipCheckpoint) {
    let mut learner = learner(config);
    steps(&mut learner, &pictures(config), 2);
    let out = folder.join("clip.safetensors");
    learner.write_clip(learner.steps(), &out).unwrap();
    (learner, ClipCheckpoint::open(&out, &OpenOptions::default()).unwrap())
}

fn steps(learner: &mut PretrainLearner<Flex>, pictures: &Pictures, count: usize) {
    for _ in 0..count {
        let batch = learner.draw(pictures, learner.steps()).unwrap();
        learner.step(batch).unwrap();
    }
}

/// A learner at step 0.
fn learner(config: &PretrainConfig) -> PretrainLearner<Flex> {
    Trainer::start(Pretraining::new(config.clone(), &Default::default()).unwrap())
}

/// What a checkpoint belongs to.
fn run(config: &PretrainConfig) -> PretrainRun {
    PretrainRun { config: config.clone(), shared: Conditions::here("flex") }
}

/// A learner as it stood at a checkpoint.
fn taken_up(
    config: &PretrainConfig,
    path: &Path,
) -> Result<PretrainLearner<Flex>, CheckpointError> {
    let checkpoint = PretrainRun::open(path)?;
    run(config).require(&checkpoint)?;
    Pretraining::new(config.clone(), &Default::default()).unwrap().restore(&checkpoint)
}

#[test]
fn a_run_that_was_taken_up_again_ends_with_the_same_bytes() {
    let config = tiny();
    let pictures = pictures(&config);
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| folder.path().join(name);
    let mut whole = learner(&config);
    steps(&mut whole, &pictures, 4);
    whole.write_clip(4, &file("whole")).unwrap();

    let mut first = learner(&config);
    steps(&mut first, &pictures, 2);
    let policy = CheckpointPolicy::new(file("checkpoints"));
    let mut checkpoints = Checkpoints::start(policy.clone(), run(&config)).unwrap();
    let saved = checkpoints.save(&first).unwrap();
    drop(checkpoints);
    let found = Checkpoints::resume(policy, run(&config)).unwrap().checkpoint.unwrap();
    assert_eq!(found.step(), 2);
    let mut second = taken_up(&config, &saved).unwrap();
    assert_eq!(second.steps(), 2);
    steps(&mut second, &pictures, 2);
    second.write_clip(4, &file("taken up")).unwrap();
    assert!(std::fs::read(file("whole")).unwrap() == std::fs::read(file("taken up")).unwrap());

    let shared = Conditions::here("flex").with(Condition::Numbers, &(NUMBERS + 1));
    let newer = PretrainRun { shared, ..run(&config) };
    let error = newer.require(&PretrainRun::open(&saved).unwrap()).unwrap_err().to_string();
    assert!(error.contains("the numbers version was 1 and is 2 now"), "{error}");
    let mut other = config.clone();
    other.losses.state = 0.5;
    let error = taken_up(&other, &saved).map(|_| ()).unwrap_err().to_string();
    assert!(error.contains("losses.state was"), "{error}");
    let mut bytes = std::fs::read(&saved).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(&saved, bytes).unwrap();
    let damaged = taken_up(&config, &saved);
    assert!(damaged.map(|_| ()).unwrap_err().to_string().contains("bytes have changed"));
}

#[test]
fn a_tensor_of_another_type_is_named_whatever_the_digest_says() {
    let (config, folder) = (tiny(), tempfile::tempdir().unwrap());
    let policy = CheckpointPolicy::new(folder.path());
    let mut checkpoints = Checkpoints::start(policy, run(&config)).unwrap();
    let path = checkpoints.save(&learner(&config)).unwrap();
    let file = TensorFile::open(&path).unwrap();
    let mut tensors: BTreeMap<String, TensorData> = BTreeMap::new();
    for name in file.names() {
        let (values, shape) = (file.read_f32(name).unwrap(), file.shape(name).unwrap());
        tensors.insert(name.to_owned(), TensorData::new(values, shape.to_vec()));
    }
    let name = tensors.keys().next().unwrap().clone();
    let half = tensors[&name].clone().convert_dtype(DType::F16);
    tensors.insert(name.clone(), half);
    write_checkpoint(&path, &tensors, file.metadata().clone()).unwrap();
    let error = taken_up(&config, &path).map(|_| ()).unwrap_err().to_string();
    assert!(error.contains(&name) && error.contains("no f32"), "{error}");
}

#[test]
fn what_is_written_opens_as_any_clip_and_unseen_words_are_as_they_were_drawn() {
    let (config, folder) = (tiny(), tempfile::tempdir().unwrap());
    let (_, clip) = written(&config, folder.path());
    assert_eq!(clip.spec(), &config.model.spec().unwrap());
    let (name, shape) = ("token_embedding.weight", [49_408, config.model.text_width]);
    let table: Vec<f32> = clip.tensor(name, &shape, Precision::F32).unwrap().iter().collect();
    let start = RandomWeights::new(config.seed).tensor(name, &shape, Precision::F32).unwrap();
    let start: Vec<f32> = start.iter().collect();
    let captions = Captions::new(config.model.context, &config.pictures, config.seed);
    let vocabulary = captions.vocabulary();
    let changed = |id: usize| {
        let rows = table.chunks(shape[1]).nth(id).zip(start.chunks(shape[1]).nth(id));
        rows.is_some_and(|(now, then)| now.iter().zip(then).any(|(a, b)| (a - b).abs() > 1e-4))
    };
    let places: BTreeMap<usize, f32> =
        vocabulary.ids().iter().map(|id| *id as usize).zip(vocabulary.learns()).collect();
    assert!((0..shape[0]).any(changed));
    for id in (0..shape[0]).filter(|id| changed(*id)) {
        assert_eq!(places.get(&id), Some(&1.0), "token {id} stands in no caption");
    }
}

#[test]
fn twins_differ_in_the_state_and_share_their_sentences() {
    let config = tiny();
    let captions = Captions::new(config.model.context, &config.pictures, config.seed);
    let number = ShardNumber { step: 0, shard: 1 };
    let shard = Shard::draw(&config, &pictures(&config), &captions, number);
    let replaced = |picture: usize| {
        let patches = shard.replaced.len() / shard.len();
        shard.replaced[picture * patches..(picture + 1) * patches].contains(&1.0)
    };
    let pixels = |picture: usize| {
        let size = shard.pixels.len() / shard.len();
        &shard.pixels[picture * size..(picture + 1) * size]
    };
    assert!(shard.twins.len() > config.batch.pairs / config.batch.shards);
    let mut nameless = 0;
    for TwinPlaces { defective, sound } in shard.twins.iter().copied() {
        let (wrong, right) = (shard.labels[defective], shard.labels[sound]);
        assert!(wrong.state.is_defective() && right.state == State::Sound);
        assert_eq!(wrong.category, right.category);
        assert_eq!(shard.caption_of[defective], shard.caption_of[sound]);
        assert_eq!(shard.corners[defective], shard.corners[sound]);
        assert_ne!(pixels(defective), pixels(sound));
        // What was replaced has no name and is supervised patch by patch; of a defect no patch is supervised.
        assert_eq!(replaced(defective), wrong.state == State::Damaged);
        assert_eq!(shard.supervised[defective] == 1.0, wrong.state == State::Damaged);
        assert!(!replaced(sound) && shard.supervised[sound] == 1.0);
        nameless += usize::from(wrong.state == State::Damaged);
    }
    assert!((1..shard.twins.len()).contains(&nameless));
}

/// Unit features of sentences, `[sentences, embed]`.
fn unit_features<B: Backend>(text: &TextTower<B>, ids: &[Vec<i64>]) -> Tensor<B, 2> {
    let features = text.project(text.encode(ids).unwrap());
    let lengths = features.clone().square().sum_dim(1).sqrt();
    features / lengths
}

/// How far sentences are apart: the mean length of the differences between them.
fn apart<B: Backend>(features: Tensor<B, 2>) -> f32 {
    let [count, embed] = features.dims();
    let rows = features.clone().unsqueeze_dim::<3>(0).expand([count, count, embed]);
    let columns = features.unsqueeze_dim::<3>(1).expand([count, count, embed]);
    (rows - columns).square().sum_dim(2).sqrt().mean().into_scalar().elem()
}

#[test]
fn cosines_are_written_at_clips_scale() {
    let (config, folder) = (tiny(), tempfile::tempdir().unwrap());
    let (learner, clip) = written(&config, folder.path());
    let scale: f32 = clip.tensor("logit_scale", &[], Precision::F32).unwrap().iter::<f32>().sum();
    assert!((scale - 100.0_f32.ln()).abs() < 1e-2, "{scale}");
    let text =
        TextTower::<Flex>::load(clip.spec(), &clip, Precision::F32, &Default::default()).unwrap();
    let captions = Captions::new(config.model.context, &config.pictures, config.seed);
    let pairs = Category::of(Role::Auxiliary).map(|category| captions.plain_pair(category));
    let few: Vec<Vec<i64>> =
        pairs.flat_map(|pair| [pair.normal.tokens, pair.defective.tokens]).collect();
    let ids = captions.vocabulary().ids();
    let all: Vec<Vec<i64>> =
        few.iter().map(|row| row.iter().map(|place| ids[*place as usize]).collect()).collect();
    // The padding is another token there; behind the end of a text nothing is looked at.
    let before = apart(unit_features(&learner.model().text().valid(), &few));
    let after = apart(unit_features(&text, &all));
    let scale = 14.0 / 100.0;
    assert!((after / before / scale - 1.0).abs() < 0.3, "{before} became {after}");
}
