//! What the operating system knows of this process.

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
