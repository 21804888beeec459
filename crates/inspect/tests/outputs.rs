//! What a run of `predict` leaves in its folder, whatever lies there and however the run ends: each map
//! has its line and each line its map, and nobody else's file is touched.

use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use anomaly::{AnomalyMap, DetectError, Detection, Detector, ImageInput, ScoreRule, Tiling};
use burn::backend::Flex;
use burn::tensor::{Tensor, backend::Backend};
use image::{GrayImage, Luma};
use inspect::{
    Cancellation, InspectError, LoadedDetector, PredictOutput, Predicted, Prediction, Target,
    Viewing, Warning, Watcher, WorkKind, predict,
};
use moeclip_data::images;
use serde_json::Value;

const SIZE: usize = 16;

/// Finds each image as anomalous as it is bright.
struct Brightness;

impl<B: Backend> Detector<B> for Brightness {
    fn input(&self) -> ImageInput {
        ImageInput::unnormalised(SIZE)
    }

    fn score_rule(&self) -> ScoreRule {
        ScoreRule::MapMax
    }

    fn detect(&mut self, images: Tensor<B, 4>, _: &str) -> Result<Vec<Detection>, DetectError> {
        let values = anomaly::to_host(images)?;
        let detection = |image: &[f32]| {
            let values = image[..SIZE * SIZE].to_vec();
            Detection::new(AnomalyMap { size: SIZE, values }, image[0], ScoreRule::MapMax)
        };
        Ok(values.chunks_exact(3 * SIZE * SIZE).map(detection).collect())
    }
}

/// Remembers warnings and how far the images are; ends the work when it is asked to.
#[derive(Default)]
struct Listener {
    warnings: Vec<Warning>,
    images: (usize, usize),
    tiles: (usize, usize),
    works: Vec<WorkKind>,
    cancellation: Cancellation,
}

impl Watcher for Listener {
    fn warn(&mut self, warning: Warning) {
        self.warnings.push(warning);
    }

    fn begin(&mut self, work: WorkKind, units: usize) {
        self.works.push(work);
        *self.progress(work) = (0, units);
    }

    fn advance(&mut self, _: String) {
        let work = *self.works.last().unwrap();
        self.progress(work).0 += 1;
    }

    fn end(&mut self) {
        self.works.pop().unwrap();
    }

    fn report(&mut self, _: &str) {}

    fn cancellation(&self) -> Cancellation {
        self.cancellation.clone()
    }
}

impl Listener {
    fn progress(&mut self, work: WorkKind) -> &mut (usize, usize) {
        match work {
            WorkKind::Images => &mut self.images,
            WorkKind::Tiles => &mut self.tiles,
            other => panic!("{other:?}"),
        }
    }
}

/// Grey pictures, the brighter the later.
fn draw(folder: &Path, names: &[&str]) {
    for (brightness, name) in (10..).step_by(20).zip(names) {
        let path = folder.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        GrayImage::from_pixel(20, 12, Luma([brightness])).save(path).unwrap();
    }
}

fn output(input: &Path, out: &Path) -> PredictOutput {
    let viewing = Viewing::default();
    PredictOutput { out: out.into(), input: input.into(), range: None, npy: true, viewing }
}

type Told<'a> = &'a mut dyn FnMut(usize) -> ControlFlow<()>;

/// Every image below the input; `told` hears how many are done.
fn run(
    output: &PredictOutput,
    listener: &mut Listener,
    told: Told<'_>,
) -> Result<Predicted, InspectError> {
    let target = |path: PathBuf| Target { path, class: "plate".into() };
    let targets: Vec<Target> = images(&output.input)?.images.into_iter().map(target).collect();
    run_on(&targets, output, listener, told)
}

fn run_on(
    targets: &[Target],
    output: &PredictOutput,
    listener: &mut Listener,
    told: Told<'_>,
) -> Result<Predicted, InspectError> {
    let mut loaded = LoadedDetector::<Flex>::new(Box::new(Brightness)).unwrap();
    let mut done = 0;
    let mut tell = |_: Result<&Prediction, InspectError>| {
        done += 1;
        told(done)
    };
    predict(targets, &mut loaded, None, output, &Default::default(), listener, &mut tell)
}

fn whole_run(input: &Path, out: &Path) -> (Predicted, Vec<Warning>) {
    let mut listener = Listener::default();
    let predicted = run(&output(input, out), &mut listener, &mut go_on).unwrap();
    (predicted, listener.warnings)
}

fn go_on(_: usize) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

fn refusal(input: &Path, out: &Path) -> String {
    let said = run(&output(input, out), &mut Listener::default(), &mut |_| unreachable!());
    said.unwrap_err().one_line()
}

/// All files below a folder but the lock, as they are written everywhere.
fn files(folder: &Path) -> Vec<String> {
    let mut files = Vec::new();
    for entry in walkdir::WalkDir::new(folder).sort_by_file_name() {
        let entry = entry.unwrap();
        let path = entry.path().strip_prefix(folder).unwrap();
        if entry.file_type().is_file() && path != Path::new(".lock") {
            files.push(path.to_string_lossy().replace('\\', "/"));
        }
    }
    files
}

/// The list, each of whose lines names files that are there, and all of them.
fn checked_list(out: &Path) -> Vec<Value> {
    let text = fs::read_to_string(out.join("predictions.jsonl")).unwrap();
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let mut named = vec![out.join("predictions.jsonl")];
    for line in &lines {
        let map = line["map"].as_str().unwrap();
        let npy = map.replace(".map.png", ".map.npy");
        named.extend([map, line["overlay"].as_str().unwrap(), &npy].map(PathBuf::from));
    }
    let mut there: Vec<PathBuf> = files(out).iter().map(|file| out.join(file)).collect();
    named.sort();
    there.sort();
    assert_eq!(named, there, "every line has its own files, and every file its line");
    lines
}

#[test]
fn what_a_run_wrote_is_no_picture_of_the_next() {
    let folder = tempfile::tempdir().unwrap();
    let input = folder.path().join("in");
    draw(&input, &["0.png", "1.png", "lot/2.png"]);
    for _ in 0..2 {
        let (predicted, warnings) = whole_run(&input, &input.join("maps"));
        assert_eq!((predicted.images, predicted.done, warnings), (3, 3, vec![]));
        assert_eq!(checked_list(&input.join("maps")).len(), 3);
    }
    // Moved and renamed, they are not pictures either.
    fs::rename(input.join("maps/0.png.map.png"), input.join("new.png")).unwrap();
    assert_eq!(images(&input).unwrap().images.len(), 3);
    let (predicted, _) = whole_run(&input, &input);
    assert_eq!((predicted.images, predicted.done), (3, 3));
    assert_eq!(images(&input).unwrap().images.len(), 3);
}

#[test]
fn nobody_elses_file_is_written_over() {
    let check = |names: &[&str], other: &str, bytes: Option<&[u8]>, says: &str| {
        let folder = tempfile::tempdir().unwrap();
        draw(folder.path(), names);
        if let Some(bytes) = bytes {
            fs::write(folder.path().join(other), bytes).unwrap();
        }
        let state = || (files(folder.path()), fs::read(folder.path().join(other)).unwrap());
        let before = state();
        let said = refusal(folder.path(), folder.path());
        assert!(said.contains(other) && said.contains(says), "{said}");
        assert_eq!(before, state(), "{said}");
        assert!(!folder.path().join(".lock").exists(), "{said}");
    };
    check(&["a.png", "a.png.map.png"], "a.png.map.png", None, "choose another --out");
    check(&["a.png", "a.png.overlay.png"], "a.png.overlay.png", None, "choose another");
    check(&["a.png"], "a.png.map.npy", Some(b"an array"), "choose another --out");
    check(&["a.png"], "predictions.jsonl", Some(b"{\"image\": 1}\n"), "no list of predict");
}

#[test]
fn a_list_that_is_replaced_takes_its_maps_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let (monday, tuesday) = (folder.path().join("monday"), folder.path().join("tuesday"));
    draw(&monday, &["000.png", "001.png", "lot/002.png"]);
    draw(&tuesday, &["000.png", "001.png"]);
    let out = folder.path().join("out");
    whole_run(&monday, &out);
    let (_, warnings) = whole_run(&tuesday, &out);
    assert_eq!(checked_list(&out).len(), 2);
    assert!(!out.join("lot").exists());
    assert_eq!(warnings, [Warning::EarlierRemoved { folder: out.clone(), files: 3 }]);
    // What is not the list's stays: a user's own file, a map that was saved by another program, one that
    // another list names, one that was brought here.
    draw(&out, &["001.png.map.png", "own.map.png"]);
    fs::copy(out.join("000.png.map.png"), out.join("brought.map.png")).unwrap();
    fs::write(out.join("notes.txt"), "mine").unwrap();
    whole_run(&monday, &out.join("other"));
    let third = folder.path().join("third");
    draw(&third, &["003.png"]);
    let (_, warnings) = whole_run(&third, &out);
    let first = out.join("brought.map.png");
    let [Warning::EarlierRemoved { files: 5, .. }, unlisted] = &warnings[..] else {
        panic!("{warnings:?}")
    };
    assert_eq!(*unlisted, Warning::Unlisted { folder: out.clone(), first });
    assert_eq!(checked_list(&out.join("other")).len(), 3);
    fs::remove_dir_all(out.join("other")).unwrap();
    let kept = ["001.png.map.png", "brought.map.png", "notes.txt", "own.map.png"];
    let own = ["003.png.map.npy", "003.png.map.png", "003.png.overlay.png", "predictions.jsonl"];
    let mut expected = [&kept[..], &own].concat();
    expected.sort();
    assert_eq!(files(&out), expected);
}

#[test]
fn results_that_would_go_are_not_looked_at() {
    let folder = tempfile::tempdir().unwrap();
    let (input, out) = (folder.path().join("in"), folder.path().join("out"));
    draw(&input, &["0.png"]);
    whole_run(&input, &out);
    let target = Target { path: out.join("0.png.overlay.png"), class: "plate".into() };
    let output = output(&target.path, &out);
    let targets = [target.clone()];
    let said = run_on(&targets, &output, &mut Listener::default(), &mut |_| unreachable!());
    let said = said.unwrap_err().one_line();
    assert!(said.contains("0.png.overlay.png: is a result of the run"), "{said}");
    assert_eq!(checked_list(&out).len(), 1);
}

#[test]
fn one_run_at_a_time_writes_to_a_folder() {
    let folder = tempfile::tempdir().unwrap();
    let (input, out) = (folder.path().join("in"), folder.path().join("out"));
    draw(&input, &["0.png", "1.png"]);
    let other = folder.path().join("other");
    draw(&other, &["0.png"]);
    let mut refused = Vec::new();
    let mut told = |_| {
        refused.push(refusal(&other, &out));
        ControlFlow::Continue(())
    };
    run(&output(&input, &out), &mut Listener::default(), &mut told).unwrap();
    assert_eq!(refused.len(), 2);
    assert!(refused[0].contains("out: another run is writing to it"), "{refused:?}");
    assert_eq!(checked_list(&out).len(), 2);
}

#[test]
fn lines_are_there_as_soon_as_they_are_known() {
    let folder = tempfile::tempdir().unwrap();
    let (input, out) = (folder.path().join("in"), folder.path().join("out"));
    draw(&input, &["0.png", "1.png", "2.png", "3.png"]);
    let mut seen = Vec::new();
    let mut told = |done| {
        seen.push(checked_list(&out).len());
        if done < 3 { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    };
    let mut listener = Listener::default();
    let predicted = run(&output(&input, &out), &mut listener, &mut told).unwrap();
    assert_eq!((seen, listener.images), (vec![1, 2, 3], (3, 4)));
    assert_eq!((predicted.done, checked_list(&out).len()), (3, 3));
}

#[test]
fn a_map_that_cannot_be_written_ends_the_run_with_a_whole_list() {
    let folder = tempfile::tempdir().unwrap();
    let (input, out) = (folder.path().join("in"), folder.path().join("out"));
    draw(&input, &["0.png", "1.png", "sub/2.png", "sub/3.png"]);
    // As on a full disk: the second picture's folder cannot be made.
    let mut told = |done| {
        if done == 2 {
            fs::write(out.join("sub"), b"in the way").unwrap();
        }
        ControlFlow::Continue(())
    };
    let said = run(&output(&input, &out), &mut Listener::default(), &mut told).unwrap_err();
    let said = said.one_line();
    assert!(said.contains("ended after 2 of 4 images") && said.contains("sub"), "{said}");
    fs::remove_file(out.join("sub")).unwrap();
    assert_eq!(checked_list(&out).len(), 2);
}

#[test]
fn a_line_scan_is_seen_in_tiles() {
    let folder = tempfile::tempdir().unwrap();
    let (input, out) = (folder.path().join("in"), folder.path().join("out"));
    draw(&input, &["small.png"]);
    GrayImage::from_pixel(70_000, 4, Luma([90])).save(input.join("wide.png")).unwrap();
    GrayImage::from_pixel(4, 7_000, Luma([90])).save(input.join("high.png")).unwrap();
    let tiling = Some(Tiling { side: 500, overlap: 0.25 });
    let viewing = Viewing { map_size: None, tiling, tile_batch: 8, bits: None };
    let output = PredictOutput { viewing, ..output(&input, &out) };
    let mut listener = Listener::default();
    let predicted = run(&output, &mut listener, &mut go_on).unwrap();
    assert_eq!((predicted.done, listener.images), (3, (3, 3)));
    let lines = checked_list(&out);
    let tiles: Vec<u64> = lines.iter().map(|line| line["tiles"].as_u64().unwrap()).collect();
    assert_eq!((tiles, listener.tiles), (vec![19, 1, 187], (187, 187)));
    let map = image::image_dimensions(lines[2]["map"].as_str().unwrap()).unwrap();
    assert_eq!(map, (70_000, 4));
}

#[test]
fn long_names_are_shortened_and_stay_apart() {
    let folder = tempfile::tempdir().unwrap();
    let (input, out) = (folder.path().join("in"), folder.path().join("out"));
    let names = ["a", "b"].map(|end| format!("{}{end}.png", "n".repeat(245)));
    draw(&input, &names.each_ref().map(String::as_str));
    let (predicted, _) = whole_run(&input, &out);
    assert_eq!((predicted.done, checked_list(&out).len()), (2, 2));
    whole_run(&input, &out);
    assert_eq!(checked_list(&out).len(), 2);
}

#[cfg(unix)]
#[test]
fn names_that_are_not_text_stay_apart() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    let folder = tempfile::tempdir().unwrap();
    let (input, out) = (folder.path().join("in"), folder.path().join("out"));
    draw(&input, &["a.png"]);
    for (source, name) in [(40, &b"caf\xe9.png"[..]), (80, b"caf\xe8.png"), (120, b"caf\xe8/a.png")]
    {
        let path = input.join(OsStr::from_bytes(name));
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let picture = GrayImage::from_pixel(20, 12, Luma([source]));
        picture.save(input.join("source.png")).unwrap();
        fs::rename(input.join("source.png"), path).unwrap();
    }
    whole_run(&input, &out);
    let lines = checked_list(&out);
    let of = |key: &str| -> Vec<String> {
        let value = |line: &Value| line[key].as_str().unwrap_or_default().to_owned();
        lines.iter().map(value).collect()
    };
    let inside = |names: &[&str], folder: &Path, suffix: &str| -> Vec<String> {
        names.iter().map(|name| format!("{}/{name}{suffix}", folder.display())).collect()
    };
    let names = ["a.png", "caf%E8/a.png", "caf%E8.png", "caf%E9.png"];
    let mut paths = of("path");
    paths.sort();
    let mut expected = inside(&names, &input, "");
    expected.sort();
    assert_eq!(paths, expected);
    let mut maps = of("map");
    maps.sort();
    let mut expected = inside(&names, &out, ".map.png");
    expected.sort();
    assert_eq!(maps, expected);
    assert_eq!(of("path_encoding").iter().filter(|said| *said == "percent").count(), 3);
    let scores: std::collections::BTreeSet<String> =
        lines.iter().map(|line| line["score"].to_string()).collect();
    assert_eq!(scores.len(), 4, "each line is of its own picture");
}

#[cfg(unix)]
#[test]
fn modes_are_those_of_an_ordinary_file() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let (input, out) = (folder.path().join("in"), folder.path().join("out"));
    draw(&input, &["0.png"]);
    whole_run(&input, &out);
    let mode = |path: &Path| path.metadata().unwrap().permissions().mode();
    fs::File::create(folder.path().join("ordinary")).unwrap();
    for file in files(&out) {
        assert_eq!(mode(&out.join(&file)), mode(&folder.path().join("ordinary")), "{file}");
    }
}
