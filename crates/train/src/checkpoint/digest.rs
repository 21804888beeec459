//! The digest of a checkpoint's content: a safetensors header shows a file that is too short, not
//! one in which a byte has turned.

use std::collections::BTreeMap;

use clip_vit::weights::Dtype;
use sha2::{Digest, Sha256};

/// SHA-256 over metadata and tensors, every text and list with its length before it.
pub(crate) struct ContentDigest(Sha256);

impl ContentDigest {
    /// Of metadata, in the order of its keys; tensors follow.
    pub(crate) fn of(metadata: &BTreeMap<String, String>) -> Self {
        let mut digest = Self(Sha256::new());
        digest.number(metadata.len());
        for (key, value) in metadata {
            digest.bytes(key.as_bytes());
            digest.bytes(value.as_bytes());
        }
        digest
    }

    /// Adds a tensor; callers go by the order of names.
    pub(crate) fn tensor(&mut self, name: &str, dtype: Dtype, shape: &[usize], bytes: &[u8]) {
        self.bytes(name.as_bytes());
        self.bytes(dtype.name().as_bytes());
        self.number(shape.len());
        shape.iter().for_each(|size| self.number(*size));
        self.bytes(bytes);
    }

    /// The digest, in hexadecimal.
    pub(crate) fn hex(self) -> String {
        self.0.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.number(bytes.len());
        self.0.update(bytes);
    }

    fn number(&mut self, number: usize) {
        self.0.update((number as u64).to_le_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(key: &str, name: &str, shape: &[usize], bytes: &[u8]) -> String {
        let mut digest = ContentDigest::of(&BTreeMap::from([(key.into(), "value".into())]));
        digest.tensor(name, Dtype::U8, shape, bytes);
        digest.hex()
    }

    #[test]
    fn everything_counts() {
        let one = digest("key", "name", &[2, 1], &[1, 2]);
        assert_eq!(one, digest("key", "name", &[2, 1], &[1, 2]));
        for other in [
            digest("kez", "name", &[2, 1], &[1, 2]),
            digest("key", "nama", &[2, 1], &[1, 2]),
            digest("key", "name", &[1, 2], &[1, 2]),
            digest("key", "name", &[2, 1], &[1, 3]),
        ] {
            assert_ne!(one, other);
        }
    }
}
