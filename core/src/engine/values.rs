//! What expressions see.
//!
//! Every frame has its own [`Outputs`]; a loop body looks further in the frame around it, a
//! sub-workflow does not. Outputs are shared, never copied into a scope.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use serde_json::Value;

use crate::ids::StepId;
use crate::template::{Scope, StepView, StepsView};

/// The settled steps of a frame, and of those around it.
#[derive(Debug, Default)]
pub(crate) struct Outputs {
    around: Option<Arc<Outputs>>,
    settled: RwLock<BTreeMap<StepId, Arc<StepView>>>,
}

impl Outputs {
    /// The outputs of a body within `around`.
    pub(crate) fn within(around: &Arc<Self>) -> Self {
        Self { around: Some(Arc::clone(around)), settled: RwLock::default() }
    }

    /// Adds what a step came to.
    pub(crate) fn insert(&self, step: &StepId, view: StepView) {
        let mut settled = self.settled.write().unwrap_or_else(PoisonError::into_inner);
        settled.insert(step.clone(), Arc::new(view));
    }

    /// What a step of this very frame came to.
    pub(crate) fn own(&self, step: &StepId) -> Option<Arc<StepView>> {
        self.settled.read().unwrap_or_else(PoisonError::into_inner).get(step).cloned()
    }
}

impl StepsView for Outputs {
    fn step(&self, id: &str) -> Option<Arc<StepView>> {
        let own = {
            let settled = self.settled.read().unwrap_or_else(PoisonError::into_inner);
            id.parse::<StepId>().ok().and_then(|id| settled.get(&id).cloned())
        };
        own.or_else(|| self.around.as_ref()?.step(id))
    }
}

/// A frame's outputs and the scope its expressions are rendered in.
#[derive(Clone, Debug)]
pub(crate) struct FrameValues {
    pub(crate) outputs: Arc<Outputs>,
    pub(crate) scope: Scope,
}

impl FrameValues {
    /// Values of a workflow's own frame.
    pub(crate) fn of_workflow(inputs: &Arc<Value>, run: Value) -> Self {
        let outputs = Arc::new(Outputs::default());
        let scope = Scope::new()
            .with("inputs", Arc::clone(inputs))
            .with("run", Arc::new(run))
            .with_steps(Arc::clone(&outputs) as Arc<dyn StepsView>);
        Self { outputs, scope }
    }

    /// Values of the body of a loop instance, whose own scope is `item`.
    pub(crate) fn of_body(around: &Self, item: &Scope) -> Self {
        let outputs = Arc::new(Outputs::within(&around.outputs));
        let scope = item.with_steps(Arc::clone(&outputs) as Arc<dyn StepsView>);
        Self { outputs, scope }
    }

    /// The same values with another `run`.
    #[must_use]
    pub(crate) fn with_run(&self, run: Value) -> Self {
        Self { outputs: Arc::clone(&self.outputs), scope: self.scope.with("run", Arc::new(run)) }
    }
}
