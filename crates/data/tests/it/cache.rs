//! The cache of decoded pictures: the same bytes with it, entries that are made anew when they are
//! damaged, and a folder that stays within its limit.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use burn::data::dataset::Dataset;
use image::{ImageBuffer, Luma, Rgb, RgbImage};
use moeclip_data::{
    Cache, FaultKind, ImageDataset, Label, LoadedSample, Preprocessing, Sample, SampleBits,
};
use tempfile::TempDir;

const SIZE: usize = 16;
const GIB: u64 = 1 << 30;

struct World {
    folder: TempDir,
}

impl World {
    /// Seven pictures of their own.
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        for number in 0..7u8 {
            let picture =
                RgbImage::from_fn(24, 20, |x, y| Rgb([number * 30, x as u8 * 9, y as u8]));
            picture.save(folder.path().join(format!("{number}.png"))).unwrap();
        }
        Self { folder }
    }

    fn plain(&self) -> ImageDataset {
        let image = |number| self.folder.path().join(format!("{number}.png"));
        let sample = |number| Sample::new(image(number), "a", Label::Normal, "good");
        ImageDataset::new((0..7).map(sample).collect(), Preprocessing::clip(SIZE).unwrap())
    }

    fn cache_folder(&self) -> PathBuf {
        self.folder.path().join("cache")
    }

    fn cache(&self, limit: u64) -> Cache {
        Cache::open(&self.cache_folder(), limit).unwrap()
    }

    fn entries(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.cache_folder()).unwrap();
        let mut entries: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
        entries.sort();
        entries
    }
}

fn all(dataset: &ImageDataset) -> Vec<LoadedSample> {
    (0..dataset.len()).map(|index| dataset.get(index).unwrap().unwrap()).collect()
}

fn bytes(path: &Path) -> u64 {
    fs::metadata(path).unwrap().len()
}

#[test]
fn what_comes_out_is_the_same_the_first_and_the_second_time() {
    let world = World::new();
    let expected = all(&world.plain());
    let cached = world.plain().cached(world.cache(GIB));
    assert_eq!(all(&cached), expected);
    assert_eq!(world.entries().len(), 7);
    assert_eq!(all(&cached), expected);
    assert_eq!(world.entries().len(), 7);
}

/// A picture that something is to be told of is told in every run; read by other bits it is another one.
#[test]
fn what_is_noticed_is_told_with_a_cache_too() {
    let world = World::new();
    let picture =
        ImageBuffer::<Luma<u16>, Vec<u16>>::from_fn(24, 20, |x, y| Luma([(x * y * 8) as u16]));
    picture.save(world.folder.path().join("0.png")).unwrap();
    for _ in 0..2 {
        let cached = world.plain().cached(world.cache(GIB));
        let loaded = all(&cached);
        assert_eq!(loaded, all(&world.plain()));
        let faults = cached.take_faults();
        assert_eq!(faults.iter().map(|fault| fault.kind).collect::<Vec<_>>(), [FaultKind::LowBits]);
        assert_eq!(world.entries().len(), 6);
    }
    for (bits, entries) in [(12, 7 + 6), (14, 7 + 7 + 6)] {
        let bits = Some(SampleBits::new(bits).unwrap());
        let plain = || world.plain().with_bits(bits);
        let cached = plain().cached(world.cache(GIB));
        assert_eq!(all(&cached), all(&plain()));
        assert_eq!((all(&cached), cached.take_faults()), (all(&plain()), vec![]));
        assert_eq!(world.entries().len(), entries);
    }
}

#[test]
fn a_picture_is_found_by_its_content_and_size() {
    let world = World::new();
    let cached = world.plain().cached(world.cache(GIB));
    let before = all(&cached);
    fs::copy(world.folder.path().join("1.png"), world.folder.path().join("0.png")).unwrap();
    let after = all(&cached);
    assert_eq!(after[0].image, before[1].image, "a changed file is another picture");
    assert_eq!(world.entries().len(), 7);
    let larger = ImageDataset::new(cached.samples().to_vec(), Preprocessing::clip(20).unwrap());
    let larger = larger.cached(world.cache(GIB));
    assert_eq!(all(&larger)[0].image.len(), 3 * 20 * 20);
    assert_eq!(world.entries().len(), 7 + 6);
}

#[test]
fn a_damaged_entry_is_made_anew() {
    let world = World::new();
    let cached = world.plain().cached(world.cache(GIB));
    let expected = all(&cached);
    let entry = world.entries()[0].clone();
    let whole = fs::read(&entry).unwrap();
    for length in [0, 1, 11, 12, 20, 51, 52, whole.len() - 1] {
        fs::write(&entry, &whole[..length]).unwrap();
        assert_eq!(all(&cached), expected, "cut to {length} bytes");
        assert_eq!(fs::read(&entry).unwrap(), whole);
    }
    for place in [0, 25, 60, whole.len() - 1] {
        let mut flipped = whole.clone();
        flipped[place] ^= 1;
        fs::write(&entry, &flipped).unwrap();
        assert_eq!(all(&cached), expected, "bit {place} flipped");
        assert_eq!(fs::read(&entry).unwrap(), whole);
    }
}

#[test]
fn a_kept_picture_is_not_decoded_again() {
    let world = World::new();
    let cached = world.plain().cached(world.cache(GIB));
    let expected = all(&cached);
    let old = SystemTime::now() - Duration::from_secs(3600);
    let written = |path: &PathBuf| fs::metadata(path).unwrap().modified().unwrap();
    for entry in world.entries() {
        fs::File::options().write(true).open(&entry).unwrap().set_modified(old).unwrap();
    }
    let before = world.entries();
    assert_eq!(all(&cached), expected);
    assert_eq!(world.entries(), before);
    assert!(world.entries().iter().all(|entry| written(entry) > old), "use is noted");
}

#[test]
fn entries_used_longest_ago_go_first() {
    let world = World::new();
    all(&world.plain().cached(world.cache(GIB)));
    let entries = world.entries();
    let now = SystemTime::now();
    for (age, entry) in entries.iter().enumerate() {
        let used = now - Duration::from_secs(1000 * age as u64);
        fs::File::options().write(true).open(entry).unwrap().set_modified(used).unwrap();
    }
    world.cache(bytes(&entries[0]) * 4);
    assert_eq!(world.entries(), entries[..3], "a limit of four keeps three with room for more");
}

#[test]
fn the_folder_stays_within_its_limit() {
    let world = World::new();
    let one = 12 + 8 + 32 + (3 * SIZE * SIZE) as u64;
    let cached = world.plain().cached(world.cache(one * 3));
    for _ in 0..3 {
        all(&cached);
        let total: u64 = world.entries().iter().map(|entry| bytes(entry)).sum();
        assert!(total <= one * 3, "{total} bytes");
        assert!(total >= one, "something is kept");
    }
}

#[test]
fn a_folder_that_cannot_be_used_is_one_error() {
    let world = World::new();
    let file = world.folder.path().join("0.png");
    for (folder, limit, says) in
        [(file.clone(), GIB, "cannot be written"), (file.join("x"), GIB, "cannot be written")]
    {
        let error = Cache::open(&folder, limit).unwrap_err().to_string();
        assert!(error.contains(says) && !error.contains('\n'), "{error}");
    }
    let error = Cache::open(&world.cache_folder(), 0).unwrap_err().to_string();
    assert!(error.contains("cache limit"), "{error}");
}

#[test]
fn trouble_while_writing_costs_no_batch_and_is_told_once() {
    let world = World::new();
    let cache = world.cache(GIB);
    let cached = world.plain().cached(cache.clone());
    fs::remove_dir_all(world.cache_folder()).unwrap();
    assert_eq!(all(&cached), all(&world.plain()));
    let trouble = cache.take_trouble().unwrap().to_string();
    assert!(trouble.contains("cannot be written"), "{trouble}");
    assert!(cache.take_trouble().is_none());
}
