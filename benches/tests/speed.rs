//! Our side of `speed.py` keeps running: each part in each precision on a tiny tower, with each kind of
//! kernels that this machine has, and one clear line where kernels are asked for that it lacks.

use std::process::{Command, Output};

use tile_kernels::{Isa, KERNEL_VARIABLE};

fn speed(part: &str, precision: &str, kernels: &str) -> Output {
    Command::new(env!("CARGO_BIN_EXE_speed"))
        .args([part, precision, "2", "2"])
        .env(KERNEL_VARIABLE, kernels)
        .output()
        .unwrap()
}

#[test]
fn every_part_is_timed_with_every_kind_of_kernels() {
    for isa in Isa::available() {
        for part in ["encoder", "whole"] {
            for precision in ["f32", "bf16", "f16"] {
                let output = speed(part, precision, isa.name());
                let said = String::from_utf8(output.stdout).unwrap();
                assert!(output.status.success(), "{part} {precision} {isa}: {said}");
                let said: serde_json::Value = serde_json::from_str(&said).unwrap();
                assert_eq!(said["kernels"], isa.name());
                let seconds = said["seconds"].as_array().unwrap();
                assert_eq!(seconds.len(), 2);
                assert!(seconds.iter().all(|each| each.as_f64().unwrap() > 0.0));
            }
        }
    }
}

#[test]
fn kernels_that_cannot_be_used_are_named_in_one_line() {
    let lacking = Isa::ALL.into_iter().filter(|isa| !isa.is_available()).map(Isa::name);
    for kernels in lacking.chain(["sse9"]) {
        let output = speed("encoder", "f32", kernels);
        assert!(!output.status.success());
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(said.contains(&format!("{KERNEL_VARIABLE}={kernels}")), "{said}");
    }
}
