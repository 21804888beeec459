//! Tells the program which commit it is built from. Outside of a repository of its own it knows its
//! version alone.

use std::path::Path;
use std::process::Command;

/// What the program is made of, from the folder of this package; only changes in it count.
const CODE: [&str; 4] = ["src", "../crates", "../Cargo.toml", "../Cargo.lock"];

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    CODE.iter().for_each(|path| println!("cargo:rerun-if-changed={path}"));
    let Some(commit) = commit() else { return };
    println!("cargo:rustc-env=MOECLIP_COMMIT={commit}");
    // A file that is not there would have this run at every build.
    let moving = ["HEAD", "packed-refs"].map(str::to_owned).into_iter().chain(branch());
    let moving = moving.filter_map(|name| git(&["rev-parse", "--git-path", &name]));
    moving.filter(|path| Path::new(path).exists()).for_each(|path| {
        println!("cargo:rerun-if-changed={path}");
    });
}

/// Twelve digits of the commit, and whether the code differs from it.
fn commit() -> Option<String> {
    let root = Path::new(&git(&["rev-parse", "--show-toplevel"])?).canonicalize().ok()?;
    // A repository that merely contains this folder would name a commit of something else.
    if Path::new("..").canonicalize().ok()? != root {
        return None;
    }
    let commit = git(&["rev-parse", "--short=12", "HEAD"])?;
    let mut status = vec!["--no-optional-locks", "status", "--porcelain", "--"];
    status.extend(CODE);
    let changed = git(&status).is_none_or(|changes| !changes.is_empty());
    Some(if changed { format!("{commit}-dirty") } else { commit })
}

/// The reference that HEAD names, if it names one.
fn branch() -> Option<String> {
    git(&["symbolic-ref", "--quiet", "HEAD"])
}

fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").args(arguments).output().ok()?;
    let text = output.status.success().then(|| String::from_utf8(output.stdout).ok())??;
    Some(text.trim_end().to_owned())
}
