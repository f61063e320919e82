//! `flow model-host`: the process of a model, started by the one that runs steps.

use std::process::ExitCode;

use crate::cli::ModelHost;

/// Is the process of a model until its stdin ends, or says what computes here.
#[cfg(feature = "llama")]
pub(crate) fn run(args: &ModelHost) -> ExitCode {
    if args.devices {
        let devices = flow_llama::host::devices();
        crate::output::json(&serde_json::json!(devices));
        return ExitCode::SUCCESS;
    }
    flow_llama::host::run()
}

/// Says that there are no local models in this binary.
#[cfg(not(feature = "llama"))]
pub(crate) fn run(_args: &ModelHost) -> ExitCode {
    let failure = flow_llama::not_built_in();
    let failed = crate::report::CommandError::invalid(failure.message);
    crate::report::failed(&failed.hint(failure.hint.unwrap_or_default()))
}
