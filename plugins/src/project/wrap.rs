//! From a core module, as compilers make it, to a component.

use wit_component::ComponentEncoder;

/// Why a module is no plugin.
#[derive(Debug, thiserror::Error)]
#[error("what was built is no plugin: {0}")]
pub struct WrapError(String);

/// The component of a module that was linked with the interface's bindings; a component as it
/// is.
pub fn component_of(wasm: Vec<u8>) -> Result<Vec<u8>, WrapError> {
    // A component and a module differ in the version that follows the first four bytes.
    if wasm.get(4..8) != Some(&[1, 0, 0, 0]) {
        return Ok(wasm);
    }
    let encoder = ComponentEncoder::default().validate(true).module(&wasm);
    let encoded = encoder.and_then(|mut encoder| encoder.encode());
    encoded.map_err(|error| WrapError(format!("{error:#}")))
}
