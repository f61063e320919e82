//! Compiled plugins on the disk, and the one place of flow that loads native code.
//!
//! wasmtime runs what a compiled file holds as it is: of a file with a flipped bit almost all
//! are taken, and what is in them is run outside the sandbox. So a file counts only if this
//! user's flow wrote it. Each stands in a folder that only the user may enter and carries a
//! code (HMAC-SHA256) over its name and its bytes, by a key that lies beside it; what was
//! read is checked and then handed over, so that nothing can change in between. A file
//! without the right code is [`Found::Tampered`], and the caller compiles anew.
//!
//! This protects against files from elsewhere, a damaged disk and other users, not against who
//! can read the key: that is the user, who could as well replace flow. A plugin's author never
//! gives a compiled file.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use wasmtime::Engine;
use wasmtime::component::Component;

/// Length of the key and of a code, in bytes.
const CODE: usize = 32;

/// How a kept file begins.
const MAGIC: &[u8; 8] = b"flowcwa1";

/// The name of the key's file.
const KEY: &str = "key";

/// Says that the cache cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("cannot use `{}`: {source}", path.display())]
pub struct CacheError {
    /// The file or folder.
    path: PathBuf,
    /// Why.
    source: io::Error,
}

impl CacheError {
    fn new(path: &Path, source: io::Error) -> Self {
        Self { path: path.to_path_buf(), source }
    }
}

/// What is under a name.
#[derive(Debug)]
pub enum Found<T> {
    /// What was kept.
    Kept(T),
    /// Nothing.
    Nothing,
    /// Something that this cache did not write, or that was changed since.
    Tampered,
}

/// A folder of compiled plugins and what is known of them.
#[derive(Debug)]
pub struct Cache {
    folder: PathBuf,
    key: [u8; CODE],
}

impl Cache {
    /// Opens the folder, which is made where it is missing. Only its owner may enter it.
    pub fn open(folder: &Path) -> Result<Self, CacheError> {
        private_folder(folder)?;
        let key = key(folder)?;
        Ok(Self { folder: folder.to_path_buf(), key })
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Keeps bytes under a name, which is a file's name. They are there whole or not at all.
    pub fn put(&self, name: &str, bytes: &[u8]) -> Result<(), CacheError> {
        let path = self.folder.join(name);
        let failed = |error| CacheError::new(&path, error);
        let mut draft = tempfile::NamedTempFile::new_in(&self.folder).map_err(failed)?;
        draft.write_all(MAGIC).map_err(failed)?;
        draft.write_all(&self.code(name, bytes)).map_err(failed)?;
        draft.write_all(bytes).map_err(failed)?;
        draft.persist(&path).map_err(|error| CacheError::new(&path, error.error))?;
        Ok(())
    }

    /// Reads what is under a name.
    pub fn get(&self, name: &str) -> Found<Vec<u8>> {
        let Ok(mut file) = File::open(self.folder.join(name)) else { return Found::Nothing };
        let (mut head, mut bytes) = ([0; MAGIC.len() + CODE], Vec::new());
        if file.read_exact(&mut head).is_err() || file.read_to_end(&mut bytes).is_err() {
            return Found::Tampered;
        }
        let (magic, code) = head.split_at(MAGIC.len());
        if magic != MAGIC || self.mac(name, &bytes).verify_slice(code).is_err() {
            return Found::Tampered;
        }
        Found::Kept(bytes)
    }

    /// Loads the compiled plugin under a name. wasmtime refuses one that another wasmtime made, or
    /// this one with other settings, and one that the engine has no room for.
    pub fn component(&self, engine: &Engine, name: &str) -> Found<wasmtime::Result<Component>> {
        match self.get(name) {
            Found::Kept(bytes) => Found::Kept(deserialize(engine, &bytes)),
            Found::Nothing => Found::Nothing,
            Found::Tampered => Found::Tampered,
        }
    }

    fn code(&self, name: &str, bytes: &[u8]) -> [u8; CODE] {
        self.mac(name, bytes).finalize().into_bytes().into()
    }

    fn mac(&self, name: &str, bytes: &[u8]) -> Hmac<Sha256> {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.key).expect("a key may have any length");
        // The length keeps a name and what follows it apart.
        mac.update(&(name.len() as u64).to_le_bytes());
        mac.update(name.as_bytes());
        mac.update(bytes);
        mac
    }
}

#[expect(unsafe_code, reason = "wasmtime has no other way to load what it compiled before")]
fn deserialize(engine: &Engine, bytes: &[u8]) -> wasmtime::Result<Component> {
    // SAFETY: `bytes` were made by `Engine::precompile_component` and put into the cache by
    // this user's flow: their code by the user's key was verified on these very bytes, which
    // nobody can change any more. wasmtime refuses those of another version or other settings.
    unsafe { Component::deserialize(engine, bytes) }
}

/// Makes a folder that only its owner may enter, and refuses one of somebody else.
fn private_folder(folder: &Path) -> Result<(), CacheError> {
    let failed = |error| CacheError::new(folder, error);
    if let Some(around) = folder.parent() {
        fs::create_dir_all(around).map_err(failed)?;
    }
    match make_private(folder) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(failed(error)),
    }
    narrow(folder, 0o700).map_err(failed)
}

#[cfg(unix)]
fn make_private(folder: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    fs::DirBuilder::new().mode(0o700).create(folder)
}

#[cfg(not(unix))]
fn make_private(folder: &Path) -> io::Result<()> {
    fs::create_dir(folder)
}

/// Takes rights away that others have; fails where they are not ours to take.
#[cfg(unix)]
fn narrow(path: &Path, mode: u32) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    let metadata = fs::symlink_metadata(path)?;
    if metadata.file_type().is_symlink() {
        return Err(io::Error::other("it is a link"));
    }
    if metadata.permissions().mode() & 0o777 != mode {
        fs::set_permissions(path, fs::Permissions::from_mode(mode))?;
    }
    Ok(())
}

#[cfg(not(unix))]
fn narrow(_path: &Path, _mode: u32) -> io::Result<()> {
    Ok(())
}

/// The key of a folder, made the first time. Of two processes that make one, one comes first
/// and both use its key.
fn key(folder: &Path) -> Result<[u8; CODE], CacheError> {
    let path = folder.join(KEY);
    let failed = |error| CacheError::new(&path, error);
    if !path.exists() {
        // A file of a draft's is for its owner alone.
        let mut draft = tempfile::NamedTempFile::new_in(folder).map_err(failed)?;
        draft.write_all(&fresh_key()).map_err(failed)?;
        match draft.persist_noclobber(&path) {
            Ok(_) => {}
            Err(error) if error.error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(failed(error.error)),
        }
    }
    narrow(&path, 0o600).map_err(failed)?;
    let bytes = fs::read(&path).map_err(failed)?;
    bytes.try_into().map_err(|_| failed(io::Error::other("it is no key; remove it")))
}

/// A key that nobody knows: of the system's randomness, as `HashMap` is keyed by it.
fn fresh_key() -> [u8; CODE] {
    use sha2::Digest;
    use std::hash::{BuildHasher, Hasher, RandomState};
    let mut hash = Sha256::new();
    for round in 0..8_u64 {
        let mut hasher = RandomState::new().build_hasher();
        hasher.write_u64(round);
        hash.update(hasher.finish().to_le_bytes());
    }
    hash.finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cache() -> (tempfile::TempDir, Cache) {
        let around = tempfile::tempdir().unwrap();
        let cache = Cache::open(&around.path().join("a/plugins")).unwrap();
        (around, cache)
    }

    #[test]
    fn what_was_kept_comes_back_in_another_process() {
        let (_around, first) = cache();
        first.put("a", b"bytes").unwrap();
        let second = Cache::open(first.folder()).unwrap();
        assert!(matches!(second.get("a"), Found::Kept(bytes) if bytes == b"bytes"));
        assert!(matches!(second.get("b"), Found::Nothing));
    }

    #[test]
    fn no_bit_of_a_file_can_be_flipped_and_none_of_its_end_left_out() {
        let (_around, cache) = cache();
        cache.put("a", b"bytes").unwrap();
        let path = cache.folder().join("a");
        let whole = fs::read(&path).unwrap();
        for bit in 0..whole.len() * 8 {
            let mut flipped = whole.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            fs::write(&path, flipped).unwrap();
            assert!(matches!(cache.get("a"), Found::Tampered), "bit {bit} was not seen");
        }
        for end in 0..whole.len() {
            fs::write(&path, &whole[..end]).unwrap();
            assert!(matches!(cache.get("a"), Found::Tampered), "{end} bytes were taken");
        }
    }

    #[test]
    fn a_file_under_the_name_of_another_is_not_taken() {
        let (_around, cache) = cache();
        cache.put("a", b"bytes").unwrap();
        fs::copy(cache.folder().join("a"), cache.folder().join("b")).unwrap();
        assert!(matches!(cache.get("b"), Found::Tampered));
    }

    #[test]
    fn a_file_of_another_cache_is_not_taken() {
        let ((_one, one), (_other, other)) = (cache(), cache());
        one.put("a", b"bytes").unwrap();
        fs::copy(one.folder().join("a"), other.folder().join("a")).unwrap();
        assert!(matches!(other.get("a"), Found::Tampered));
    }

    #[cfg(unix)]
    #[test]
    fn nobody_else_may_enter_the_folder_or_read_the_key() {
        use std::os::unix::fs::PermissionsExt;
        let (_around, cache) = cache();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(cache.folder()), 0o700);
        assert_eq!(mode(&cache.folder().join(KEY)), 0o600);
        fs::set_permissions(cache.folder(), fs::Permissions::from_mode(0o755)).unwrap();
        let again = Cache::open(cache.folder()).unwrap();
        assert_eq!(mode(again.folder()), 0o700, "rights that others were given are taken back");
    }

    #[cfg(unix)]
    #[test]
    fn a_link_to_a_folder_elsewhere_is_refused() {
        let around = tempfile::tempdir().unwrap();
        let (real, link) = (around.path().join("real"), around.path().join("link"));
        fs::create_dir(&real).unwrap();
        std::os::unix::fs::symlink(&real, &link).unwrap();
        let refused = Cache::open(&link).unwrap_err();
        assert_eq!(refused.to_string(), format!("cannot use `{}`: it is a link", link.display()));
    }
}
