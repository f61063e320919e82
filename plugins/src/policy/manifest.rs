//! `plugin.yaml`: what a plugin is, and what it asks for.
//!
//! ```yaml
//! plugin: { name: invoice-parse, version: 1.2.0, api: "flow:plugin@0.1.0", file: parse.wasm, sha256: … }
//! capabilities:
//!   http: [{ host: api.example.com, methods: [POST] }]
//! limits: { memory: 256MiB, deadline: 30s, output: 16MiB, log: 64KiB }
//! ```

use serde_json::{Map, Value};

use super::{Capabilities, Limits, PolicyFault};

/// The most bytes of a manifest.
const LARGEST: usize = 64 << 10;

/// What a plugin is, and what it asks for.
#[derive(Clone, Debug, PartialEq)]
pub struct Manifest {
    /// Its name.
    pub name: String,
    /// Its version, as it is written.
    pub version: String,
    /// The interface it was built for, e.g. `flow:plugin@0.1.0`.
    pub api: Option<String>,
    /// The file of its component, beside the manifest; `NAME.wasm` where it is not said.
    pub file: String,
    /// SHA-256 of that file, in hexadecimal digits.
    pub sha256: Option<String>,
    /// What it asks to do.
    pub capabilities: Capabilities,
    /// How much it asks to use.
    pub limits: Limits,
}

/// Why a manifest cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ManifestError {
    /// It is too large.
    #[error("it is larger than {LARGEST} bytes")]
    TooLarge,
    /// It is no YAML.
    #[error("it is no YAML: {0}")]
    Yaml(String),
    /// Something in it is wrong.
    #[error(transparent)]
    Wrong(#[from] PolicyFault),
}

impl Manifest {
    /// Reads a manifest.
    pub fn read(bytes: &[u8]) -> Result<Self, ManifestError> {
        if bytes.len() > LARGEST {
            return Err(ManifestError::TooLarge);
        }
        let value: Value = serde_saphyr::from_slice(bytes).map_err(|error| {
            ManifestError::Yaml(error.to_string().lines().next().unwrap_or_default().to_owned())
        })?;
        let Some(map) = value.as_object() else {
            return Err(PolicyFault::new(&[], "a manifest is a map").into());
        };
        Ok(Self::of(map)?)
    }

    fn of(map: &Map<String, Value>) -> Result<Self, PolicyFault> {
        let known = ["plugin", "capabilities", "limits"];
        if let Some(key) = map.keys().find(|key| !known.contains(&key.as_str())) {
            return Err(PolicyFault::unknown(&[], key, "a manifest", &known));
        }
        let plugin = map.get("plugin").and_then(Value::as_object);
        let plugin =
            plugin.ok_or_else(|| PolicyFault::new(&["plugin"], "a manifest has a map `plugin`"))?;
        let known = ["name", "version", "api", "file", "sha256"];
        if let Some(key) = plugin.keys().find(|key| !known.contains(&key.as_str())) {
            return Err(PolicyFault::unknown(&["plugin"], key, "plugin", &known));
        }
        let text = |key: &str| match plugin.get(key) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.clone())),
            Some(Value::Number(number)) if key == "version" => Ok(Some(number.to_string())),
            Some(_) => Err(PolicyFault::new(&["plugin", key], format!("`{key}` is text"))),
        };
        let needed = |key: &str| {
            text(key)?.ok_or_else(|| {
                PolicyFault::new(&["plugin", key], format!("`plugin` has a `{key}`"))
            })
        };
        let name = needed("name")?;
        if !is_plugin_name(&name) {
            let message = format!("`{name}` cannot name a plugin");
            return Err(PolicyFault::new(&["plugin", "name"], message)
                .hint("a name is lower-case letters, digits and `-`"));
        }
        let file = text("file")?.unwrap_or_else(|| format!("{name}.wasm"));
        if file.contains(['/', '\\']) {
            let message = "`file` is a file beside the manifest";
            return Err(PolicyFault::new(&["plugin", "file"], message));
        }
        let sha256 = text("sha256")?;
        if let Some(hash) = &sha256
            && (hash.len() != 64 || !hash.bytes().all(|b| b.is_ascii_hexdigit()))
        {
            let message = "`sha256` is 64 hexadecimal digits";
            return Err(PolicyFault::new(&["plugin", "sha256"], message));
        }
        let sha256 = sha256.map(|hash| hash.to_ascii_lowercase());
        let capabilities = match map.get("capabilities") {
            None | Some(Value::Null) => Capabilities::default(),
            Some(value) => Capabilities::read(value, "capabilities")?,
        };
        let limits = match map.get("limits") {
            None | Some(Value::Null) => Limits::USUAL,
            Some(value) => Limits::read(value, Limits::USUAL)?,
        };
        let (version, api) = (needed("version")?, text("api")?);
        Ok(Self { name, version, api, file, sha256, capabilities, limits })
    }
}

/// Whether a text can name a plugin.
pub(crate) fn is_plugin_name(name: &str) -> bool {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    !name.is_empty()
        && name.len() <= 64
        && name.bytes().all(plain)
        && !name.starts_with('-')
        && !name.ends_with('-')
}
