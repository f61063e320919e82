//! Puts a bound before each operation that goes through a whole value.
//!
//! Fuel pays for instructions, and for the items of the outermost list. Values share their
//! parts, so that few instructions make one that is larger than any machine: each `* 1000` of
//! `[[[0] * 1000] * 1000] * 1000` is cheap, and to compare it, to write it as text or to sort
//! by it takes a thousand million steps. The tree of an expression is therefore rewritten
//! before it is compiled:
//!
//! ```text
//!     a == b             (a | bounded-walk) == (b | bounded-walk)
//!     a | string         a | bounded-walk | string
//!     {% set a = … %}    {% set a = … | bounded-walk %}
//! ```
//!
//! The filter ([`super::walk`]) yields what it is given, or an error. It is left out where the
//! operation looks at one level only, and where what it looks at is a literal, so that most
//! expressions are compiled as they are written.

use minijinja::machinery::ast::{
    AutoEscape, BinOp, BinOpKind, Call, CallArg, Compare, CompareOp, CompareOpKind, Const, Do,
    EmitExpr, EmitRaw, Expr, Filter, FilterBlock, ForLoop, GetAttr, GetItem, IfCond, IfExpr, List,
    Map, Set, SetBlock, Slice, Spanned, Stmt, Template, Test, Tuple, UnaryOp, UnaryOpKind, Var,
    WithBlock,
};
use minijinja::value::ValueKind;

/// The name of the filter; nobody can write it into an expression.
pub(super) const WALK: &str = "bounded-walk";

/// Filters that look at one level of what they are given, and pay fuel for it.
const SHALLOW: [&str; 18] = [
    "abs", "batch", "bool", "chain", "count", "d", "default", "first", "float", "int", "items",
    "last", "length", "list", "reverse", "round", "slice", "zip",
];

/// Tests that look at the kind of a value, or at a number.
const SHALLOW_TESTS: [&str; 18] = [
    "boolean",
    "defined",
    "divisibleby",
    "even",
    "false",
    "filter",
    "float",
    "int",
    "integer",
    "iterable",
    "mapping",
    "none",
    "number",
    "odd",
    "sequence",
    "string",
    "test",
    "undefined",
];

/// Tests that compare two values: with a literal that is one look.
const COMPARISONS: [&str; 17] = [
    "!=",
    "<",
    "<=",
    "==",
    ">",
    ">=",
    "eq",
    "equalto",
    "ge",
    "greaterthan",
    "gt",
    "le",
    "lessthan",
    "lt",
    "ne",
    "sameas",
    "true",
];

/// Rewrites trees, and knows whether there was anything to bound.
#[derive(Default)]
pub(super) struct Guard {
    /// Whether the tree differs from the one that was given.
    pub(super) changed: bool,
}

impl Guard {
    pub(super) fn expr<'a>(&mut self, expr: &Expr<'a>) -> Expr<'a> {
        match expr {
            Expr::Var(var) => Expr::Var(Spanned::new(Var { id: var.id }, var.span())),
            Expr::Const(literal) => {
                Expr::Const(Spanned::new(Const { value: literal.value.clone() }, literal.span()))
            }
            Expr::Slice(slice) => {
                let (start, stop) =
                    (self.maybe(slice.start.as_ref()), self.maybe(slice.stop.as_ref()));
                let (expr, step) = (self.expr(&slice.expr), self.maybe(slice.step.as_ref()));
                Expr::Slice(Spanned::new(Slice { expr, start, stop, step }, slice.span()))
            }
            Expr::UnaryOp(unary) => {
                #[expect(clippy::needless_match, reason = "it is neither `Copy` nor `Clone`")]
                let op = match unary.op {
                    UnaryOpKind::Not => UnaryOpKind::Not,
                    UnaryOpKind::Neg => UnaryOpKind::Neg,
                };
                let expr = self.expr(&unary.expr);
                Expr::UnaryOp(Spanned::new(UnaryOp { op, expr }, unary.span()))
            }
            Expr::BinOp(binary) => self.binary(binary),
            Expr::Compare(compare) => self.compare(compare),
            Expr::IfExpr(branch) => {
                let test_expr = self.expr(&branch.test_expr);
                let true_expr = self.expr(&branch.true_expr);
                let false_expr = self.maybe(branch.false_expr.as_ref());
                let branch_again = IfExpr { test_expr, true_expr, false_expr };
                Expr::IfExpr(Spanned::new(branch_again, branch.span()))
            }
            Expr::Filter(filter) => self.filter(filter),
            Expr::Test(test) => self.test(test),
            Expr::GetAttr(get) => {
                let expr = self.expr(&get.expr);
                Expr::GetAttr(Spanned::new(GetAttr { expr, name: get.name }, get.span()))
            }
            Expr::GetItem(get) => {
                let expr = self.expr(&get.expr);
                let subscript_expr = self.walked(&get.subscript_expr);
                Expr::GetItem(Spanned::new(GetItem { expr, subscript_expr }, get.span()))
            }
            Expr::Call(call) => Expr::Call(self.call(call)),
            Expr::List(list) => {
                Expr::List(Spanned::new(List { items: self.exprs(&list.items) }, list.span()))
            }
            Expr::Tuple(tuple) => {
                Expr::Tuple(Spanned::new(Tuple { items: self.exprs(&tuple.items) }, tuple.span()))
            }
            Expr::Map(map) => {
                let keys = map.keys.iter().map(|key| self.walked(key)).collect();
                let values = self.exprs(&map.values);
                Expr::Map(Spanned::new(Map { keys, values }, map.span()))
            }
        }
    }

    /// The expression with the bound behind it, where its value may be more than one thing.
    fn walked<'a>(&mut self, expr: &Expr<'a>) -> Expr<'a> {
        let span = expr.span();
        let again = self.expr(expr);
        if is_scalar(expr) {
            return again;
        }
        self.changed = true;
        Expr::Filter(Spanned::new(Filter { name: WALK, expr: Some(again), args: Vec::new() }, span))
    }

    fn walked_if<'a>(&mut self, walk: bool, expr: &Expr<'a>) -> Expr<'a> {
        if walk { self.walked(expr) } else { self.expr(expr) }
    }

    fn exprs<'a>(&mut self, exprs: &[Expr<'a>]) -> Vec<Expr<'a>> {
        exprs.iter().map(|expr| self.expr(expr)).collect()
    }

    fn maybe<'a>(&mut self, expr: Option<&Expr<'a>>) -> Option<Expr<'a>> {
        expr.map(|expr| self.expr(expr))
    }

    fn binary<'a>(&mut self, binary: &Spanned<BinOp<'a>>) -> Expr<'a> {
        let (op, left, right) = (binary.op, &binary.left, &binary.right);
        let walk = match op {
            BinOpKind::Eq
            | BinOpKind::Ne
            | BinOpKind::Lt
            | BinOpKind::Lte
            | BinOpKind::Gt
            | BinOpKind::Gte => !is_scalar(left) && !is_scalar(right),
            BinOpKind::In => !is_plain_list(right),
            BinOpKind::Concat => true,
            // These share what they are given, or take numbers alone.
            BinOpKind::ScAnd
            | BinOpKind::ScOr
            | BinOpKind::Add
            | BinOpKind::Sub
            | BinOpKind::Mul
            | BinOpKind::Div
            | BinOpKind::FloorDiv
            | BinOpKind::Rem
            | BinOpKind::Pow => false,
        };
        let (left, right) = (self.walked_if(walk, left), self.walked_if(walk, right));
        Expr::BinOp(Spanned::new(BinOp { op, left, right }, binary.span()))
    }

    fn compare<'a>(&mut self, compare: &Spanned<Compare<'a>>) -> Expr<'a> {
        let walk = match compare.ops.as_slice() {
            [CompareOp { op: CompareOpKind::In | CompareOpKind::NotIn, expr }] => {
                !is_plain_list(expr)
            }
            [one] => !is_scalar(&compare.expr) && !is_scalar(&one.expr),
            _ => true,
        };
        let expr = self.walked_if(walk, &compare.expr);
        let again =
            |op: &CompareOp<'a>| CompareOp { op: op.op, expr: self.walked_if(walk, &op.expr) };
        let ops = compare.ops.iter().map(again).collect();
        Expr::Compare(Spanned::new(Compare { expr, ops }, compare.span()))
    }

    fn filter<'a>(&mut self, filter: &Spanned<Filter<'a>>) -> Expr<'a> {
        let walk = match filter.name {
            "map" => !maps_shallow(&filter.args),
            "select" | "reject" => !tests_shallow(&filter.args),
            "selectattr" | "rejectattr" => !tests_shallow(filter.args.get(1..).unwrap_or_default()),
            name => !SHALLOW.contains(&name),
        };
        let expr = filter.expr.as_ref().map(|expr| self.walked_if(walk, expr));
        let args = self.args(walk, &filter.args);
        Expr::Filter(Spanned::new(Filter { name: filter.name, expr, args }, filter.span()))
    }

    fn test<'a>(&mut self, test: &Spanned<Test<'a>>) -> Expr<'a> {
        let walk = !is_shallow_test(test.name, &test.args);
        let (expr, args) = (self.walked_if(walk, &test.expr), self.args(walk, &test.args));
        Expr::Test(Spanned::new(Test { name: test.name, expr, args }, test.span()))
    }

    fn call<'a>(&mut self, call: &Spanned<Call<'a>>) -> Spanned<Call<'a>> {
        let (expr, args) = (self.expr(&call.expr), self.args(true, &call.args));
        Spanned::new(Call { expr, args }, call.span())
    }

    fn args<'a>(&mut self, walk: bool, args: &[CallArg<'a>]) -> Vec<CallArg<'a>> {
        let again = |arg: &CallArg<'a>| match arg {
            CallArg::Pos(expr) => CallArg::Pos(self.walked_if(walk, expr)),
            CallArg::Kwarg(name, expr) => CallArg::Kwarg(name, self.walked_if(walk, expr)),
            CallArg::PosSplat(expr) => CallArg::PosSplat(self.walked_if(walk, expr)),
            CallArg::KwargSplat(expr) => CallArg::KwargSplat(self.walked_if(walk, expr)),
        };
        args.iter().map(again).collect()
    }

    /// What is kept under a name, or put into a text: a path leads to what is bounded already.
    fn kept<'a>(&mut self, expr: &Expr<'a>) -> Expr<'a> {
        self.walked_if(!is_path(expr), expr)
    }

    fn stmts<'a>(&mut self, stmts: &[Stmt<'a>]) -> Vec<Stmt<'a>> {
        stmts.iter().map(|stmt| self.stmt(stmt)).collect()
    }

    pub(super) fn stmt<'a>(&mut self, stmt: &Stmt<'a>) -> Stmt<'a> {
        match stmt {
            Stmt::Template(template) => {
                let children = self.stmts(&template.children);
                Stmt::Template(Spanned::new(Template { children }, template.span()))
            }
            Stmt::EmitExpr(emit) => {
                let expr = self.kept(&emit.expr);
                Stmt::EmitExpr(Spanned::new(EmitExpr { expr }, emit.span()))
            }
            Stmt::EmitRaw(emit) => {
                Stmt::EmitRaw(Spanned::new(EmitRaw { raw: emit.raw }, emit.span()))
            }
            Stmt::ForLoop(each) => self.for_loop(each),
            Stmt::IfCond(branch) => {
                let expr = self.expr(&branch.expr);
                let true_body = self.stmts(&branch.true_body);
                let false_body = self.stmts(&branch.false_body);
                let again = IfCond { expr, true_body, false_body };
                Stmt::IfCond(Spanned::new(again, branch.span()))
            }
            Stmt::WithBlock(with) => {
                let pairs = with.assignments.iter();
                let assignments =
                    pairs.map(|(name, value)| (self.expr(name), self.kept(value))).collect();
                let body = self.stmts(&with.body);
                Stmt::WithBlock(Spanned::new(WithBlock { assignments, body }, with.span()))
            }
            Stmt::Set(set) => {
                let (target, expr) = (self.expr(&set.target), self.kept(&set.expr));
                Stmt::Set(Spanned::new(Set { target, expr }, set.span()))
            }
            Stmt::SetBlock(set) => {
                let (target, filter) = (self.expr(&set.target), self.maybe(set.filter.as_ref()));
                let body = self.stmts(&set.body);
                Stmt::SetBlock(Spanned::new(SetBlock { target, filter, body }, set.span()))
            }
            Stmt::AutoEscape(escape) => {
                let (enabled, body) = (self.expr(&escape.enabled), self.stmts(&escape.body));
                Stmt::AutoEscape(Spanned::new(AutoEscape { enabled, body }, escape.span()))
            }
            Stmt::FilterBlock(block) => {
                let (filter, body) = (self.expr(&block.filter), self.stmts(&block.body));
                let again = FilterBlock { filter, filter_span: block.filter_span, body };
                Stmt::FilterBlock(Spanned::new(again, block.span()))
            }
            Stmt::Do(doing) => {
                let call = self.call(&doing.call);
                Stmt::Do(Spanned::new(Do { call }, doing.span()))
            }
        }
    }

    fn for_loop<'a>(&mut self, each: &Spanned<ForLoop<'a>>) -> Stmt<'a> {
        let again = ForLoop {
            target: self.expr(&each.target),
            iter: self.expr(&each.iter),
            filter_expr: self.maybe(each.filter_expr.as_ref()),
            recursive: each.recursive,
            body: self.stmts(&each.body),
            else_body: self.stmts(&each.else_body),
        };
        Stmt::ForLoop(Spanned::new(again, each.span()))
    }
}

/// Whether it is a literal of one part.
fn is_scalar(expr: &Expr<'_>) -> bool {
    let Expr::Const(literal) = expr else { return false };
    !matches!(literal.value.kind(), ValueKind::Seq | ValueKind::Iterable | ValueKind::Map)
}

/// Whether it is a list of such literals, written out.
fn is_plain_list(expr: &Expr<'_>) -> bool {
    match expr {
        Expr::List(list) => list.items.iter().all(is_scalar),
        Expr::Tuple(tuple) => tuple.items.iter().all(is_scalar),
        _ => false,
    }
}

/// Whether it is a name with parts that are read from it.
fn is_path(expr: &Expr<'_>) -> bool {
    match expr {
        Expr::Var(_) | Expr::Const(_) => true,
        Expr::GetAttr(get) => is_path(&get.expr),
        Expr::GetItem(get) => is_path(&get.expr) && is_path(&get.subscript_expr),
        _ => false,
    }
}

fn text<'e>(arg: Option<&'e CallArg<'_>>) -> Option<&'e str> {
    match arg {
        Some(CallArg::Pos(Expr::Const(literal))) => literal.value.as_str(),
        _ => None,
    }
}

/// Whether `map` reads an attribute, or applies a filter that looks at one level.
fn maps_shallow(args: &[CallArg<'_>]) -> bool {
    match args {
        [CallArg::Kwarg("attribute", attribute)] => is_scalar(attribute),
        [name] => text(Some(name)).is_some_and(|name| SHALLOW.contains(&name)),
        _ => false,
    }
}

/// Whether what `select` or `reject` is given is a test that looks at one level.
fn tests_shallow(args: &[CallArg<'_>]) -> bool {
    args.is_empty() || text(args.first()).is_some_and(|name| is_shallow_test(name, &args[1..]))
}

fn is_shallow_test(name: &str, args: &[CallArg<'_>]) -> bool {
    let literals = || args.iter().all(|arg| matches!(arg, CallArg::Pos(expr) if is_scalar(expr)));
    match (name, args) {
        ("in", [CallArg::Pos(list)]) => is_plain_list(list),
        _ => SHALLOW_TESTS.contains(&name) || (COMPARISONS.contains(&name) && literals()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use minijinja::machinery::parse_expr;

    fn is_guarded(source: &str) -> bool {
        let mut guard = Guard::default();
        guard.expr(&parse_expr(source).unwrap());
        guard.changed
    }

    #[test]
    fn what_goes_through_a_whole_value_is_bounded() {
        for source in [
            "a == b",
            "a != [[1]]",
            "a < b < 1",
            "a in b",
            "a in [[1]]",
            "a not in b",
            "a ~ 'x'",
            "a | string",
            "a | join('-')",
            "a | map('string')",
            "a | map('default', b) | list",
            "a | map(attribute=b)",
            "a | select('eq', b)",
            "a | select(b)",
            "a | selectattr('x', 'in', b)",
            "a is eq(b)",
            "a is in(b)",
            "'%s' | format(a)",
            "{a: 1}",
            "{'x': 1}[a]",
            "dict(x=a)",
            "[1, (a ~ b) if c else d]",
            "(a | upper)[:2].x",
        ] {
            assert!(is_guarded(source), "{source}");
        }
    }

    #[test]
    fn what_looks_at_one_level_is_compiled_as_it_is_written() {
        for source in [
            "a.b[0] + 1",
            "a == 'x' and b.c > 0.5",
            "a in ['x', 'y']",
            "a not in ('x', 'y')",
            "[a] * 3",
            "a | length",
            "a | map(attribute='x') | list",
            "a | map('length') | list",
            "a | selectattr('kind', 'eq', 'x') | first",
            "a | selectattr('kind', 'in', ['x', 'y']) | first",
            "a | rejectattr('kind') | default([])",
            "a is defined and a is eq(3)",
            "{'x': a, 'y': [b, -c]}",
            "a[1:] if b else range(3)",
        ] {
            assert!(!is_guarded(source), "{source}");
        }
    }
}
