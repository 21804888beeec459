//! The memory of a thread's last picture, kept for its next one.
//!
//! Fresh memory is zeroed and costs a page fault every 4 KiB, a twentieth of the time in which a
//! photo is decoded and resized.

use std::cell::Cell;

/// Most bytes that a thread keeps: pictures of 22 megapixels.
const MOST: usize = 64 << 20;

thread_local! {
    static SPARE: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// So many bytes, whatever they hold.
pub(crate) fn take(length: usize) -> Vec<u8> {
    let mut bytes = SPARE.take();
    bytes.resize(length, 0);
    bytes
}

/// Keeps bytes that nobody needs any more.
pub(crate) fn give(bytes: Vec<u8>) {
    if bytes.capacity() <= MOST {
        SPARE.set(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_given_is_taken_once_and_nothing_huge_is_kept() {
        give(vec![7; 100]);
        let taken = take(50);
        assert!(taken.capacity() >= 100, "the memory of before");
        assert_eq!(take(3), [0; 3], "taken by another");
        give(Vec::with_capacity(MOST + 1));
        assert!(take(1).capacity() < MOST);
    }
}
