//! The one environment that all templates share: what is there, and what is not.

use std::sync::LazyLock;

use minijinja::syntax::SyntaxConfig;
use minijinja::{AutoEscape, Environment, UndefinedBehavior};

use super::{guard, walk};

/// Instructions an expression may execute.
pub(super) const FUEL: u64 = 2_000_000;

/// Nesting of blocks and calls.
const RECURSION: usize = 64;

/// The environment: strict, without escaping, and with a bound on the work.
pub(super) static ENVIRONMENT: LazyLock<Environment<'static>> = LazyLock::new(|| {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_auto_escape_callback(|_| AutoEscape::None);
    environment.set_fuel(Some(FUEL));
    environment.set_recursion_limit(RECURSION);
    environment.set_syntax(syntax());
    environment.remove_global("debug");
    // What it makes can hold itself, and no walk through that ends.
    environment.remove_global("namespace");
    environment.add_filter(guard::WALK, walk::bounded);
    environment
});

/// The syntax: a text keeps the line break it ends with.
pub(super) fn syntax() -> SyntaxConfig {
    let mut builder = SyntaxConfig::builder();
    builder.keep_trailing_newline(true);
    builder.build().expect("the usual delimiters are valid")
}

/// Names that an expression may use without anybody having given them a value.
pub(super) fn is_global(name: &str) -> bool {
    ENVIRONMENT.globals().any(|(global, _)| global == name)
}
