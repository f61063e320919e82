//! Actions that need nothing but core: values, files, people.

mod files;
mod human;
mod value;

use std::sync::Arc;

use crate::action::ActionRegistry;

/// Adds the actions of this module.
pub fn register(registry: &mut ActionRegistry) {
    registry.add(Arc::new(value::Set::new()));
    registry.add(Arc::new(value::Fill::new()));
    registry.add(Arc::new(files::Write::new()));
    registry.add(Arc::new(files::Glob::new()));
    registry.add(Arc::new(human::Approve::new()));
}
