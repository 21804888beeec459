//! Each ablation of the model changes exactly what it names: beside the paper's model of the same
//! seed, the tensors and results that it names differ and all others are the same to the bit.

use std::collections::{BTreeMap, BTreeSet};

use burn::backend::{Autodiff, Flex};
use burn::tensor::{Distribution, Tensor, TensorData};
use clip_vit::{ClipSpec, ClipSpecBuilder, Precision, RandomWeights, VisionTower};
use moe_lora::PatchAdapter;
use moeclip::{
    AdapterFile, Adapters, Assumed, ChannelEnergy, Features, Fofs, ImageHeadKind, Mixture, MoeClip,
    MoeClipConfig, Partition, ScaleWeighting, UpStart, gradients, weights, write_adapter,
    write_authors,
};

type Tensors = BTreeMap<String, TensorData>;
type Change = fn(&mut MoeClipConfig);

fn spec() -> ClipSpec {
    ClipSpecBuilder::new().vision(7, 4, 64, 4).text(64, 1).embed(32).build().unwrap()
}

fn paper() -> MoeClipConfig {
    MoeClipConfig { image_size: 42, taps: vec![2, 4], ..MoeClipConfig::default() }
}

fn changed(change: Change) -> MoeClipConfig {
    let mut config = paper();
    change(&mut config);
    config
}

fn adapters(config: &MoeClipConfig) -> Adapters<Flex> {
    Adapters::init(config, &spec(), 5, &Default::default()).unwrap()
}

fn named<B: burn::tensor::backend::Backend>(adapters: &Adapters<B>) -> Tensors {
    weights(adapters).into_iter().map(|tensor| (tensor.name, tensor.data)).collect()
}

fn tower() -> VisionTower<Flex> {
    VisionTower::load(&spec(), &RandomWeights::new(1), Precision::F32, &Default::default()).unwrap()
}

fn images() -> Tensor<Flex, 4> {
    let pixels = (0..2 * 3 * 42 * 42).map(|i| ((i * 37 % 101) as f32 / 50.0) - 1.0);
    let pixels: Vec<f32> = pixels.collect();
    Tensor::<Flex, 1>::from_floats(pixels.as_slice(), &Default::default()).reshape([2, 3, 42, 42])
}

fn forward(config: &MoeClipConfig, adapters: Adapters<Flex>) -> Features<Flex> {
    let model = MoeClip::new(tower(), adapters, config.clone(), &Default::default()).unwrap();
    model.forward(images())
}

/// What a forward pass gives, by name.
fn results(config: &MoeClipConfig) -> Tensors {
    let features = forward(config, adapters(config));
    let mut results = Tensors::from([("image".into(), features.image.into_data())]);
    for (index, patches) in features.patches.into_iter().enumerate() {
        results.insert(format!("patches.{index}"), patches.into_data());
    }
    for (index, tap) in features.taps.into_iter().enumerate() {
        results.insert(format!("tokens.{index}"), tap.tokens.into_data());
    }
    results
}

/// Names of what is not the same, to the bit, in both.
fn differing(a: &Tensors, b: &Tensors) -> BTreeSet<String> {
    let names: BTreeSet<&String> = a.keys().chain(b.keys()).collect();
    names.into_iter().filter(|name| a.get(*name) != b.get(*name)).cloned().collect()
}

/// An ablation, the tensors that it may change, and what of the first forward pass it may.
struct Case {
    change: Change,
    tensors: fn(&str) -> bool,
    results: fn(&str) -> bool,
}

const CASES: &[(&str, Case)] = &[
    (
        "single-lora",
        Case {
            change: |c| c.mixture = Mixture::SingleLora,
            tensors: |name| name.starts_with("moe_adapters."),
            // B is zero: whatever reads the tokens adds nothing to them yet.
            results: |_| false,
        },
    ),
    (
        "no mixture",
        Case {
            change: |c| c.mixture = Mixture::None,
            tensors: |name| name.starts_with("moe_adapters."),
            results: |_| true,
        },
    ),
    (
        "trained A",
        Case { change: |c| c.fofs = Fofs::Trained, tensors: |_| false, results: |_| false },
    ),
    (
        "unpartitioned A",
        Case {
            change: |c| c.fofs = Fofs::Unpartitioned,
            tensors: |name| name.ends_with("lora_A.weight"),
            results: |_| false,
        },
    ),
    (
        "plain A",
        Case {
            change: |c| c.fofs = Fofs::Off,
            tensors: |name| name.ends_with("lora_A.weight"),
            results: |_| false,
        },
    ),
    (
        "given slices",
        Case {
            change: |c| c.partition_sizes = Some(vec![8, 8, 16, 32]),
            tensors: |name| name.ends_with("lora_A.weight"),
            results: |_| false,
        },
    ),
    (
        "orthogonal B",
        Case {
            change: |c| c.up = UpStart::Orthogonal,
            tensors: |name| name.ends_with("lora_B.weight"),
            results: |_| true,
        },
    ),
    (
        "linear head",
        Case {
            change: |c| c.image_head = ImageHeadKind::Linear,
            tensors: |name| name.starts_with("det_proj.") && !name.starts_with("det_proj.ln."),
            results: |name| name == "image",
        },
    ),
    (
        "learned scale weights",
        Case {
            change: |c| c.scale_weights = ScaleWeighting::Learned,
            tensors: |name| name.ends_with("scale_logits"),
            // They start equal: exactly the paper's first forward pass.
            results: |_| false,
        },
    ),
];

#[test]
fn each_value_changes_the_tensors_and_results_that_it_names_and_no_others() {
    let (start, before) = (named(&adapters(&paper())), results(&paper()));
    for (what, case) in CASES {
        let config = changed(case.change);
        let tensors = differing(&start, &named(&adapters(&config)));
        let results = differing(&before, &results(&config));
        for (differing, all, names) in
            [(tensors, &start, case.tensors as fn(&str) -> bool), (results, &before, case.results)]
        {
            assert!(differing.iter().all(|name| names(name)), "{what} changed {differing:?}");
            let missed = all.keys().filter(|name| names(name) && !differing.contains(*name));
            assert_eq!(missed.collect::<Vec<_>>(), Vec::<&String>::new(), "{what} left them");
        }
    }
}

#[test]
fn an_ablation_is_read_back_as_it_was_written() {
    let folder = tempfile::tempdir().unwrap();
    for (what, case) in CASES {
        let (config, path) = (changed(case.change), folder.path().join("adapter"));
        let tensors = named(&adapters(&config));
        write_adapter(&path, &tensors, &config, None).unwrap();
        let file = AdapterFile::open(&path, &Assumed::default()).unwrap();
        assert_eq!(file.config(), &config, "{what}");
        let loaded = file.load::<Flex>(&spec(), &Default::default()).unwrap();
        assert_eq!(named(&loaded), tensors, "{what}");
    }
}

#[test]
fn the_authors_format_refuses_what_it_has_no_place_for() {
    let folder = tempfile::tempdir().unwrap();
    let write = |config: &MoeClipConfig| {
        let path = folder.path().join("authors.pth");
        write_authors(&path, &named(&adapters(config)), config, 1).map_err(|e| e.to_string())
    };
    let refused: &[(Change, &str)] = &[
        (|c| c.mixture = Mixture::SingleLora, "no place for mixture = single-lora"),
        (|c| c.image_head = ImageHeadKind::Linear, "no place for image_head = linear"),
        (|c| c.scale_weights = ScaleWeighting::Learned, "no place for scale_weights = learned"),
        (
            |c| c.kept_experts = Some(vec![vec![0, 1], vec![0, 1, 3]]),
            "no place for experts = [2, 3]; keep these adapters in ours",
        ),
    ];
    for (change, says) in refused {
        let error = write(&changed(*change)).unwrap_err();
        assert!(error.contains(says) && !error.contains('\n'), "{error}");
    }
    assert_eq!(write(&changed(|c| c.fofs = Fofs::Off)), Ok(()));
    assert_eq!(write(&changed(|c| c.kept_experts = Some(vec![vec![0, 2]; 2]))), Ok(()));
}

#[test]
fn a_file_that_says_another_value_than_its_tensors_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("adapter");
    let tensors = named(&adapters(&paper()));
    let contradictions: &[(Change, &str)] = &[
        (|c| c.mixture = Mixture::None, "mixture says none, its tensors say moe-lora"),
        (|c| c.image_head = ImageHeadKind::Linear, "image_head says linear"),
        (|c| c.scale_weights = ScaleWeighting::Learned, "scale_weights says 3"),
        (|c| c.kept_experts = Some(vec![vec![0, 1]; 2]), "experts says 2, its tensors say 4"),
    ];
    for (change, says) in contradictions {
        write_adapter(&path, &tensors, &changed(*change), None).unwrap();
        let error = AdapterFile::open(&path, &Assumed::default()).unwrap_err().to_string();
        assert!(error.contains(says) && !error.contains('\n'), "{error}");
    }
}

#[test]
fn learned_scale_weights_multiply_the_features_of_their_scale() {
    let config = changed(|c| c.scale_weights = ScaleWeighting::Learned);
    let mut adapters = adapters(&config);
    let logits = Tensor::from_floats([0.0, 1.0, -1.0], &Default::default());
    adapters.taps[1].scale_weights = Some(paa_adapter::ScaleWeights::with_logits(logits));
    let weights = adapters.taps[1].scale_weights.as_ref().unwrap().weights().into_data();
    let weights = weights.to_vec::<f32>().unwrap();
    let features = forward(&config, adapters);
    for (index, patches) in features.patches.into_iter().enumerate() {
        let expected = if index < 3 { 1.0 } else { weights[index - 3] };
        let lengths = patches.square().sum_dim(2).sqrt().into_data().to_vec::<f32>().unwrap();
        assert!(lengths.iter().all(|length| (length - expected).abs() < 1e-4), "{index}");
    }
}

#[test]
fn only_what_learns_has_a_gradient() {
    for (change, learns) in [
        ((|c| c.fofs = Fofs::On) as Change, false),
        (|c| c.fofs = Fofs::Trained, true),
        (|c| c.fofs = Fofs::Unpartitioned, false),
        (|c| c.fofs = Fofs::Off, true),
        (|c| (c.mixture, c.fofs) = (Mixture::SingleLora, Fofs::Off), true),
        (|c| c.mixture = Mixture::SingleLora, false),
    ] {
        let device = Default::default();
        let config = MoeClipConfig { up: UpStart::Orthogonal, ..changed(change) };
        let adapters = Adapters::<Autodiff<Flex>>::init(&config, &spec(), 5, &device).unwrap();
        let tokens = Tensor::random([1, 5, 64], Distribution::Normal(0.0, 1.0), &device);
        let adapted = adapters.taps[0].experts.adapt(tokens.clone()).tokens;
        let target = Tensor::random([1, 5, 64], Distribution::Normal(0.0, 1.0), &device);
        let backward = (adapted - target).square().sum().backward();
        let named = gradients(&adapters, &backward);
        let down = named.iter().filter(|tensor| tensor.name.ends_with("lora_A.weight")).count();
        assert_eq!(down > 0, learns, "{config:?}");
        assert!(named.iter().any(|tensor| tensor.name.ends_with("lora_B.weight")));
    }
}

#[test]
fn slices_by_energy_share_the_towers_activation_and_go_with_the_adapters() {
    let config = changed(|c| c.partition = Partition::Energy);
    let unmeasured = Adapters::<Flex>::init(&config, &spec(), 5, &Default::default()).unwrap_err();
    assert!(unmeasured.to_string().contains("not measured yet"), "{unmeasured}");

    let mut energy = ChannelEnergy::new(&config, 64);
    energy.add(&tower(), images()).unwrap();
    let sliced = energy.sliced().unwrap();
    let slices = sliced.slices.clone().unwrap();
    assert_eq!(slices.len(), 2);
    assert!(slices.iter().all(|sizes| sizes.iter().sum::<usize>() == 64));
    assert!(slices.iter().any(|sizes| *sizes != [16; 4]), "{slices:?}");
    let differing = differing(&named(&adapters(&paper())), &named(&adapters(&sliced)));
    assert!(!differing.is_empty());
    assert!(differing.iter().all(|name| name.ends_with("lora_A.weight")), "{differing:?}");

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("adapter");
    write_adapter(&path, &named(&adapters(&sliced)), &sliced, None).unwrap();
    let file = AdapterFile::open(&path, &Assumed::default()).unwrap();
    assert_eq!(file.config().slices, Some(slices));
}

#[test]
fn fewer_experts_make_a_smaller_file_that_opens() {
    let kept = [vec![0, 3], vec![0, 1, 2]];
    let small = adapters(&paper()).keeping(&kept).unwrap();
    let config = paper().keeping(&kept).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let size = |adapters: &Adapters<Flex>, config: &MoeClipConfig| {
        let path = folder.path().join("adapter");
        write_adapter(&path, &named(adapters), config, None).unwrap();
        let file = AdapterFile::open(&path, &Assumed::default()).unwrap();
        assert_eq!(
            named(&file.load::<Flex>(&spec(), &Default::default()).unwrap()),
            named(adapters)
        );
        std::fs::metadata(path).unwrap().len()
    };
    assert!(size(&small, &config) < size(&adapters(&paper()), &paper()));
}
