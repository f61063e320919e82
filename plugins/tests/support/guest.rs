//! Guests as text.

use std::fmt::Write as _;

use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

/// Where texts begin in a guest's memory. What is below is for areas of fixed places.
const TEXTS: usize = 8_192;

/// Texts in a guest's memory.
#[derive(Clone, Default)]
pub(crate) struct Texts(Vec<u8>);

impl Texts {
    /// Puts a text there; where it is and how long, as two constants.
    pub(crate) fn text(&mut self, text: &str) -> String {
        let at = self.at(text.as_bytes());
        format!("(i32.const {at}) (i32.const {})", text.len())
    }

    /// Puts bytes there, on a boundary of eight; where they are.
    pub(crate) fn at(&mut self, bytes: &[u8]) -> usize {
        while !self.0.len().is_multiple_of(8) {
            self.0.push(0);
        }
        let at = TEXTS + self.0.len();
        self.0.extend_from_slice(bytes);
        at
    }

    fn data(&self) -> String {
        let mut escaped = String::new();
        for byte in &self.0 {
            let _ = write!(escaped, "\\{byte:02x}");
        }
        format!("(data (i32.const {TEXTS}) \"{escaped}\")")
    }
}

/// A guest that is being written.
#[derive(Clone)]
pub(crate) struct Guest {
    pub(crate) texts: Texts,
    world: &'static str,
    describe: String,
    imports: String,
    functions: String,
    run: String,
    memory: String,
    version: &'static str,
}

/// What a guest says of itself where a test does not care.
const DESCRIBE: &str = r#"{"name":"guest","version":"1.0.0","summary":"A guest of tests."}"#;

impl Guest {
    /// A step that does what `run` says: instructions that leave the address of a result, made
    /// by `(call $ok PTR LEN)` or `(call $err CODE_PTR CODE_LEN PTR LEN)`.
    pub(crate) fn new(run: &str) -> Self {
        Self {
            texts: Texts::default(),
            world: "step-plugin",
            describe: DESCRIBE.into(),
            imports: String::new(),
            functions: String::new(),
            run: run.into(),
            memory: "1".into(),
            version: "0.1.0",
        }
    }

    /// A step that always says the same.
    pub(crate) fn says(json: &str) -> Self {
        let mut guest = Self::new("");
        let text = guest.texts.text(json);
        guest.run = format!("(call $ok {text})");
        guest
    }

    /// A step that says what it was given.
    pub(crate) fn echo() -> Self {
        Self::new("(call $ok (local.get 7) (local.get 8))")
    }

    /// A provider that does what `run` says.
    pub(crate) fn provider(run: &str) -> Self {
        Self { world: "provider-plugin", ..Self::new(run) }
    }

    pub(crate) fn describing(self, describe: &str) -> Self {
        Self { describe: describe.into(), ..self }
    }

    pub(crate) fn importing(mut self, interface: &str, name: &str, signature: &str) -> Self {
        let version = self.version;
        let id = name.replace(['[', ']', '.'], "_");
        let _ = writeln!(
            self.imports,
            "(import \"flow:plugin/{interface}@{version}\" \"{name}\" (func ${id} {signature}))"
        );
        self
    }

    pub(crate) fn function(mut self, text: &str) -> Self {
        self.functions.push_str(text);
        self.functions.push('\n');
        self
    }

    pub(crate) fn running(self, run: &str) -> Self {
        Self { run: run.into(), ..self }
    }

    /// Pages of memory: `MIN` or `MIN MAX`.
    pub(crate) fn memory(self, pages: &str) -> Self {
        Self { memory: pages.into(), ..self }
    }

    /// The core module.
    pub(crate) fn core(&self) -> String {
        let mut texts = self.texts.clone();
        let describe = texts.text(&self.describe);
        let (imports, functions, run, memory) =
            (&self.imports, &self.functions, &self.run, &self.memory);
        let version = self.version;
        let top = TEXTS + texts.0.len() + 64;
        let data = texts.data();
        let main = match self.world {
            "step-plugin" => format!(
                r#"(func (export "flow:plugin/step@{version}#run")
                  (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32) (result i32)
                  (local $a i32) (local $b i32)
                  {run})"#
            ),
            _ => format!(
                r#"(func (export "flow:plugin/provider@{version}#complete")
                  (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32) (result i32)
                  (local $a i32) (local $b i32)
                  {run})
                (func (export "flow:plugin/provider@{version}#models") (result i32)
                  (i32.store (i32.const 32) (i32.const 4096)) (i32.store (i32.const 36) (i32.const 9))
                  (i32.const 32))
                (data (i32.const 4096) "[\"small\"]")"#
            ),
        };
        format!(
            r#"(module
              {imports}
              (memory (export "memory") {memory})
              (global $top (mut i32) (i32.const {top}))
              (func $alloc (export "cabi_realloc") (param i32 i32 i32 i32) (result i32)
                (local $at i32)
                (local.set $at (i32.and (i32.add (global.get $top) (i32.const 15)) (i32.const -16)))
                (global.set $top (i32.add (local.get $at) (local.get 3)))
                (block $room
                  (br_if $room (i32.le_u (global.get $top) (i32.mul (memory.size) (i32.const 65536))))
                  (br_if $room (i32.ne (i32.const -1) (memory.grow (i32.add (i32.const 1)
                    (i32.div_u (local.get 3) (i32.const 65536))))))
                  unreachable)
                (local.get $at))
              (func $ok (param i32 i32) (result i32)
                (i32.store (i32.const 64) (i32.const 0))
                (i32.store (i32.const 72) (local.get 0)) (i32.store (i32.const 76) (local.get 1))
                (i32.store (i32.const 80) (i32.const 0)) (i32.store (i32.const 84) (i32.const 0))
                (i32.const 64))
              (func $err (param i32 i32 i32 i32) (result i32)
                (i32.store (i32.const 64) (i32.const 1))
                (i32.store (i32.const 72) (local.get 0)) (i32.store (i32.const 76) (local.get 1))
                (i32.store (i32.const 80) (local.get 2)) (i32.store (i32.const 84) (local.get 3))
                (i32.store (i32.const 88) (i32.const 0)) (i32.store (i32.const 96) (i32.const 0))
                (i32.store (i32.const 112) (i32.const 8)) (i32.store (i32.const 116) (i32.const 2))
                (i32.const 64))
              ;; Hands on the error that a host function left at an address, where its result has
              ;; the layout of an error; `{{}}` else.
              (func $relay (param i32) (result i32)
                (if (i32.eqz (i32.load8_u (local.get 0)))
                  (then (return (call $ok (i32.const 8) (i32.const 2)))))
                (call $err
                  (i32.load (i32.add (local.get 0) (i32.const 8)))
                  (i32.load (i32.add (local.get 0) (i32.const 12)))
                  (i32.load (i32.add (local.get 0) (i32.const 16)))
                  (i32.load (i32.add (local.get 0) (i32.const 20)))))
              (data (i32.const 8) "{{}}")
              {data}
              (func (export "flow:plugin/meta@{version}#describe") (result i32)
                (i32.store (i32.const 16) (i32.const 0))
                (call $describe {describe}))
              (func $describe (param i32 i32) (result i32)
                (i32.store (i32.const 16) (local.get 0)) (i32.store (i32.const 20) (local.get 1))
                (i32.const 16))
              {functions}
              {main})"#
        )
    }

    /// The component.
    pub(crate) fn component(&self) -> Vec<u8> {
        component_of(&self.core(), self.world, "0.1.0")
    }
}

/// Makes a component of a core module for a world of the interface, in this version of it.
pub(crate) fn component_of(core: &str, world: &str, version: &str) -> Vec<u8> {
    let wit = include_str!("../../wit/flow.wit").replace("@0.1.0;", &format!("@{version};"));
    let mut resolve = Resolve::default();
    let package = resolve.push_str("flow.wit", &wit).expect("the interface");
    let world = resolve.select_world(&[package], Some(world)).expect("a world");
    let mut module = wat::parse_str(core).unwrap_or_else(|error| panic!("{error}\n{core}"));
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8).expect("metadata");
    let encoder = ComponentEncoder::default().module(&module).expect("a module");
    encoder.validate(true).encode().unwrap_or_else(|error| panic!("{error:#}"))
}
