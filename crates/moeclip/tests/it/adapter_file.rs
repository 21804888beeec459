//! Adapters on disk: ours and the authors' both ways, and every way in which a file can be wrong.

use std::collections::BTreeMap;
use std::path::Path;

use burn::backend::Flex;
use burn::tensor::TensorData;
use clip_vit::{ClipSpec, ClipSpecBuilder};
use moeclip::{
    AdapterFile, AdapterFormat, Adapters, Assumed, MoeClipConfig, PromptSet, Provenance, weights,
    write_adapter, write_authors,
};

type Tensors = BTreeMap<String, TensorData>;

fn spec() -> ClipSpec {
    ClipSpecBuilder::new().vision(7, 4, 64, 4).text(64, 1).embed(32).build().unwrap()
}

fn config() -> MoeClipConfig {
    MoeClipConfig { image_size: 42, taps: vec![2, 4], ..MoeClipConfig::default() }
}

fn tensors() -> Tensors {
    let adapters = Adapters::<Flex>::init(&config(), &spec(), 5, &Default::default()).unwrap();
    weights(&adapters).into_iter().map(|tensor| (tensor.name, tensor.data)).collect()
}

fn provenance() -> Provenance {
    Provenance {
        clip: Some(spec()),
        classes: vec!["nut".into()],
        prompts: PromptSet::default(),
        ..Provenance::default()
    }
}

#[test]
fn ours_and_the_authors_formats_hold_the_same_tensors() {
    let folder = tempfile::tempdir().unwrap();
    let (ours, theirs) = (folder.path().join("a"), folder.path().join("b"));
    write_adapter(&ours, &tensors(), &config(), Some(&provenance())).unwrap();
    let first = AdapterFile::open(&ours, &Assumed::default()).unwrap();
    assert_eq!((first.format(), first.config()), (AdapterFormat::Ours, &config()));
    assert_eq!(first.provenance(), Some(&provenance()));

    write_authors(&theirs, &first.tensors().unwrap(), first.config(), 20).unwrap();
    let assumed = Assumed { taps: Some(vec![2, 4]), ..Assumed::default() };
    let second = AdapterFile::open(&theirs, &assumed).unwrap();
    let epoch = second.provenance().and_then(|from| from.epoch);
    assert_eq!((second.format(), epoch), (AdapterFormat::Authors, Some(20)));
    assert_eq!(second.tensors().unwrap(), tensors());
    let loaded: Adapters<Flex> = second.load(&spec(), &Default::default()).unwrap();
    let loaded: Tensors = weights(&loaded).into_iter().map(|t| (t.name, t.data)).collect();
    assert_eq!(loaded, tensors());
}

#[test]
fn the_same_adapters_give_the_same_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str| {
        let path = folder.path().join(name);
        write_adapter(&path, &tensors(), &config(), Some(&provenance())).unwrap();
        std::fs::read(path).unwrap()
    };
    assert_eq!(write("a"), write("b"));
}

#[test]
#[ignore = "needs ../shared beside the clone"]
fn shared_files_of_the_authors_are_read_exactly() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/fixtures/checkpoints");
    let (authors, expected) =
        (folder.join("moeclip_authors.pth"), folder.join("moeclip_authors_expected.safetensors"));
    let open = |path: &Path| AdapterFile::open(path, &Assumed::default()).unwrap();
    assert_eq!(open(&authors).tensors().unwrap(), open(&expected).tensors().unwrap());
}

/// What opening or loading changed adapters says.
fn complaint(change: impl FnOnce(&mut Tensors, &mut MoeClipConfig, &mut Provenance)) -> String {
    let (mut tensors, mut config, mut provenance) = (tensors(), config(), provenance());
    change(&mut tensors, &mut config, &mut provenance);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("adapter.safetensors");
    write_adapter(&path, &tensors, &config, Some(&provenance)).unwrap();
    let opened = AdapterFile::open(&path, &Assumed::default());
    let error = match opened {
        Err(error) => error.to_string(),
        Ok(file) => file.load::<Flex>(&spec(), &Default::default()).unwrap_err().to_string(),
    };
    assert!(!error.contains('\n') && error.contains("adapter.safetensors"), "{error}");
    error
}

#[test]
fn every_fault_is_named_in_one_line() {
    let gate = "moe_adapters.1.gate.weight";
    let missing = complaint(|tensors, _, _| drop(tensors.remove(gate)));
    assert!(missing.contains(&format!("missing: {gate}")), "{missing}");

    let extra = |tensors: &mut Tensors| tensors.insert("visual.proj".into(), tensors[gate].clone());
    let unexpected = complaint(|tensors, _, _| drop(extra(tensors)));
    assert!(unexpected.contains("unexpected: visual.proj"), "{unexpected}");

    let wrong = TensorData::zeros::<f32, _>([4, 63]);
    let misshapen = complaint(|tensors, _, _| drop(tensors.insert(gate.into(), wrong)));
    assert!(misshapen.contains("[4, 63], [4, 64] needed"), "{misshapen}");

    let infinite = TensorData::full([4, 64], f32::INFINITY);
    let infinite = complaint(|tensors, _, _| drop(tensors.insert(gate.into(), infinite)));
    assert!(infinite.contains(gate), "{infinite}");

    let nothing = complaint(|tensors, _, _| tensors.retain(|name, _| name == gate));
    assert!(nothing.contains("no MoECLIP adapters"), "{nothing}");
}

#[test]
fn settings_that_contradict_the_tensors_or_the_clip_are_refused() {
    let taps = complaint(|_, config, _| config.taps = vec![2]);
    assert!(taps.contains("taps says 1, its tensors say 2"), "{taps}");
    let beyond = complaint(|_, config, _| config.taps = vec![2, 9]);
    assert!(beyond.contains("[2, 9]"), "{beyond}");
    let other = ClipSpecBuilder::new().vision(7, 5, 64, 4).text(64, 1).embed(32).build().unwrap();
    let clip = complaint(|_, _, provenance| provenance.clip = Some(other));
    assert!(clip.contains("was trained for"), "{clip}");
}
