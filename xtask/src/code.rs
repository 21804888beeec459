//! Which code this program is built from.

/// The version of the program.
pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The commit it is built from, with `-dirty` behind it where the code differed; `None` outside of
/// git.
pub(crate) const COMMIT: Option<&str> = option_env!("MOECLIP_COMMIT");

/// Version and commit for a line of text.
pub(crate) fn described() -> String {
    match COMMIT {
        Some(commit) => format!("{VERSION} ({commit})"),
        None => VERSION.to_owned(),
    }
}
