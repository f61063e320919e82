//! The interface `flow:plugin`, as wasmtime binds it from `wit/flow.wit`.
//!
//! Both worlds import the same interfaces: they are bound once, by the step's, and the
//! provider's uses those. No host function is given the store: one that had it could enter the
//! guest again.

pub(crate) mod step {
    wasmtime::component::bindgen!({
        path: "wit",
        world: "step-plugin",
        imports: {
            "flow:plugin/log": trappable,
            "flow:plugin/config": trappable,
            "flow:plugin/clock": trappable,
            default: async | trappable,
        },
        exports: { default: async },
        with: {
            "flow:plugin/artifacts.artifact": crate::host::artifacts::Opened,
            "flow:plugin/artifacts.writer": crate::host::artifacts::Draft,
        },
    });
}

pub(crate) mod provider {
    wasmtime::component::bindgen!({
        path: "wit",
        world: "provider-plugin",
        imports: { default: async | trappable },
        exports: { default: async },
        with: {
            "flow:plugin/types": crate::bindings::step::flow::plugin::types,
            "flow:plugin/artifacts": crate::bindings::step::flow::plugin::artifacts,
            "flow:plugin/content": crate::bindings::step::flow::plugin::content,
            "flow:plugin/log": crate::bindings::step::flow::plugin::log,
            "flow:plugin/config": crate::bindings::step::flow::plugin::config,
            "flow:plugin/clock": crate::bindings::step::flow::plugin::clock,
            "flow:plugin/kv": crate::bindings::step::flow::plugin::kv,
            "flow:plugin/http": crate::bindings::step::flow::plugin::http,
            "flow:plugin/chat": crate::bindings::step::flow::plugin::chat,
            "flow:plugin/llm": crate::bindings::step::flow::plugin::llm,
        },
    });
}

pub(crate) use step::flow::plugin::{
    artifacts, chat, clock, config, content, http, kv, llm, log, types,
};
