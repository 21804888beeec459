//! Batches: their tensors, their order for any number of workers, resuming, and errors that travel
//! instead of panics.

use std::path::Path;

use burn::backend::{Flex, NdArray};
use burn::data::dataloader::batcher::Batcher;
use burn::data::dataset::Dataset;
use burn::tensor::backend::Backend;
use image::{GrayImage, Luma, Rgb, RgbImage};
use moeclip_data::{
    Augmentation, Batch, Batches, DataError, FaultKind, ImageBatcher, ImageDataset, ImageSize,
    Label, LoaderOptions, MaskFormat, MaskRule, Preprocessing, Sample, Split, epoch_order, scan,
};
use tempfile::TempDir;

const SIZE: usize = 16;
const IMAGES: u8 = 7;

/// Seven images of a class, numbers 0 to 4 anomalous with a mask over the left half.
fn tree() -> TempDir {
    let root = tempfile::tempdir().unwrap();
    let class = root.path().join("black_cap");
    for folder in ["test/good", "test/hole", "ground_truth/hole"] {
        std::fs::create_dir_all(class.join(folder)).unwrap();
    }
    for number in 0..IMAGES {
        let defect = if number < 5 { "hole" } else { "good" };
        let picture =
            RgbImage::from_fn(20, 24, |x, y| Rgb([number * 30, x as u8 * 12, y as u8 * 10]));
        picture.save(class.join(format!("test/{defect}/{number}.png"))).unwrap();
        if defect == "hole" {
            let mask = GrayImage::from_fn(20, 24, |x, _| Luma([if x < 10 { 255 } else { 0 }]));
            mask.save(class.join(format!("ground_truth/hole/{number}_mask.png"))).unwrap();
        }
    }
    root
}

fn dataset(root: &Path) -> ImageDataset {
    let samples = scan(root, Split::Test).unwrap();
    ImageDataset::new(samples, Preprocessing::clip(SIZE).unwrap())
}

fn augmented(root: &Path, seed: u64) -> ImageDataset {
    dataset(root).augmented(Augmentation::default(), seed).unwrap()
}

/// On any thread, each once, and only of masks that are to be checked.
#[test]
fn faults_of_masks_are_noticed_while_they_are_read() {
    let root = tree();
    let mask = root.path().join("black_cap/ground_truth/hole/2_mask.png");
    GrayImage::from_pixel(20, 24, Luma([255])).save(&mask).unwrap();
    let checked = dataset(root.path()).checking_masks(MaskFormat::default());
    for (dataset, told) in [(dataset(root.path()), 0), (checked, 1)] {
        let options = LoaderOptions { workers: 3, ..LoaderOptions::new(2) };
        for at_first in [true, false] {
            let order = (0..usize::from(IMAGES)).collect::<Vec<_>>();
            run::<Flex>(&dataset.at_epoch(u64::from(at_first)), &order, options);
            let faults = dataset.take_faults();
            assert_eq!(faults.len(), if at_first { told } else { 0 }, "{faults:?}");
            assert!(faults.iter().all(|f| f.kind == FaultKind::MaskNearlyAll && f.path == mask));
            assert!(faults.iter().all(|f| f.detail.starts_with("marks 100 % of the picture")));
        }
    }
}

/// Everything that a batch holds, on the host.
#[derive(Debug, PartialEq)]
struct Contents {
    images: Vec<f32>,
    masks: Vec<f32>,
    labels: Vec<i64>,
    numbers: Vec<String>,
}

fn contents<B: Backend>(batch: Batch<B>) -> Contents {
    let labels = batch.labels.into_data().convert::<i64>();
    let stem = |path: &std::path::PathBuf| path.file_stem().unwrap().display().to_string();
    Contents {
        images: batch.images.into_data().to_vec().unwrap(),
        masks: batch.masks.into_data().to_vec().unwrap(),
        labels: labels.to_vec().unwrap(),
        numbers: batch.paths.iter().map(stem).collect(),
    }
}

fn run<B: Backend>(
    dataset: &ImageDataset,
    order: &[usize],
    options: LoaderOptions,
) -> Vec<Contents> {
    let batches =
        Batches::<B>::start(dataset, order.to_vec(), options, B::Device::default()).unwrap();
    let expected = batches.len();
    let all: Vec<_> = batches.map(|batch| contents(batch.unwrap())).collect();
    assert_eq!(all.len(), expected);
    all
}

#[test]
fn a_batch_has_the_shapes_and_values_of_its_samples() {
    fn check<B: Backend>() {
        let root = tree();
        let dataset = dataset(root.path());
        let order = vec![6, 0, 3];
        let mut batches =
            Batches::<B>::start(&dataset, order, LoaderOptions::new(2), B::Device::default())
                .unwrap();
        let batch = batches.next().unwrap().unwrap();
        assert_eq!(batch.images.dims(), [2, 3, SIZE, SIZE]);
        assert_eq!(batch.masks.dims(), [2, 1, SIZE, SIZE]);
        assert_eq!(batch.classes, ["black_cap", "black_cap"]);
        assert_eq!(batch.prompts, ["black cap", "black cap"]);
        // Sorted, `test/good` comes before `test/hole`: 6 and 3 are anomalous, 0 is normal.
        assert_eq!(batch.has_mask, [true, false]);
        assert_eq!(batch.original_sizes[0], ImageSize { width: 20, height: 24 });
        let held = contents(batch);
        let loaded = dataset.get(6).unwrap().unwrap();
        assert_eq!(held.images[..3 * SIZE * SIZE], loaded.image);
        assert_eq!(held.masks[..SIZE * SIZE], loaded.mask);
        let rest = batches.next().unwrap().unwrap();
        assert_eq!(rest.images.dims(), [1, 3, SIZE, SIZE]);
        assert!(batches.next().is_none());
    }
    check::<Flex>();
    check::<NdArray>();
}

#[test]
fn labels_and_masks_follow_the_folders() {
    let root = tree();
    let dataset = dataset(root.path());
    for index in 0..dataset.len() {
        let loaded = dataset.get(index).unwrap().unwrap();
        let anomalous = loaded.label == Label::Anomalous;
        assert_eq!(loaded.has_mask, anomalous);
        let expected = if anomalous { SIZE * SIZE / 2 } else { 0 };
        assert_eq!(loaded.mask.iter().filter(|v| **v == 1.0).count(), expected);
        assert_eq!(loaded.image.len(), 3 * SIZE * SIZE);
    }
    assert!(dataset.get(dataset.len()).is_none());
}

#[test]
fn workers_do_not_change_the_sequence() {
    let root = tree();
    let dataset = augmented(root.path(), 11).at_epoch(2);
    let order = epoch_order(11, 2, dataset.len());
    let options = LoaderOptions::new(2);
    let one = run::<Flex>(&dataset, &order, options);
    for workers in [2, 7, 100] {
        let many = LoaderOptions { workers, queue: 0, ..options };
        assert_eq!(run::<Flex>(&dataset, &order, many), one, "{workers} workers");
    }
}

#[test]
fn an_epoch_is_taken_up_at_any_batch() {
    let root = tree();
    let dataset = augmented(root.path(), 3);
    let order = epoch_order(3, 0, dataset.len());
    let options = LoaderOptions { workers: 2, ..LoaderOptions::new(2) };
    let whole = run::<Flex>(&dataset, &order, options);
    for start in 0..=whole.len() {
        assert_eq!(run::<Flex>(&dataset, &order, options.start_at(start)), whole[start..]);
    }
}

#[test]
fn skipped_batches_are_not_decoded() {
    let root = tree();
    let dataset = dataset(root.path());
    std::fs::write(&dataset.samples()[0].image, b"broken").unwrap();
    let rest = run::<Flex>(&dataset, &[0, 1, 2], LoaderOptions::new(1).start_at(1));
    assert_eq!(rest.len(), 2);
}

#[test]
fn seeds_and_epochs_move_pictures_differently() {
    let root = tree();
    let dataset = augmented(root.path(), 1);
    let all = |dataset: &ImageDataset| -> Vec<f32> {
        (0..dataset.len()).flat_map(|index| dataset.get(index).unwrap().unwrap().image).collect()
    };
    assert_eq!(all(&dataset), all(&dataset.at_epoch(0)));
    assert_ne!(all(&dataset), all(&dataset.at_epoch(1)));
    assert_ne!(all(&dataset), all(&augmented(root.path(), 2)));
}

fn first_error(dataset: &ImageDataset) -> (String, usize) {
    let order = (0..dataset.len()).collect();
    let device = Default::default();
    let batches = Batches::<Flex>::start(dataset, order, LoaderOptions::new(2), device).unwrap();
    let results: Vec<Result<Batch<Flex>, DataError>> = batches.collect();
    let good = results.iter().filter(|result| result.is_ok()).count();
    let error = results.into_iter().find_map(Result::err).unwrap();
    (error.to_string(), good)
}

#[test]
fn an_unreadable_image_spoils_its_batch_alone() {
    let root = tree();
    let dataset = dataset(root.path());
    std::fs::write(&dataset.samples()[3].image, b"").unwrap();
    let (text, good) = first_error(&dataset);
    assert!(text.contains(&dataset.samples()[3].image.display().to_string()), "{text}");
    assert_eq!(good, 3);
}

#[test]
fn a_mask_of_another_size_is_named() {
    let root = tree();
    let dataset = dataset(root.path());
    let sample = dataset.samples().iter().find(|s| !s.masks.is_empty()).unwrap();
    GrayImage::new(24, 20).save(&sample.masks[0]).unwrap();
    let (text, _) = first_error(&dataset);
    assert!(text.contains("the mask is 24x20 pixels") && text.contains("is 20x24"), "{text}");
}

#[test]
fn a_mask_rule_reaches_the_loaded_mask() {
    let root = tree();
    let samples: Vec<Sample> = scan(root.path(), Split::Test).unwrap();
    let strict = Preprocessing::clip(SIZE).unwrap().with_mask_rule(MaskRule::Above(255));
    let dataset = ImageDataset::new(samples, strict);
    assert!(dataset.iter().all(|loaded| loaded.unwrap().mask.iter().all(|v| *v == 0.0)));
}

#[test]
fn settings_out_of_range_are_refused() {
    let root = tree();
    let dataset = dataset(root.path());
    let start = |options| {
        let error = Batches::<Flex>::start(&dataset, vec![0], options, Default::default());
        error.err().unwrap().to_string()
    };
    assert!(start(LoaderOptions::new(0)).starts_with("batch_size = 0"));
    assert!(
        start(LoaderOptions { workers: 0, ..LoaderOptions::new(1) }).starts_with("workers = 0")
    );
    assert!(start(LoaderOptions::new(1).start_at(2)).starts_with("start_at = 2"));
    let wrong = Augmentation { max_shift: 2.0, ..Augmentation::default() };
    assert!(dataset.clone().augmented(wrong, 0).is_err());
}

#[test]
fn indices_and_shapes_that_do_not_fit_are_errors() {
    let root = tree();
    let small = dataset(root.path());
    let device = Default::default();
    let mut batches =
        Batches::<Flex>::start(&small, vec![99], LoaderOptions::new(1), device).unwrap();
    assert!(batches.next().unwrap().unwrap_err().to_string().contains("no sample 99"));
    let large = ImageDataset::new(small.samples().to_vec(), Preprocessing::clip(8).unwrap());
    let mixed = vec![small.get(0).unwrap(), large.get(1).unwrap()];
    let batch: Result<Batch<Flex>, _> = ImageBatcher.batch(mixed, &device);
    assert!(batch.unwrap_err().to_string().contains("not 16x16"));
    let none: Result<Batch<Flex>, _> = ImageBatcher.batch(Vec::new(), &device);
    assert!(none.unwrap_err().to_string().contains("no samples"));
}

#[test]
fn a_dropped_iterator_ends_its_workers() {
    let root = tree();
    let dataset = dataset(root.path());
    let order: Vec<usize> = (0..1000).map(|n| n % 7).collect();
    let batches =
        Batches::<Flex>::start(&dataset, order, LoaderOptions::new(1), Default::default());
    drop(batches.unwrap().take(2).collect::<Vec<_>>());
}

/// Every part is of the class; whatever the four are, the same seed and epoch draw the same again.
#[test]
fn mosaics_take_the_place_of_samples_and_can_be_repeated() {
    let root = tree();
    let plain = dataset(root.path());
    let always = || plain.clone().with_mosaics(1.0, 5).unwrap();
    let sample = |dataset: &ImageDataset| dataset.get(6).unwrap().unwrap();
    let (once, again) = (sample(&always()), sample(&always()));
    assert_eq!(once, again);
    assert_eq!(once.original, ImageSize { width: 40, height: 48 });
    assert_ne!(once.image, sample(&always().at_epoch(1)).image);
    // Each of the four has a mask over its left half, or none.
    let marked = once.mask.iter().filter(|value| **value > 0.0).count();
    assert!(marked.is_multiple_of(SIZE * SIZE / 8) && marked <= SIZE * SIZE / 2, "{marked}");
    assert_eq!(once.label == Label::Anomalous, marked > 0);
    assert_eq!(sample(&plain.clone().with_mosaics(0.0, 5).unwrap()), sample(&plain));
    let error = plain.with_mosaics(1.5, 5).unwrap_err().to_string();
    assert!(error.starts_with("mosaic = 1.5"), "{error}");
}
