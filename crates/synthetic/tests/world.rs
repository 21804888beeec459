//! The synthetic world: the same bytes on any number of threads, masks that fit, halves that share no
//! category, and every defect where its category says it can be.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use moeclip_data::Split;
use synthetic_world::{
    Category, DefectKind, DrawProgress, Picture, Quotas, Role, Shot, World, write_world,
};
use walkdir::WalkDir;

fn shot(category: Category, defect: Option<DefectKind>, index: usize) -> Shot {
    Shot { category, defect, split: Split::Test, index }
}

fn on(_: DrawProgress) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

fn write(out: &Path, threads: usize) {
    let world = World::new(3, 40).unwrap();
    let written = write_world(out, &world, &Quotas::per_category(1, 3), threads, on).unwrap();
    let written = written.expect("nobody broke it off");
    assert_eq!((written.auxiliary, written.test), (14 * 4, 8 * 4));
}

/// Every file by its path.
fn files(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let entries = WalkDir::new(folder).into_iter().map(Result::unwrap);
    let files = entries.filter(|entry| entry.file_type().is_file());
    let read = |path: &Path| (path.strip_prefix(folder).unwrap().into(), fs::read(path).unwrap());
    files.map(|entry| read(entry.path())).collect()
}

#[test]
fn one_seed_gives_the_same_bytes_on_one_thread_and_on_three() {
    let folder = tempfile::tempdir().unwrap();
    let (one, three) = (folder.path().join("one"), folder.path().join("three"));
    write(&one, 1);
    write(&three, 3);
    let (one, three) = (files(&one), files(&three));
    assert!(one.len() > 22 * 4, "{} files", one.len());
    assert!(one == three);
}

#[test]
fn another_seed_split_or_index_is_another_picture() {
    let picture = |seed, shot: &Shot| World::new(seed, 40).unwrap().picture(shot).unwrap().image;
    let first = shot(Category::Gear, None, 0);
    let of_first = picture(1, &first);
    assert!(of_first == picture(1, &first));
    assert!(of_first != picture(2, &first));
    assert!(of_first != picture(1, &Shot { index: 1, ..first }));
    assert!(of_first != picture(1, &Shot { split: Split::Train, ..first }));
}

#[test]
fn every_defect_of_every_category_is_seen_and_marked() {
    let world = World::new(11, 64).unwrap();
    for category in Category::ALL {
        for (defect, index) in category.defects().into_iter().flat_map(|d| [(d, 0), (d, 1), (d, 2)])
        {
            let Picture { mask, .. } = world.picture(&shot(category, Some(defect), index)).unwrap();
            let mask = mask.expect("a defect has a mask");
            let marked = mask.pixels().filter(|pixel| pixel.0[0] == 255).count();
            let dark = mask.pixels().filter(|pixel| pixel.0[0] == 0).count();
            let share = marked as f64 / (64.0 * 64.0);
            let what = format!("{} {} {index}: {share}", category.name(), defect.name());
            assert_eq!(marked + dark, 64 * 64, "{what}");
            assert!(share > 0.0 && share <= 0.3, "{what}");
        }
    }
}

#[test]
fn a_normal_picture_has_no_mask() {
    let world = World::new(11, 40).unwrap();
    let masked = |category| world.picture(&shot(category, None, 0)).unwrap().mask.is_some();
    assert!(!Category::ALL.into_iter().any(masked));
}

#[test]
fn the_halves_share_no_category_and_not_all_defects() {
    let names = |role| Category::of(role).map(Category::name).collect::<BTreeSet<_>>();
    let (auxiliary, test) = (names(Role::Auxiliary), names(Role::Test));
    assert!(auxiliary.is_disjoint(&test));
    assert_eq!(auxiliary.len() + test.len(), Category::ALL.len());
    let defects = |role| Category::of(role).flat_map(Category::defects).collect::<BTreeSet<_>>();
    let (seen, unseen) = (defects(Role::Auxiliary), defects(Role::Test));
    assert!(seen.intersection(&unseen).count() >= 4, "{seen:?} {unseen:?}");
    assert!(unseen.difference(&seen).count() >= 4, "{seen:?} {unseen:?}");
    assert_eq!(seen.union(&unseen).count(), DefectKind::ALL.len());
}

#[test]
fn a_defect_that_cannot_be_is_refused_in_one_line() {
    let world = World::new(0, 40).unwrap();
    let error = world.picture(&shot(Category::Leather, Some(DefectKind::MissingPart), 0));
    let error = error.unwrap_err().to_string();
    assert!(error.contains("missing_part") && !error.contains('\n'), "{error}");
    let error = World::new(0, 8).unwrap_err().to_string();
    assert!(error.starts_with("size = 8"), "{error}");
}

#[test]
fn a_tenth_of_the_auxiliary_half_is_normal_and_half_of_the_other() {
    for (pictures, normal, tested) in [(40, 4, 20), (12, 1, 6), (3, 1, 2)] {
        let Quotas { auxiliary, test } = Quotas::per_category(5, pictures);
        assert_eq!((auxiliary.train, auxiliary.normal, test.normal), (5, normal, tested));
        assert_eq!(auxiliary.normal + auxiliary.defective, pictures);
        assert_eq!(test.normal + test.defective, pictures);
    }
}

#[test]
fn a_full_folder_is_refused_and_a_broken_off_one_is_absent() {
    let folder = tempfile::tempdir().unwrap();
    let world = World::new(0, 32).unwrap();
    let quotas = Quotas::per_category(0, 2);
    let out = folder.path().join("world");
    let stopped = write_world(&out, &world, &quotas, 2, |_| ControlFlow::Break(())).unwrap();
    assert!(stopped.is_none());
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    fs::create_dir(&out).unwrap();
    fs::write(out.join("mine.txt"), "mine").unwrap();
    let error = write_world(&out, &world, &quotas, 2, on).unwrap_err().to_string();
    assert!(error.contains("is not empty"), "{error}");
    assert_eq!(fs::read_dir(&out).unwrap().count(), 1);
}

#[test]
fn twins_differ_where_the_mask_says_and_nowhere_else() {
    let world = World::new(6, 64).unwrap();
    for category in [Category::Leather, Category::Gear, Category::Retina] {
        let defect = category.defects().first().copied();
        let shots = [shot(category, defect, 1), shot(category, None, 1)];
        let twins = world.all_twins(&shots, 2, on).unwrap().unwrap();
        assert!(twins[0].picture == world.picture(&shots[0]).unwrap());
        assert!(twins[1].sound.is_none());
        let (picture, sound) = (&twins[0].picture, twins[0].sound.as_ref().unwrap());
        let mask = picture.mask.as_ref().unwrap();
        let change = |x, y| {
            let (a, b) = (picture.image.get_pixel(x, y), sound.get_pixel(x, y));
            a.0.iter().zip(b.0).map(|(a, b)| a.abs_diff(b)).max().unwrap_or(0)
        };
        let pixels = || (0..64).flat_map(|y| (0..64).map(move |x| (x, y)));
        // 0.035 of white are 9 levels; a brighter pixel's grain differs by a few.
        let beside = pixels().filter(|(x, y)| mask.get_pixel(*x, *y).0[0] == 0);
        assert!(beside.clone().all(|(x, y)| change(x, y) <= 14), "{category:?}");
        let within = pixels().filter(|(x, y)| mask.get_pixel(*x, *y).0[0] > 0);
        assert!(within.clone().any(|(x, y)| change(x, y) > 14), "{category:?}");
    }
}
