//! Descriptions of runs: what they change, and one clear line for each mistake.

use clip_vit::Preset;

use super::*;

fn parse(text: &str) -> Experiment {
    Experiment::parse(text, Path::new("run.toml")).unwrap()
}

#[test]
fn an_empty_file_is_the_papers_run() {
    let paper = parse("");
    assert_eq!(paper, Experiment::default());
    let spec = Preset::VitL14At336.spec();
    assert_eq!(paper.model_on(&spec), MoeClipConfig::for_clip(&spec));
}

#[test]
fn a_file_changes_what_it_names_and_nothing_else() {
    let run = parse("[training]\nbatch-size = 4\n[training.losses]\netf = 0\n[model]\ntaps = [3]");
    assert_eq!(run.training.batch_size, 4);
    assert_eq!((run.training.losses.etf, run.training.losses.balance), (0.0, 0.01));
    assert_eq!(run.model.taps, Some(vec![3]));
    assert_eq!(run.training.epochs, TrainConfig::default().epochs);
}

#[test]
fn set_goes_over_the_file() {
    let run = parse("[training]\nseed = 3\nepochs = 5").set("training.seed=7").unwrap();
    assert_eq!((run.training.seed, run.training.epochs), (7, 5));
    let run = run.set("data.name = visa").unwrap().set("model.scales=[1,3]").unwrap();
    assert_eq!((run.data.name.as_deref(), run.model.scales), (Some("visa"), vec![1, 3]));
    let run = parse("").set("data.prompt-names=release").unwrap();
    assert_eq!(run.data.prompt_names, PromptNames::Release);
}

#[test]
fn what_a_run_saves_is_the_same_run() {
    let run = parse("[data]\nname = \"visa\"\n[training]\nseed = 3\n[model]\nlambda = 0.2");
    assert_eq!(parse(&run.to_toml()), run);
    assert_eq!(parse(&parse("").to_toml()), Experiment::default());
}

/// A file, and what its error says.
const MISTAKES: &[(&str, &str)] = &[
    ("[training]\nbatchsize = 4", "training.batchsize is no known key; did you mean batch_size?"),
    ("[trainin]\nseed = 4", "trainin is no known key; did you mean training?"),
    ("[xyz]", "xyz is no known key; sections: augmentation, data, model, prompts, training"),
    ("seed = 1", "seed is no known key"),
    ("[training]\nseed = -1", "training.seed"),
    ("[training]\nseed = \"x\"", "training.seed = \"x\": give a number"),
    ("[training]\nseed = 1.5", "training.seed"),
    ("[training]\nepochs = 0", "training.epochs = 0"),
    ("[training]\nbatch-size = 0", "training.batch_size = 0"),
    ("[training]\nbeta-1 = 1.0", "training.beta_1 = 1"),
    ("[training]\nbeta-2 = -0.5", "training.beta_2"),
    ("[training]\nepsilon = 0.0", "training.epsilon = 0"),
    ("[training]\nlearning-rate = 1e-3", "training.learning_rate = 0.001: give a section"),
    ("[training.learning-rate]\ninitial = nan", "training.learning_rate.initial"),
    ("[training.learning-rate]\ninitial = 0", "training.learning_rate.initial = 0"),
    ("[training.learning-rate]\nmilestones = 3", "milestones = 3: give a list"),
    ("[training.learning-rate]\nmilestones = [\"a\"]", "milestones"),
    ("[training.losses]\nEtf = 0.1", "training.losses.Etf is no known key; did you mean etf?"),
    ("[training.losses]\netf = -1", "training.losses.etf = -1"),
    ("[training.losses]\nbalance = true", "training.losses.balance = true: give a number"),
    ("[training]\nheld-out = 1.0", "training.held_out = 1"),
    ("[training]\nkeep = \"best\"", "training.held_out = 0 is not usable; it must be over 0"),
    ("[training]\nkeep = \"first\"", "training.keep: unknown variant `first`"),
    ("[training]\npatience = -1", "training.patience"),
    ("[training]\nprune = 0.1", "training.prune = 0.1: give a section"),
    ("[training.prune]\nbelow = 2", "training.prune.below = 2"),
    ("[training.prune]\nevry = 5", "did you mean every?"),
    ("[training]\nrecompute = \"all\"", "training.recompute"),
    ("[training]\nrecompute = true", "training.recompute = true: give text"),
    ("[model]\nexpert = 4", "did you mean experts?"),
    ("[model]\nexperts = \"four\"", "model.experts = \"four\": give a number"),
    ("[model]\nscales = 1", "model.scales = 1: give a list"),
    ("[model]\ntaps = \"all\"", "model.taps"),
    ("[model]\nrank = -8", "model.rank"),
    (
        "[model]\nmixture = \"lora\"",
        "model.mixture: unknown variant `lora`, expected one of `moe-lora`",
    ),
    ("[model]\nmixture = 3", "model.mixture = 3: give text"),
    ("[model]\nmixtur = \"none\"", "did you mean mixture?"),
    ("[model]\nfofs = \"none\"", "model.fofs: unknown variant `none`, expected one of `on`"),
    ("[model]\nfofs = false", "model.fofs = false: give text"),
    ("[model]\nimage-head = \"conv\"", "model.image_head: unknown variant `conv`"),
    ("[model]\nup = \"random\"", "model.up: unknown variant `random`"),
    ("[model]\nup-scale = \"small\"", "model.up_scale = \"small\": give a number"),
    ("[model]\npartition = \"learned\"", "model.partition: unknown variant `learned`"),
    ("[model]\npartition = [3, 4]", "model.partition = [3,4]: give text"),
    ("[model]\npartition-sizes = \"even\"", "model.partition_sizes"),
    ("[model]\npartition-sizes = [-1]", "model.partition_sizes"),
    ("[model]\nscale-weights = \"softmax\"", "model.scale_weights: unknown variant `softmax`"),
    ("[model]\nscale-weights = [1, 1]", "model.scale_weights = [1,1]: give text"),
    ("[augmentation]\nmax-shift = 2.0", "augmentation.max_shift = 2"),
    ("[augmentation]\nrotation-probability = 1.5", "augmentation.rotation_probability = 1.5"),
    ("[augmentation]\nmax-rotation-degrees = -3", "augmentation.max_rotation_degrees"),
    ("[prompts]\nnormal = \"a {}\"", "prompts.normal = \"a {}\": give a list"),
    ("[prompts]\nabnorml = []", "did you mean abnormal?"),
    ("[data]\nprompt-names = \"mine\"", "data.prompt_names"),
    ("training = 3", "training = 3: give a section"),
    ("[training", "line 1"),
    ("[training]\nseed = 1\nseed = 2", "line 3"),
];

#[test]
fn mistakes_in_files_are_one_line() {
    for (text, says) in MISTAKES {
        let error = Experiment::parse(text, Path::new("run.toml")).unwrap_err().to_string();
        assert!(error.starts_with("run.toml: ") && error.contains(says), "{text:?}: {error}");
        assert!(!error.contains('\n'), "{error}");
    }
}

#[test]
fn mistakes_in_set_are_one_line() {
    for (assignment, says) in [
        ("training.seed", "is no key=value"),
        ("=3", "empty key"),
        ("training..seed=3", "empty key"),
        ("training.sed=3", "did you mean seed?"),
        ("training.seed=x", "give a number"),
        ("training=3", "give a section"),
        ("training.epochs=0", "training.epochs = 0"),
    ] {
        let error = Experiment::default().set(assignment).unwrap_err().to_string();
        assert!(error.starts_with("--set ") && error.contains(says), "{assignment}: {error}");
    }
}

/// Settings that are fine alone, and what a CLIP's size makes of them together.
#[test]
fn settings_without_meaning_together_are_one_line() {
    let spec = Preset::VitL14At336.spec();
    for (text, says) in [
        ("mixture = \"none\"\ntop-k = 1", "top_k has no meaning with mixture = none"),
        ("mixture = \"single-lora\"\nexperts = 2", "experts has no meaning with mixture"),
        ("fofs = \"off\"\npartition = \"energy\"", "partition has no meaning with fofs = off"),
        ("fofs = \"off\"\npartition-sizes = [1]", "partition_sizes has no meaning with fofs = off"),
        ("partition-sizes = [512, 512]", "slices of [512, 512] channels do not fit"),
        ("up-scale = 1.0", "up_scale has no meaning with up = zero"),
        ("scales = [1]\nscale-weights = \"learned\"", "one scale to weigh"),
    ] {
        let model = parse(&format!("[model]\n{text}")).model_on(&spec);
        let error = model.check(&spec.vision).unwrap_err().to_string();
        assert!(error.contains(says) && !error.contains('\n'), "{text:?}: {error}");
    }
}

#[test]
fn set_takes_every_ablation_of_the_model() {
    for (assignment, value) in [
        ("model.mixture=single-lora", "single-lora"),
        ("model.fofs=unpartitioned", "unpartitioned"),
        ("model.image-head=linear", "linear"),
        ("model.up=orthogonal", "orthogonal"),
        ("model.partition=energy", "energy"),
        ("model.scale-weights=learned", "learned"),
    ] {
        let saved = Experiment::default().set(assignment).unwrap().to_toml();
        assert!(saved.contains(&format!("= \"{value}\"")), "{saved}");
        assert_eq!(parse(&saved).set(assignment).unwrap(), parse(&saved));
    }
    let run = Experiment::default().set("model.partition-sizes=[512,256,128,128]").unwrap();
    assert_eq!(run.model.partition_sizes, Some(vec![512, 256, 128, 128]));
}
