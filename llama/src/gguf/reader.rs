//! Reads numbers and texts in order, and never beyond the end.

use std::io::{Read, Seek};

use super::error::Fault;

/// A file that is read from its start on. What is not wanted is skipped, not read.
pub(super) struct Reader<R> {
    inner: R,
    at: u64,
    length: u64,
}

impl<R: Read + Seek> Reader<R> {
    /// Reads a file of this length from its start, which `inner` stands at.
    pub(super) fn new(inner: R, length: u64) -> Self {
        Self { inner, at: 0, length }
    }

    /// How many bytes are behind.
    pub(super) fn at(&self) -> u64 {
        self.at
    }

    /// How many bytes are there in all.
    pub(super) fn length(&self) -> u64 {
        self.length
    }

    fn left(&self) -> u64 {
        self.length - self.at
    }

    fn go(&mut self, bytes: u64) -> Result<(), Fault> {
        if bytes > self.left() {
            return Err(Fault::HeaderCut { length: self.length });
        }
        self.at += bytes;
        Ok(())
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], Fault> {
        self.go(N as u64)?;
        let mut bytes = [0; N];
        self.inner.read_exact(&mut bytes)?;
        Ok(bytes)
    }

    pub(super) fn u32(&mut self) -> Result<u32, Fault> {
        self.array().map(u32::from_le_bytes)
    }

    pub(super) fn u64(&mut self) -> Result<u64, Fault> {
        self.array().map(u64::from_le_bytes)
    }

    /// Reads so many bytes, which the caller has bounded.
    pub(super) fn bytes(&mut self, count: u64) -> Result<Vec<u8>, Fault> {
        self.go(count)?;
        let mut bytes = vec![0; count as usize];
        self.inner.read_exact(&mut bytes)?;
        Ok(bytes)
    }

    pub(super) fn skip(&mut self, count: u64) -> Result<(), Fault> {
        self.go(count)?;
        let mut left = count;
        while left > 0 {
            let step = left.min(i64::MAX as u64);
            self.inner.seek_relative(step as i64)?;
            left -= step;
        }
        Ok(())
    }

    /// Makes sure that so many items of at least so many bytes can follow.
    pub(super) fn expect(&self, count: u64, each: u64) -> Result<(), Fault> {
        match count.checked_mul(each) {
            Some(bytes) if bytes <= self.left() => Ok(()),
            Some(_) | None => Err(Fault::HeaderCut { length: self.length }),
        }
    }

    /// Reads the text of a name.
    pub(super) fn name(&mut self, what: &'static str, most: u64) -> Result<String, Fault> {
        let length = self.u64()?;
        if length > most {
            return Err(Fault::TooLong { what, length, most });
        }
        String::from_utf8(self.bytes(length)?).map_err(|_| Fault::NotText { what })
    }
}
