//! Differences by hand-written files, and what a digest holds of them.

use serde_json::json;

use super::*;
use crate::{JPEG_DECODER, NUMBERS};

fn read(text: &str) -> Conditions {
    serde_json::from_str(text).unwrap()
}

fn difference(then: &str, now: &str) -> Option<String> {
    let (then, now) = (read(then), read(now));
    let difference = then.first_difference(&now);
    assert_eq!(difference.is_none(), then.digest() == now.digest(), "{then:?} {now:?}");
    difference.map(|one| format!("{} {} {}", one.what, one.then, one.now))
}

#[test]
fn the_first_place_that_differs_is_named_with_both_values() {
    assert_eq!(difference(r#"{"model":1}"#, r#"{"model":1}"#), None);
    let differing = difference(r#"{"model":{"b":1,"c":2}}"#, r#"{"model":{"b":1,"c":3}}"#);
    assert_eq!(differing.unwrap(), "model.c 2 3");
    let shorter = difference(r#"{"model":[1,2]}"#, r#"{"model":[1]}"#);
    assert_eq!(shorter.unwrap(), "model[1] 2 absent");
    let filled = difference(r#"{"model":{"a":[]}}"#, r#"{"model":{"a":["x"]}}"#);
    assert_eq!(filled.unwrap(), "model.a [] absent");
    let null = difference(r#"{"model":{"a":"x"}}"#, r#"{"model":{"a":null}}"#);
    assert_eq!(null.unwrap(), "model.a \"x\" null");
    assert_eq!(difference(r#"{"model":null}"#, "{}"), None);
    let own = difference(r#"{"config":{"seed":1}}"#, r#"{"config":{"seed":2}}"#);
    assert_eq!(own.unwrap(), "seed 1 2");
}

#[test]
fn settings_are_named_before_the_build() {
    let then = r#"{"decoder":"libjpeg-turbo","training":{"seed":1}}"#;
    assert_eq!(difference(then, r#"{"training":{"seed":2}}"#).unwrap(), "training.seed 1 2");
}

#[test]
fn free_fields_may_differ_and_what_sounds_like_them_may_not() {
    let of =
        |field: &str| format!(r#"{{"provenance":{{"{field}":{{"loss/total":1.5}},"seed":1}}}}"#);
    let before = r#"{"provenance":{"metrics":{},"seed":1}}"#;
    assert_eq!(difference(&of("metrics"), before), None);
    assert!(difference(&of("metrics_of_old"), before).is_some());
    let long = |epochs: usize| format!(r#"{{"training":{{"epochs":{epochs},"seed":1}}}}"#);
    assert_eq!(difference(&long(1), &long(20)), None);
}

#[test]
fn files_that_do_not_say_their_build_are_of_the_first_numbers_and_the_default_decoder() {
    let unsaid = Conditions::default();
    assert_eq!(difference("{}", r#"{"numbers":1,"decoder":"zune-jpeg"}"#), None);
    let differences = [
        (r#"{"numbers":2}"#, "the numbers version 1 2"),
        (r#"{"decoder":"libjpeg-turbo"}"#, "the JPEG decoder \"zune-jpeg\" \"libjpeg-turbo\""),
    ];
    for (now, says) in differences {
        assert_eq!(difference("{}", now).unwrap(), says);
    }
    let kernels = |name: &str| read(&json!({ "kernels": name }).to_string());
    assert_eq!(unsaid.first_difference(&kernels("flex, fma")), None, "nobody knows them");
    let line = kernels("flex, fma").first_difference(&kernels("flex, avx512f")).unwrap();
    assert_eq!(
        line.to_string(),
        "the kind of kernels was \"flex, fma\" and is \"flex, avx512f\" now; use a build and a machine with \
         the old ones"
    );
}

#[test]
fn a_condition_of_a_newer_program_is_not_passed_over() {
    let newer = difference(r#"{"lens":"wide"}"#, "{}").unwrap();
    assert_eq!(newer, "lens \"wide\" null");
}

#[test]
fn a_purpose_keeps_what_counts_for_it() {
    let all = Conditions::here("flex").with(Condition::Seed, &3).with(Condition::Clip, &"c0ffee");
    let demo = all.clone().of(Purpose::Demo);
    assert_eq!(demo.missing(Purpose::Demo), [Condition::PerCategory]);
    let calibration = all.clone().of(Purpose::Calibration);
    let missing = calibration.missing(Purpose::Calibration);
    assert!(missing.contains(&Condition::Domain) && !missing.contains(&Condition::Seed));
    assert_eq!(calibration.clone().with(Condition::Seed, &4).of(Purpose::Calibration), calibration);
    let text = serde_json::to_string(&demo).unwrap();
    assert!(text.contains(&format!(r#""numbers":{NUMBERS},"decoder":"{JPEG_DECODER}""#)), "{text}");
    assert_eq!(read(&text), demo);
    assert_eq!(all.clone().of_build().of(Purpose::Demo), demo.clone().of_build());
    let pictures = all.of(Purpose::Pictures);
    assert!(pictures.missing(Purpose::Pictures).is_empty());
    assert_eq!(pictures.without_build(), Conditions::default());
}

#[test]
fn long_values_are_cut_and_hashes_sooner() {
    let long = "é".repeat(200);
    assert_eq!(shown(Some(&long)).chars().count(), SHOWN + 3);
    let hash = format!("\"{}\"", "d".repeat(64));
    assert_eq!(shown(Some(&hash)), "\"dddddddddddd...\"");
}
