//! Cached prompt features: the text tower is not touched a second time, every bit is the same, and
//! what is damaged or of something else is not believed.

use std::cell::RefCell;
use std::path::Path;

use burn::backend::Flex;
use burn::tensor::TensorData;
use clip_vit::{ClipSpec, ClipSpecBuilder, Precision, RandomWeights, WeightError, WeightSource};
use conditions::Conditions;
use moeclip::{FrozenClip, PromptCache, PromptOrigin, PromptSet};

const CLASSES: [&str; 2] = ["nut", "metal plate"];

/// Weights that remember which of them were asked for.
struct Watched {
    weights: RandomWeights,
    asked: RefCell<Vec<String>>,
}

impl WeightSource for Watched {
    fn tensor(
        &self,
        name: &str,
        shape: &[usize],
        precision: Precision,
    ) -> Result<TensorData, WeightError> {
        self.asked.borrow_mut().push(name.to_owned());
        self.weights.tensor(name, shape, precision)
    }
}

impl Watched {
    fn new() -> Self {
        Self { weights: RandomWeights::new(1), asked: RefCell::default() }
    }

    fn text_tensors(&self) -> usize {
        self.asked.borrow().iter().filter(|name| !name.starts_with("visual.")).count()
    }
}

fn spec() -> ClipSpec {
    ClipSpecBuilder::new().vision(7, 4, 64, 1).text(64, 1).embed(32).build().unwrap()
}

fn cache(folder: &Path) -> PromptCache {
    cache_of(folder, "c0ffee", "flex")
}

fn cache_of(folder: &Path, clip_sha256: &str, backend: &str) -> PromptCache {
    let origin = PromptOrigin {
        clip_sha256: clip_sha256.into(),
        backend: backend.into(),
        shared: Conditions::here(backend),
    };
    PromptCache::open(folder, origin).unwrap()
}

/// How a run with a cache went.
struct Seen {
    features: Vec<TensorData>,
    text_tensors: usize,
    trouble: Vec<String>,
}

fn features(frozen: &FrozenClip<Flex>) -> Vec<TensorData> {
    let classes = frozen.book.classes().map(|class| frozen.book.get(class).unwrap());
    classes.flat_map(|class| [class.normal.to_data(), class.abnormal.to_data()]).collect()
}

fn load(cache: &mut PromptCache, prompts: &PromptSet, precision: Precision) -> Seen {
    let (weights, device) = (Watched::new(), Default::default());
    let frozen = FrozenClip::<Flex>::load_cached(
        &spec(),
        &weights,
        prompts,
        CLASSES,
        precision,
        &device,
        cache,
    );
    Seen {
        features: features(&frozen.unwrap()),
        text_tensors: weights.text_tensors(),
        trouble: cache.take_trouble().iter().map(ToString::to_string).collect(),
    }
}

fn uncached() -> Vec<TensorData> {
    let (weights, device) = (Watched::new(), Default::default());
    let prompts = PromptSet::default();
    let frozen =
        FrozenClip::load(&spec(), &weights, &prompts, CLASSES, Precision::F32, &device).unwrap();
    features(&frozen)
}

fn entries(folder: &Path) -> Vec<std::path::PathBuf> {
    std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect()
}

#[test]
fn a_second_run_does_not_touch_the_text_tower() {
    let folder = tempfile::tempdir().unwrap();
    let prompts = PromptSet::default();
    let first = load(&mut cache(folder.path()), &prompts, Precision::F32);
    assert!(first.text_tensors > 0);
    assert_eq!(entries(folder.path()).len(), 4, "two states of two classes");
    let second = load(&mut cache(folder.path()), &prompts, Precision::F32);
    assert_eq!((second.text_tensors, &second.trouble), (0, &Vec::new()));
    assert!(first.features == uncached() && second.features == first.features);
}

#[test]
fn what_decides_the_features_decides_the_entry() {
    let folder = tempfile::tempdir().unwrap();
    let prompts = PromptSet::default();
    load(&mut cache(folder.path()), &prompts, Precision::F32);
    let other_words = PromptSet { templates: vec!["a picture of {}.".into()], ..prompts.clone() };
    let others = [
        load(&mut cache(folder.path()), &prompts, Precision::F16),
        load(&mut cache(folder.path()), &other_words, Precision::F32),
        load(&mut cache_of(folder.path(), "decade", "flex"), &prompts, Precision::F32),
        load(&mut cache_of(folder.path(), "c0ffee", "cuda:0"), &prompts, Precision::F32),
    ];
    assert!(others.iter().all(|other| other.text_tensors > 0));
    assert_eq!(entries(folder.path()).len(), 20);
}

#[test]
fn a_damaged_entry_is_said_encoded_again_and_mended() {
    let folder = tempfile::tempdir().unwrap();
    let prompts = PromptSet::default();
    load(&mut cache(folder.path()), &prompts, Precision::F32);
    let files = entries(folder.path());
    let mut turned = std::fs::read(&files[0]).unwrap();
    *turned.last_mut().unwrap() ^= 1;
    std::fs::write(&files[0], turned).unwrap();
    let half = std::fs::metadata(&files[1]).unwrap().len() / 2;
    std::fs::File::options().write(true).open(&files[1]).unwrap().set_len(half).unwrap();
    std::fs::copy(&files[3], &files[2]).unwrap();

    let seen = load(&mut cache(folder.path()), &prompts, Precision::F32);
    assert_eq!(seen.trouble.len(), 3, "{:?}", seen.trouble);
    assert!(seen.trouble.iter().all(|line| line.contains("encoded again") && !line.contains('\n')));
    assert!(seen.text_tensors > 0 && seen.features == uncached());
    let mended = load(&mut cache(folder.path()), &prompts, Precision::F32);
    assert_eq!((mended.text_tensors, &mended.trouble), (0, &Vec::new()));
}

#[test]
fn a_folder_that_takes_nothing_is_told_and_costs_nothing_but_time() {
    let folder = tempfile::tempdir().unwrap();
    let prompts = PromptSet::default();
    let place = folder.path().join("cache");
    let mut cache = cache(&place);
    std::fs::remove_dir(&place).unwrap();
    std::fs::write(&place, "in the way").unwrap();
    let seen = load(&mut cache, &prompts, Precision::F32);
    assert!(seen.trouble[0].contains("not kept"), "{:?}", seen.trouble);
    assert!(seen.features == uncached());
    let origin = PromptOrigin {
        clip_sha256: String::new(),
        backend: String::new(),
        shared: Conditions::default(),
    };
    let line = PromptCache::open(&place, origin).unwrap_err().to_string();
    assert!(line.contains("cannot hold prompt features"), "{line}");
}
