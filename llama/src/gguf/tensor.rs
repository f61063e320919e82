//! The table of tensors: what each is called, its type, shape and place.

use super::error::Fault;

/// How the numbers of a tensor are written: a name, the numbers of a block, and its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TensorType {
    /// As llama.cpp calls it.
    pub name: &'static str,
    /// Numbers in a block.
    pub block: u64,
    /// Bytes of a block.
    pub bytes: u64,
}

impl TensorType {
    /// The type with this number in a file; none for those that were given up.
    pub(super) fn of(number: u32) -> Option<Self> {
        let (name, block, bytes) = match number {
            0 => ("f32", 1, 4),
            1 => ("f16", 1, 2),
            2 => ("q4_0", 32, 18),
            3 => ("q4_1", 32, 20),
            6 => ("q5_0", 32, 22),
            7 => ("q5_1", 32, 24),
            8 => ("q8_0", 32, 34),
            9 => ("q8_1", 32, 36),
            10 => ("q2_K", 256, 84),
            11 => ("q3_K", 256, 110),
            12 => ("q4_K", 256, 144),
            13 => ("q5_K", 256, 176),
            14 => ("q6_K", 256, 210),
            15 => ("q8_K", 256, 292),
            16 => ("iq2_xxs", 256, 66),
            17 => ("iq2_xs", 256, 74),
            18 => ("iq3_xxs", 256, 98),
            19 => ("iq1_s", 256, 50),
            20 => ("iq4_nl", 32, 18),
            21 => ("iq3_s", 256, 110),
            22 => ("iq2_s", 256, 82),
            23 => ("iq4_xs", 256, 136),
            24 => ("i8", 1, 1),
            25 => ("i16", 1, 2),
            26 => ("i32", 1, 4),
            27 => ("i64", 1, 8),
            28 => ("f64", 1, 8),
            29 => ("iq1_m", 256, 56),
            30 => ("bf16", 1, 2),
            34 => ("tq1_0", 256, 54),
            35 => ("tq2_0", 256, 66),
            39 => ("mxfp4", 32, 17),
            40 => ("nvfp4", 64, 36),
            41 => ("q1_0", 128, 18),
            42 => ("q2_0", 64, 18),
            _ => return None,
        };
        Some(Self { name, block, bytes })
    }
}

/// A tensor, without its numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tensor {
    /// Its name.
    pub name: String,
    /// How its numbers are written.
    pub kind: TensorType,
    /// Its shape, the length of a row first; 1 where there is no such dimension.
    pub shape: [u64; 4],
    /// Where it begins, in bytes from the first tensor of its file.
    pub offset: u64,
    /// Its bytes.
    pub size: u64,
}

impl Tensor {
    /// Puts a tensor together; a fault where its size cannot be.
    pub(super) fn new(
        name: String,
        kind: TensorType,
        shape: [u64; 4],
        offset: u64,
    ) -> Result<Self, Fault> {
        let row = shape[0];
        if !row.is_multiple_of(kind.block) {
            let (block, kind) = (kind.block, kind.name);
            return Err(Fault::Row { tensor: name, row, block, kind });
        }
        let numbers = shape
            .iter()
            .try_fold(1_i64, |product, size| product.checked_mul(i64::try_from(*size).ok()?));
        let size = numbers
            .and_then(|numbers| (numbers.unsigned_abs() / kind.block).checked_mul(kind.bytes));
        match size {
            Some(size) => Ok(Self { name, kind, shape, offset, size }),
            None => Err(Fault::TooLargeTensor(name)),
        }
    }

    /// How many numbers it has.
    pub fn numbers(&self) -> u64 {
        // The product was checked when the tensor was put together.
        self.shape.iter().product()
    }

    /// The block of a model that it belongs to, by its name: `blk.7.attn_q.weight`.
    pub(super) fn block(&self) -> Option<u32> {
        self.name.strip_prefix("blk.")?.split('.').next()?.parse().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_have_the_sizes_of_the_format() {
        let sizes: Vec<_> = (0..64).filter_map(TensorType::of).map(|kind| kind.name).collect();
        assert_eq!(sizes.len(), 35);
        for given_up in [4, 5, 31, 32, 33, 36, 37, 38, 43] {
            assert_eq!(TensorType::of(given_up), None);
        }
        let bits = |number| {
            let kind = TensorType::of(number).unwrap();
            kind.bytes as f64 * 8.0 / kind.block as f64
        };
        assert!((bits(12) - 4.5).abs() < 1e-9, "q4_K");
        assert!((bits(14) - 6.5625).abs() < 1e-9, "q6_K");
    }

    #[test]
    fn a_block_is_known_by_the_name_of_its_tensors() {
        let tensor =
            |name: &str| Tensor::new(name.into(), TensorType::of(0).unwrap(), [1; 4], 0).unwrap();
        assert_eq!(tensor("blk.12.attn_q.weight").block(), Some(12));
        assert_eq!(tensor("v.blk.3.ln1.bias").block(), None);
        assert_eq!(tensor("token_embd.weight").block(), None);
        assert_eq!(tensor("blk.x.weight").block(), None);
    }

    #[test]
    fn a_size_beyond_any_file_is_no_panic() {
        let kind = TensorType::of(28).unwrap();
        for shape in [[u64::MAX, 1, 1, 1], [1 << 40, 1 << 40, 1, 1], [1 << 62, 1, 1, 1]] {
            let fault = Tensor::new("t".into(), kind, shape, 0).unwrap_err();
            assert_eq!(fault.to_string(), "its tensor `t` is larger than any file");
        }
    }
}
