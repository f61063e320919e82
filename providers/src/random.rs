//! Names that nothing else has, and numbers that nobody can foresee.

use std::hash::{BuildHasher, Hasher, RandomState};

/// 128 random bits in hexadecimal digits, from the system's randomness.
pub(crate) fn name() -> String {
    // Keyed by it, and each otherwise than the one before.
    let random = || RandomState::new().build_hasher().finish();
    format!("{:016x}{:016x}", random(), random())
}

/// 32 random bits, from the system's randomness.
pub(crate) fn number() -> u32 {
    RandomState::new().build_hasher().finish() as u32
}
