//! What this program is built from, and what the operating system knows of its process.

pub(crate) use moeclip_train::peak_memory;

/// Threads that run beside each other here, 1 where the system does not say.
pub(crate) fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Memory that the system can still give, in bytes; `None` where it does not say.
pub(crate) fn available_memory() -> Option<u64> {
    kib_line("/proc/meminfo", "MemAvailable:").map(|kib| kib * 1024)
}

/// The number in a line of one of Linux's status files, in KiB.
fn kib_line(file: &str, key: &str) -> Option<u64> {
    let status = std::fs::read_to_string(file).ok()?;
    let line = status.lines().find(|line| line.starts_with(key))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

/// Bytes as GiB with two decimals.
pub(crate) fn gib(bytes: u64) -> String {
    format!("{:.2} GiB", bytes as f64 / (1u64 << 30) as f64)
}

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
