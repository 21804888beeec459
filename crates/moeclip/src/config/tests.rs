//! Configurations that fit, and one line for each that does not.

use clip_vit::Preset;

use super::*;

fn refused(change: impl FnOnce(&mut MoeClipConfig)) -> ConfigError {
    let mut config = MoeClipConfig::default();
    change(&mut config);
    config.check(&Preset::VitL14At336.spec().vision).unwrap_err()
}

#[test]
fn the_papers_values_fit_the_papers_backbone() {
    let spec = Preset::VitL14At336.spec();
    let config = MoeClipConfig::for_clip(&spec);
    assert_eq!(config, MoeClipConfig::default());
    assert_eq!(config.check(&spec.vision), Ok(()));
    assert_eq!(config.grid(&spec.vision), 37);
}

#[test]
fn images_must_hold_a_patch() {
    assert!(matches!(refused(|c| c.image_size = 13), ConfigError::ImageSize { .. }));
}

#[test]
fn taps_must_be_layers_in_order() {
    for taps in [vec![], vec![0], vec![25], vec![6, 6], vec![12, 6]] {
        assert!(matches!(refused(|c| c.taps = taps), ConfigError::Taps { .. }));
    }
}

#[test]
fn scales_must_be_odd() {
    assert!(matches!(refused(|c| c.scales = vec![2]), ConfigError::Scales(_)));
}

#[test]
fn the_mixture_must_be_buildable() {
    assert!(matches!(refused(|c| c.top_k = 9), ConfigError::Mixture(_)));
}

#[test]
fn one_expert_is_refused() {
    let error = refused(|c| (c.experts, c.top_k) = (1, 1));
    assert_eq!(error, ConfigError::OneExpert);
}

type Change = fn(&mut MoeClipConfig);

#[test]
fn settings_without_meaning_are_refused_by_name() {
    let cases: &[(Change, &str)] = &[
        (|c| (c.mixture, c.top_k) = (Mixture::None, 3), "top_k has no meaning with mixture = none"),
        (|c| (c.mixture, c.rank) = (Mixture::None, 4), "rank has no meaning with mixture = none"),
        (|c| (c.mixture, c.fofs) = (Mixture::None, Fofs::Off), "fofs has no meaning"),
        (|c| (c.mixture, c.experts) = (Mixture::SingleLora, 8), "experts has no meaning"),
        (
            |c| (c.mixture, c.partition) = (Mixture::SingleLora, Partition::Energy),
            "partition has no meaning with mixture = single-lora; leave partition out or change mixture",
        ),
        (|c| c.up_scale = 0.5, "up_scale has no meaning with up = zero"),
        (
            |c| (c.fofs, c.partition) = (Fofs::Off, Partition::Energy),
            "partition has no meaning with fofs = off",
        ),
        (
            |c| (c.fofs, c.partition_sizes) = (Fofs::Unpartitioned, Some(vec![256; 4])),
            "partition_sizes has no meaning with fofs = unpartitioned",
        ),
        (
            |c| (c.partition, c.partition_sizes) = (Partition::Energy, Some(vec![256; 4])),
            "partition_sizes has no meaning with partition = energy",
        ),
        (
            |c| c.slices = Some(vec![vec![256; 4]; 4]),
            "slices has no meaning with partition = equal",
        ),
        (
            |c| (c.partition, c.slices) = (Partition::Energy, Some(vec![vec![256; 4]])),
            "slices has 1 entries for 4 taps",
        ),
        (
            |c| c.partition_sizes = Some(vec![256; 3]),
            "slices of [256, 256, 256] channels do not fit",
        ),
        (|c| c.partition_sizes = Some(vec![4, 340, 340, 340]), "rank = 8 does not fit"),
        (
            |c| (c.scales, c.scale_weights) = (vec![1], ScaleWeighting::Learned),
            "scale_weights = learned has one scale",
        ),
        (|c| c.kept_experts = Some(vec![vec![0, 1]; 3]), "kept_experts has 3 entries"),
        (|c| c.kept_experts = Some(vec![vec![1]; 4]), "kept_experts = [1] does not fit"),
        (|c| c.kept_experts = Some(vec![vec![0, 4]; 4]), "kept_experts = [0, 4]"),
        (|c| (c.up, c.up_scale) = (UpStart::Orthogonal, 0.0), "up_scale = 0 is not usable"),
    ];
    for (change, says) in cases {
        let error = refused(change).to_string();
        assert!(error.contains(says) && !error.contains('\n'), "{says}: {error}");
    }
}

#[test]
fn every_ablation_alone_is_accepted() {
    let changes: &[Change] = &[
        |c| c.mixture = Mixture::SingleLora,
        |c| c.mixture = Mixture::None,
        |c| c.fofs = Fofs::Trained,
        |c| c.fofs = Fofs::Unpartitioned,
        |c| c.fofs = Fofs::Off,
        |c| c.partition = Partition::Energy,
        |c| c.partition_sizes = Some(vec![512, 256, 128, 128]),
        |c| (c.up, c.up_scale) = (UpStart::Orthogonal, 0.5),
        |c| c.image_head = ImageHeadKind::Linear,
        |c| c.scale_weights = ScaleWeighting::Learned,
        |c| c.scales = vec![1],
        |c| c.kept_experts = Some(vec![vec![0, 3]; 4]),
    ];
    for (index, change) in changes.iter().enumerate() {
        let mut config = MoeClipConfig::default();
        change(&mut config);
        let vision = Preset::VitL14At336.spec().vision;
        assert_eq!(config.check(&vision), Ok(()), "change {index}");
    }
}

#[test]
fn a_file_from_before_the_ablations_is_the_papers() {
    let old = r#"{"image_size":518,"taps":[6,12,18,24],"scales":[1,3,5],"experts":4,"top_k":2,
        "rank":8,"alpha":16.0,"lambda":0.1}"#;
    assert_eq!(serde_json::from_str::<MoeClipConfig>(old).unwrap(), MoeClipConfig::default());
    assert!(serde_json::from_str::<MoeClipConfig>("{}").is_err(), "nothing else is filled in");
}

#[test]
fn experts_keep_the_numbers_they_started_with() {
    let config = MoeClipConfig::default();
    let once = config.keeping(&[vec![1, 2, 3], vec![0, 1, 2, 3], vec![0, 1], vec![0, 3]]).unwrap();
    let twice = once.keeping(&[vec![0, 2], vec![0, 2], vec![0, 1], vec![0, 1]]).unwrap();
    let left = vec![vec![1, 3], vec![0, 2], vec![0, 1], vec![0, 3]];
    assert_eq!(twice.kept_experts, Some(left));
    assert_eq!(
        (0..4).map(|tap| once.mixture_at(tap, 1024).experts).collect::<Vec<_>>(),
        [3, 4, 2, 2]
    );
    let refused = once.keeping(&[vec![0, 3], vec![0, 1], vec![0, 1], vec![0, 1]]).unwrap_err();
    assert!(refused.to_string().contains("kept_experts = [0, 3] does not fit"), "{refused}");
    assert!(matches!(once.keeping(&[vec![0, 1]]), Err(ConfigError::PerTap { .. })));
}
