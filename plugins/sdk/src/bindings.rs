//! The interface `flow:plugin` as Rust. What is imported is one; each export is a world of its
//! own, for the macros that export are named by what they export.

pub mod base {
    wit_bindgen::generate!({
        path: "../wit",
        inline: "
            package flow:sdk;
            world base {
                import flow:plugin/log@0.1.0;
                import flow:plugin/config@0.1.0;
                import flow:plugin/clock@0.1.0;
                import flow:plugin/artifacts@0.1.0;
                import flow:plugin/kv@0.1.0;
                import flow:plugin/http@0.1.0;
                import flow:plugin/llm@0.1.0;
                import flow:plugin/progress@0.1.0;
                export flow:plugin/meta@0.1.0;
            }
        ",
        world: "flow:sdk/base",
        pub_export_macro: true,
        export_macro_name: "export_meta",
        default_bindings_module: "flow_plugin::bindings::base",
        generate_all,
    });
}

pub mod step {
    wit_bindgen::generate!({
        path: "../wit",
        inline: "package flow:sdk; world step { export flow:plugin/step@0.1.0; }",
        world: "flow:sdk/step",
        pub_export_macro: true,
        export_macro_name: "export_step",
        default_bindings_module: "flow_plugin::bindings::step",
        with: {
            "flow:plugin/types@0.1.0": crate::bindings::base::flow::plugin::types,
            "flow:plugin/artifacts@0.1.0": crate::bindings::base::flow::plugin::artifacts,
            "flow:plugin/content@0.1.0": crate::bindings::base::flow::plugin::content,
        },
        generate_all,
    });
}

pub mod provider {
    wit_bindgen::generate!({
        path: "../wit",
        inline: "package flow:sdk; world provider { export flow:plugin/provider@0.1.0; }",
        world: "flow:sdk/provider",
        pub_export_macro: true,
        export_macro_name: "export_provider",
        default_bindings_module: "flow_plugin::bindings::provider",
        with: {
            "flow:plugin/types@0.1.0": crate::bindings::base::flow::plugin::types,
            "flow:plugin/artifacts@0.1.0": crate::bindings::base::flow::plugin::artifacts,
            "flow:plugin/content@0.1.0": crate::bindings::base::flow::plugin::content,
            "flow:plugin/chat@0.1.0": crate::bindings::base::flow::plugin::chat,
        },
        generate_all,
    });
}
