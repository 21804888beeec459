//! Every ablation trains, is saved, and goes on from where it was saved to the same bits.

use burn::backend::Flex;
use conditions::Conditions;
use moeclip::{
    AdapterFile, Assumed, Fofs, ImageHeadKind, Mixture, MoeClipConfig, Partition, Provenance,
    ScaleWeighting, UpStart,
};
use moeclip_data::Augmentation;
use moeclip_train::{
    CheckpointPolicy, Checkpoints, RunDescription, TrainConfig, TrainState, measured_partition,
};

use crate::world::{World, clip, learner, paper, tower};

fn description(model: &MoeClipConfig) -> RunDescription {
    RunDescription {
        training: TrainConfig::default(),
        model: model.clone(),
        augmentation: Augmentation::default(),
        backend: "flex".into(),
        precision: "F32".into(),
        data: "nine pictures".into(),
        samples: 9,
        shared: Conditions::default(),
        provenance: Provenance { clip: Some(clip()), ..Provenance::default() },
    }
}

/// Trains four steps, once in one piece and once taken up from a checkpoint after two.
fn trained(world: &World, model: &MoeClipConfig) -> TrainState {
    let folder = tempfile::tempdir().unwrap();
    let policy = CheckpointPolicy::new(folder.path().join("checkpoints"));
    let mut straight = learner(model.clone());
    world.advance(&mut straight, 2);
    let mut checkpoints = Checkpoints::start(policy.clone(), description(model)).unwrap();
    let file = checkpoints.save(&straight).unwrap();
    drop(checkpoints);
    let opened = AdapterFile::open(&file, &Assumed::default()).unwrap();
    assert_eq!(opened.config(), model);
    opened.load::<Flex>(&clip(), &Default::default()).unwrap();

    let checkpoint = Checkpoints::resume(policy, description(model)).unwrap().checkpoint.unwrap();
    let mut resumed = learner(model.clone()).restore(&clip(), &checkpoint).unwrap();
    assert!(resumed.state() == straight.state(), "{model:?}");
    world.advance(&mut straight, 4);
    world.advance(&mut resumed, 4);
    assert!(resumed.state() == straight.state(), "{model:?}");
    straight.state()
}

/// The parameters that have moments: those that learn.
fn learning(state: &TrainState, part: &str) -> Vec<String> {
    let names = state.moments.keys().filter(|name| name.contains(part));
    names.map(|name| name.rsplit('.').next().unwrap_or_default().to_owned()).collect()
}

#[test]
fn a_single_lora_learns_and_is_taken_up_again() {
    let single = MoeClipConfig { mixture: Mixture::SingleLora, ..paper() };
    let state = trained(&World::write(), &single);
    assert_eq!(learning(&state, "taps.0.experts"), ["up"]);
    let plain = MoeClipConfig { fofs: Fofs::Off, ..single };
    let state = trained(&World::write(), &plain);
    assert_eq!(learning(&state, "taps.1.experts"), ["down", "up"]);
}

#[test]
fn without_a_mixture_the_heads_learn() {
    let none = MoeClipConfig { mixture: Mixture::None, ..paper() };
    let state = trained(&World::write(), &none);
    assert_eq!(learning(&state, "experts"), Vec::<String>::new());
    assert_eq!(learning(&state, "projection"), ["weight", "weight"]);
}

#[test]
fn down_matrices_learn_where_they_should() {
    let world = World::write();
    for fofs in [Fofs::On, Fofs::Trained, Fofs::Unpartitioned, Fofs::Off] {
        let state = trained(&world, &MoeClipConfig { fofs, ..paper() });
        let expected: &[&str] =
            if fofs.learns() { &["down", "gate", "up"] } else { &["gate", "up"] };
        assert_eq!(learning(&state, "taps.0.experts"), expected, "{fofs:?}");
    }
}

#[test]
fn heads_and_scale_weights_learn() {
    let config = MoeClipConfig {
        image_head: ImageHeadKind::Linear,
        scale_weights: ScaleWeighting::Learned,
        up: UpStart::Orthogonal,
        ..paper()
    };
    let state = trained(&World::write(), &config);
    assert_eq!(learning(&state, "scale_weights"), ["logits", "logits"]);
    assert_eq!(learning(&state, "image"), ["beta", "gamma", "weight"]);
    let logits = &state.weights["seg_proj.0.scale_logits"];
    assert!(logits.iter::<f32>().all(|logit| logit != 0.0), "they moved");
}

#[test]
fn taps_with_different_numbers_of_experts_are_taken_up_again() {
    let config = paper().keeping(&[vec![0, 2], vec![0, 1, 3]]).unwrap();
    let state = trained(&World::write(), &config);
    assert_eq!(state.weights["moe_adapters.0.gate.weight"].shape.to_vec(), [2, 64]);
    assert_eq!(state.weights["moe_adapters.1.gate.weight"].shape.to_vec(), [3, 64]);
}

#[test]
fn slices_by_energy_are_measured_the_same_again() {
    let world = World::write();
    let wanted = MoeClipConfig { partition: Partition::Energy, ..paper() };
    let measure = |config: MoeClipConfig| {
        let device = Default::default();
        measured_partition::<Flex>(config, &tower(), &world.images(), &device).unwrap()
    };
    let config = measure(wanted.clone());
    assert_eq!(config, measure(wanted));
    assert!(config.slices.is_some());
    assert_eq!(measure(paper()), paper());
    trained(&world, &config);
}

#[test]
fn without_experts_the_losses_between_them_are_zero() {
    let world = World::write();
    for (mixture, zero) in
        [(Mixture::MoeLora, false), (Mixture::SingleLora, true), (Mixture::None, true)]
    {
        let mut learner = learner(MoeClipConfig { mixture, ..paper() });
        let losses = world.advance(&mut learner, 2).pop().unwrap().losses;
        assert_eq!(losses.etf == 0.0, zero, "{mixture:?}: {losses:?}");
        assert!(!zero || losses.balance == 0.0, "{mixture:?}: {losses:?}");
    }
}
