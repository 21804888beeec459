//! Which half of the world something belongs to: the one that is trained on, or the one that is unseen.

use serde::Serialize;

/// A half of the world. No category is in both.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Trained on.
    Auxiliary,
    /// Measured on, and unseen before.
    Test,
}

impl Role {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Auxiliary, Self::Test];

    /// The name of its folder.
    pub fn name(self) -> &'static str {
        match self {
            Self::Auxiliary => "auxiliary",
            Self::Test => "test",
        }
    }
}
