//! Decimals of currencies, as ISO 4217 has them.

/// Currencies without decimals.
const NONE: &[&str] = &[
    "BIF", "CLP", "DJF", "GNF", "ISK", "JPY", "KMF", "KRW", "PYG", "RWF", "UGX", "UYI", "VND",
    "VUV", "XAF", "XOF", "XPF",
];

/// Currencies with three.
const THREE: &[&str] = &["BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"];

/// Currencies with four.
const FOUR: &[&str] = &["CLF", "UYW"];

/// The decimals of a currency; two where it is unknown.
pub(crate) fn decimals(code: Option<&str>) -> u32 {
    match code {
        Some(code) if NONE.contains(&code) => 0,
        Some(code) if THREE.contains(&code) => 3,
        Some(code) if FOUR.contains(&code) => 4,
        Some(_) | None => 2,
    }
}
