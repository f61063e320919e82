//! One expression, or one text with expressions in it.

use std::fmt;
use std::sync::OnceLock;

use minijinja::machinery::ast::Expr;
use minijinja::machinery::{CodeGenerator, eval, make_string_output};
use minijinja::{AutoEscape, Environment};
use serde_json::Value;

use super::data::to_json;
use super::environment::{ENVIRONMENT, FUEL, syntax};
use super::guard::Guard;
use super::references::{self, Reference, Segment};
use super::scope::{Scope, StepView};
use super::walk;

/// The most bytes a rendered text may have.
const LARGEST_TEXT: usize = 16 << 20;

/// Says why a template cannot be compiled or rendered.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct TemplateError {
    /// What is wrong, naming the expression.
    pub message: String,
    /// What was probably meant.
    pub hint: Option<String>,
}

impl TemplateError {
    fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), hint: None }
    }
}

/// A compiled expression or text, with the names it refers to.
pub struct Expression {
    source: String,
    compiled: Compiled,
    references: Vec<Reference>,
    /// The reference that the expression is, if it is nothing else.
    plain: Option<Reference>,
}

enum Compiled {
    /// Empty until it is needed where the expression is a plain reference, which is read
    /// without it: compiled, it takes as much memory as a hundred of its sources.
    Expression(OnceLock<minijinja::Expression<'static, 'static>>),
    /// An expression with a bound in it. What is compiled from a tree cannot be kept beside
    /// its own source; it is cheap to parse.
    Guarded,
    /// A text; the same holds for it.
    Text,
}

impl fmt::Debug for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Expression({})", self.source)
    }
}

impl Expression {
    /// Compiles what stands between `{{` and `}}`.
    pub(super) fn compile(source: &str) -> Result<Self, TemplateError> {
        let source = source.trim();
        let fault = |error: minijinja::Error| syntax_fault(source, &error);
        let tree = minijinja::machinery::parse_expr(source).map_err(fault)?;
        let (references, plain) = (references::of_expression(&tree), references::plain(&tree));
        let compiled = if plain.is_some() {
            Compiled::Expression(OnceLock::new())
        } else if is_guarded(&tree) {
            Compiled::Guarded
        } else {
            Compiled::Expression(OnceLock::from(compile(source).map_err(fault)?))
        };
        Ok(Self { source: source.into(), compiled, references, plain })
    }

    /// Compiles a text with expressions in it.
    pub(super) fn compile_text(source: &str) -> Result<Self, TemplateError> {
        let fault = |error: minijinja::Error| syntax_fault(source, &error);
        let tree = minijinja::machinery::parse(source, "<text>", syntax()).map_err(fault)?;
        let references = references::of_text(&tree);
        Ok(Self { source: source.into(), compiled: Compiled::Text, references, plain: None })
    }

    /// The names it refers to, each once.
    pub fn references(&self) -> &[Reference] {
        &self.references
    }

    /// The reference that it is, where it is one and nothing else.
    pub fn plain(&self) -> Option<&Reference> {
        self.plain.as_ref()
    }

    /// As it is written.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// The value, with its type.
    pub(super) fn evaluate(&self, scope: &Scope) -> Result<Value, TemplateError> {
        if let Some(value) = self.plain.as_ref().and_then(|plain| read(scope, plain)) {
            return Ok(value);
        }
        self.evaluate_fully(scope)
    }

    /// The value by the way that every expression can go.
    fn evaluate_fully(&self, scope: &Scope) -> Result<Value, TemplateError> {
        walk::begin();
        let context = minijinja::Value::from_object(scope.clone());
        let value = match &self.compiled {
            Compiled::Text => return self.render(scope).map(Value::String),
            Compiled::Guarded => evaluate_guarded(&self.source, context),
            Compiled::Expression(compiled) => match compiled.get() {
                Some(compiled) => compiled.eval(context),
                None => {
                    let late = compile(&self.source).map_err(|e| syntax_fault(&self.source, &e))?;
                    compiled.get_or_init(|| late).eval(context)
                }
            },
        };
        let value = value.map_err(|error| self.fault(scope, &error))?;
        if value.is_undefined() {
            return Err(self.undefined(scope).unwrap_or_else(|| {
                TemplateError::new(format!("`{}` is undefined", shown(&self.source)))
            }));
        }
        to_json(&value)
            .map_err(|why| TemplateError::new(format!("`{}`: {why}", shown(&self.source))))
    }

    /// The text, with the values in their places.
    pub(super) fn render(&self, scope: &Scope) -> Result<String, TemplateError> {
        walk::begin();
        let too_long =
            || TemplateError::new(format!("the text grows beyond {} MiB", LARGEST_TEXT >> 20));
        let context = minijinja::Value::from_object(scope.clone());
        let mut text = String::new();
        let rendered = render_guarded(&self.source, context, &mut text);
        if text.len() > LARGEST_TEXT {
            return Err(too_long());
        }
        rendered.map_err(|error| self.fault(scope, &error))?;
        Ok(text)
    }

    fn fault(&self, scope: &Scope, error: &minijinja::Error) -> TemplateError {
        if error.kind() == minijinja::ErrorKind::UndefinedError
            && let Some(error) = self.undefined(scope)
        {
            return error;
        }
        TemplateError::new(format!("`{}`: {}", shown(&self.source), reason(error)))
    }

    /// Finds the first name that stands for nothing, and what is there instead.
    fn undefined(&self, scope: &Scope) -> Option<TemplateError> {
        self.references.iter().filter(|r| !r.optional).find_map(|r| missing(scope, r))
    }
}

fn compile(source: &str) -> Result<minijinja::Expression<'static, 'static>, minijinja::Error> {
    ENVIRONMENT.compile_expression_owned(source.to_owned())
}

fn is_guarded(tree: &Expr<'_>) -> bool {
    let mut guard = Guard::default();
    guard.expr(tree);
    guard.changed
}

/// Evaluates an expression with the bounds it needs.
fn evaluate_guarded(
    source: &str,
    context: minijinja::Value,
) -> Result<minijinja::Value, minijinja::Error> {
    let tree = Guard::default().expr(&minijinja::machinery::parse_expr(source)?);
    let mut generator = CodeGenerator::new("<expression>", source);
    generator.compile_expr(&tree);
    let mut nothing = String::new();
    run(generator, context, &mut nothing).map(Option::unwrap_or_default)
}

/// Renders a text with the bounds it needs.
fn render_guarded(
    source: &str,
    context: minijinja::Value,
    text: &mut String,
) -> Result<(), minijinja::Error> {
    let tree = minijinja::machinery::parse(source, "<text>", syntax())?;
    let mut generator = CodeGenerator::new("<text>", source);
    generator.compile_stmt(&Guard::default().stmt(&tree));
    run(generator, context, text).map(drop)
}

fn run<'s>(
    generator: CodeGenerator<'s>,
    context: minijinja::Value,
    text: &mut String,
) -> Result<Option<minijinja::Value>, minijinja::Error> {
    let (instructions, blocks) = generator.finish();
    let environment: &Environment<'s> = &ENVIRONMENT;
    let mut output = make_string_output(text);
    let none = AutoEscape::None;
    eval(environment, &instructions, context, &blocks, &mut output, none).map(|(value, _)| value)
}

/// A source as an error shows it: one line, and not all of a long one.
fn shown(source: &str) -> String {
    let one_line = |c: char| if c.is_control() { ' ' } else { c };
    source.chars().take(80).map(one_line).collect()
}

fn syntax_fault(source: &str, error: &minijinja::Error) -> TemplateError {
    TemplateError::new(format!("`{}` is not an expression: {}", shown(source), reason(error)))
}

fn reason(error: &minijinja::Error) -> String {
    if error.kind() == minijinja::ErrorKind::OutOfFuel {
        return format!("it takes more than {FUEL} steps");
    }
    let kind = error.kind().to_string();
    error.detail().map_or(kind, str::to_owned)
}

/// The part of a shared value that a plain reference stands for.
fn read(scope: &Scope, reference: &Reference) -> Option<Value> {
    let (value, rest) = scope.resolve(&reference.root, &reference.segments)?;
    rest.iter().try_fold(value.as_ref(), part).cloned()
}

fn part<'v>(value: &'v Value, segment: &Segment) -> Option<&'v Value> {
    match segment {
        Segment::Key(key) => value.as_object()?.get(key),
        Segment::Index(index) => value.as_array()?.get(usize::try_from(*index).ok()?),
    }
}

fn missing(scope: &Scope, reference: &Reference) -> Option<TemplateError> {
    if !scope.names().contains(&reference.root) {
        let message = format!("there is no `{}`", reference.root);
        return Some(with_hint(message, &reference.root, &scope.names()));
    }
    if reference.root == "steps" {
        let [Segment::Key(id), rest @ ..] = &reference.segments[..] else {
            return None;
        };
        if !scope.has_step(id) {
            return Some(TemplateError::new(format!("`steps.{id}` is not settled here")));
        }
        if let Some(Segment::Key(field)) = rest.first()
            && !StepView::FIELDS.contains(&field.as_str())
        {
            let fields = StepView::FIELDS.map(str::to_owned);
            return Some(with_hint(format!("a step has no `{field}`"), field, &fields));
        }
    }
    let (value, rest) = scope.resolve(&reference.root, &reference.segments)?;
    let mut value = value.as_ref();
    let mut so_far = reference.clone();
    so_far.segments.truncate(reference.segments.len() - rest.len());
    for segment in rest {
        let Some(next) = part(value, segment) else {
            return Some(nothing_there(&so_far, value, segment));
        };
        so_far.segments.push(segment.clone());
        value = next;
    }
    None
}

fn nothing_there(so_far: &Reference, value: &Value, segment: &Segment) -> TemplateError {
    match (value, segment) {
        (Value::Object(map), Segment::Key(key)) => {
            let keys: Vec<String> = map.keys().cloned().collect();
            with_hint(format!("`{so_far}` has no `{key}`"), key, &keys)
        }
        (Value::Array(items), Segment::Index(index)) => {
            TemplateError::new(format!("`{so_far}` has {} items, and no [{index}]", items.len()))
        }
        (_, Segment::Key(key)) => {
            TemplateError::new(format!("`{so_far}` is {}, and has no `{key}`", kind(value)))
        }
        (_, Segment::Index(index)) => {
            TemplateError::new(format!("`{so_far}` is {}, and has no [{index}]", kind(value)))
        }
    }
}

fn with_hint(message: String, wrong: &str, names: &[String]) -> TemplateError {
    let near = crate::language::closest(wrong, names.iter().map(String::as_str));
    let hint = match near {
        Some(near) => Some(format!("did you mean `{near}`?")),
        None if names.is_empty() => None,
        None => Some(format!("there is: {}", names[..names.len().min(12)].join(", "))),
    };
    TemplateError { message, hint }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "text",
        Value::Array(_) => "a list",
        Value::Object(_) => "a map",
    }
}

#[cfg(test)]
mod tests {
    use super::super::Template;
    use super::*;
    use std::sync::Arc;

    use proptest::prelude::*;
    use serde_json::json;

    fn scope() -> Scope {
        Scope::new()
            .with("inputs", Arc::new(json!({"n": 3, "big": u64::MAX, "page": {"text": "hi"}})))
    }

    fn render(text: &str) -> Result<Value, String> {
        let template = Template::compile(text).map_err(|e| e.to_string())?;
        template.render(&scope()).map_err(|e| match e.hint {
            Some(hint) => format!("{}; hint: {hint}", e.message),
            None => e.message,
        })
    }

    #[test]
    fn one_expression_keeps_its_type_and_text_becomes_text() {
        for (text, value) in [
            ("{{ inputs.n }}", json!(3)),
            ("{{ inputs.big }}", json!(u64::MAX)),
            ("{{ inputs.page }}", json!({"text": "hi"})),
            ("{{ inputs.n / 2 }}", json!(1.5)),
            ("{{ [inputs.page, inputs.n + 1] }}", json!([{"text": "hi"}, 4])),
            ("n={{ inputs.n }}", json!("n=3")),
            ("{{ inputs.n }}{{ inputs.n }}", json!("33")),
            ("{{ inputs.page | tojson }}", json!("{\"text\": \"hi\"}")),
            ("plain", json!("plain")),
            ("{{ inputs.none | default('x') }}", json!("x")),
        ] {
            assert_eq!(render(text).unwrap(), value, "{text}");
        }
    }

    #[test]
    fn what_is_not_there_is_named_with_what_is() {
        for (text, error) in [
            ("{{ input.n }}", "there is no `input`; hint: did you mean `inputs`?"),
            ("{{ inputs.page.txet }}", "`inputs.page` has no `txet`; hint: did you mean `text`?"),
            ("{{ inputs.n.x }}", "`inputs.n` is a number, and has no `x`"),
            ("a {{ inputs.nope }}", "`inputs` has no `nope`; hint: there is: n, big, page"),
            ("{{ 1 / 0 }}", "`1 / 0`: unable to calculate 1 / 0"),
        ] {
            assert_eq!(render(text).unwrap_err(), error, "{text}");
        }
    }

    #[test]
    fn what_was_rendered_is_data() {
        let scope = Scope::new().with("inputs", Arc::new(json!({"evil": "{{ inputs.key }}"})));
        let template = Template::compile("{{ inputs.evil }}").unwrap();
        assert_eq!(template.render(&scope).unwrap(), json!("{{ inputs.key }}"));
    }

    #[test]
    fn endless_work_ends() {
        let loops =
            "{% for a in range(99999) %}{% for b in range(99999) %}x{% endfor %}{% endfor %}";
        assert!(render(loops).is_err());
    }

    #[test]
    fn a_value_that_repeats_itself_ends() {
        for (text, source) in [
            ("{{ [0] * 99999999 }}", "[0] * 99999999"),
            ("{{ [[[inputs.page] * 999] * 999] * 999 }}", "[[[inputs.page] * 999] * 999] * 999"),
            ("{{ ['x' * 99999] * 99999 }}", "['x' * 99999] * 99999"),
        ] {
            let message = format!("`{source}`: the value grows beyond 256 MiB");
            assert_eq!(render(text), Err(message), "{text}");
        }
        assert_eq!(render("{{ [inputs.n] * 3 }}"), Ok(json!([3, 3, 3])));
    }

    #[test]
    fn what_goes_through_a_value_that_repeats_itself_ends() {
        for source in [
            "([[0] * 99999] * 99999) | string | length",
            "([[0] * 99999] * 99999) == ([[0] * 99999] * 99999)",
            "[inputs.page] * 99999999 == []",
        ] {
            let message = format!("`{source}`: it goes through more than 10 million values");
            assert_eq!(render(&format!("{{{{ {source} }}}}")), Err(message), "{source}");
        }
        for (text, value) in [
            ("{{ ([[0] * 2] * 2) | string }}", json!("[[0, 0], [0, 0]]")),
            ("{{ inputs.page == {'text': 'hi'} }}", json!(true)),
            ("{{ 'h' in inputs.page.text and inputs.n in [1, 3] }}", json!(true)),
            ("{{ inputs.page ~ inputs.n }}", json!("{'text': 'hi'}3")),
            ("{{ 1 < inputs.n < 4 }}", json!(true)),
            ("{{ [3, 1] | select('gt', inputs.n - 1) | list }}", json!([3])),
            ("{% set a = [inputs.n] * 2 %}{{ a | join('-') }}", json!("3-3")),
        ] {
            assert_eq!(render(text), Ok(value), "{text}");
        }
    }

    #[test]
    fn values_that_share_their_parts_do_not_multiply() {
        let mut text = "{% set a = [0, 0] %}".to_owned();
        for _ in 0..60 {
            text.push_str("{% set a = [a, a] %}");
        }
        let error = render(&format!("{text}{{{{ a }}}}")).unwrap_err();
        let message = "it goes through more than 10 million values";
        assert!(error.ends_with(message), "{error}");
        // A loop does not begin to count anew.
        let each = "{% for a in range(9999) %}{{ inputs.a == inputs.b }}{% endfor %}";
        let lists = json!({"a": [vec![0; 9999]], "b": [vec![0; 9999]]});
        let scope = Scope::new().with("inputs", Arc::new(lists));
        let error = Template::compile(each).unwrap().render(&scope).unwrap_err();
        assert_eq!(error.message, format!("`{each}`: {message}"));
    }

    #[test]
    fn a_value_that_is_too_deep_is_refused() {
        let message = "a value has more than 120 lists and maps within each other";
        let source = format!("[0]{}", " | batch(1)".repeat(121));
        let shown: String = source.chars().take(80).collect();
        assert_eq!(render(&format!("{{{{ {source} }}}}")), Err(format!("`{shown}`: {message}")));
        let sets = "{% set a = [a] %}".repeat(200);
        let text = format!("{{% set a = 0 %}}{sets}{{{{ a }}}}");
        let error = render(&text).unwrap_err();
        assert!(error.ends_with(message), "{error}");
        // What came as JSON counts where it is put into something else.
        let mut deep = json!(0);
        for _ in 0..119 {
            deep = json!([deep]);
        }
        let scope = Scope::new().with("inputs", Arc::new(json!({"deep": deep})));
        let render = |text| Template::compile(text).unwrap().render(&scope);
        assert!(render("{{ [inputs.deep] }}").is_ok());
        assert!(render("{{ inputs.deep }}").is_ok());
        let error = render("{{ [[[inputs.deep]]] }}").unwrap_err().message;
        assert_eq!(error, format!("`[[[inputs.deep]]]`: {message}"));
    }

    #[test]
    fn the_limits_of_a_template_are_named() {
        for (text, error) in [
            ("{{ range(99999999999) }}", "`range(99999999999)`: range has too many elements"),
            ("{{ 'x' * 99999999999 }}", "`'x' * 99999999999`: it takes more than 2000000 steps"),
            ("{{ [0] * 99999999999 }}", "`[0] * 99999999999`: repeated sequence is too large"),
            (
                "{{ range(99999) | join('x' * 99999) }}",
                "`range(99999) | join('x' * 99999)`: it takes more than 2000000 steps",
            ),
            ("a{{ 'x' * 20000000 }}", "the text grows beyond 16 MiB"),
            ("{{ namespace(a=1) }}", "`namespace(a=1)`: namespace is unknown"),
        ] {
            assert_eq!(render(text).unwrap_err(), error, "{text}");
        }
    }

    #[test]
    fn an_error_shows_its_expression_in_one_line() {
        assert_eq!(
            render("{{ inputs.n\n  + [1] }}").unwrap_err(),
            "`inputs.n   + [1]`: tried to use + operator on unsupported types number and sequence"
        );
    }

    proptest! {
        #[test]
        fn both_ways_to_a_plain_reference_agree(keys in prop::collection::vec("[a-z]{1,4}", 1..4), leaf in any::<i64>()) {
            let mut value = json!(leaf);
            for key in keys.iter().rev() {
                value = json!({ key: value });
            }
            let scope = Scope::new().with("inputs", Arc::new(value));
            let text = format!("inputs.{}", keys.join("."));
            let expression = Expression::compile(&text).unwrap();
            prop_assert_eq!(expression.evaluate(&scope), expression.evaluate_fully(&scope));
            prop_assert_eq!(expression.evaluate(&scope).unwrap(), json!(leaf));
        }

        #[test]
        fn text_without_braces_is_itself(text in "[^{}]{0,40}") {
            prop_assert_eq!(render(&text).unwrap(), json!(text));
        }

        #[test]
        fn no_text_makes_it_panic(text in ".{0,60}") {
            let _ = render(&format!("{{{{ {text} }}}}"));
            let _ = render(&format!("a {{{{ {text}"));
        }
    }
}
