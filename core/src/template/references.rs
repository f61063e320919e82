//! What an expression refers to, read from its syntax tree.
//!
//! `steps.pages.output.pages[0].text` is one reference with the root `steps` and a segment
//! for each further part. Where a part is computed the reference ends. Names that the
//! expression binds itself (`{% for %}`, `{% set %}`) are not references.

use std::collections::HashSet;
use std::fmt;

use minijinja::machinery::ast::{CallArg, Expr, Spanned, Stmt};
use minijinja::value::ValueKind;

use super::environment::is_global;

/// A name with the parts that are read from it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Reference {
    /// The first name, e.g. `steps`.
    pub root: String,
    /// The parts behind it.
    pub segments: Vec<Segment>,
    /// Whether the expression stands in its absence: under `default` or `is defined`.
    pub optional: bool,
}

/// A part of a reference.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Segment {
    /// `.name` or `['name']`.
    Key(String),
    /// `[3]`.
    Index(i64),
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.root)?;
        for segment in &self.segments {
            match segment {
                Segment::Key(key) => write!(f, ".{key}")?,
                Segment::Index(index) => write!(f, "[{index}]")?,
            }
        }
        Ok(())
    }
}

/// Collects the references of an expression.
pub(super) fn of_expression(expression: &Expr<'_>) -> Vec<Reference> {
    let mut walk = Walk::default();
    walk.expr(expression, false);
    walk.found
}

/// Collects the references of a text with expressions in it.
pub(super) fn of_text(text: &Stmt<'_>) -> Vec<Reference> {
    let mut walk = Walk::default();
    walk.stmt(text);
    walk.found
}

/// The reference that an expression is, if it is nothing else.
pub(super) fn plain(expression: &Expr<'_>) -> Option<Reference> {
    let mut segments = Vec::new();
    let root = path(expression, &mut segments)?;
    Some(Reference { root: root.into(), segments, optional: false })
}

/// Reads a path of constant parts; its root, if it has one.
fn path<'a>(expression: &Expr<'a>, segments: &mut Vec<Segment>) -> Option<&'a str> {
    match expression {
        Expr::Var(var) => Some(var.id),
        Expr::GetAttr(get) => {
            let root = path(&get.expr, segments)?;
            segments.push(Segment::Key(get.name.into()));
            Some(root)
        }
        Expr::GetItem(get) => {
            let root = path(&get.expr, segments)?;
            segments.push(constant(&get.subscript_expr)?);
            Some(root)
        }
        _ => None,
    }
}

fn constant(expression: &Expr<'_>) -> Option<Segment> {
    let Expr::Const(constant) = expression else {
        return None;
    };
    match constant.value.kind() {
        ValueKind::String => constant.value.as_str().map(|key| Segment::Key(key.into())),
        ValueKind::Number => constant.value.as_i64().map(Segment::Index),
        _ => None,
    }
}

#[derive(Default)]
struct Walk {
    found: Vec<Reference>,
    seen: HashSet<Reference>,
    /// Names bound by the template itself, innermost last.
    bound: Vec<String>,
}

impl Walk {
    fn reference(&mut self, root: &str, segments: Vec<Segment>, optional: bool) {
        if self.bound.iter().any(|name| name == root) || is_global(root) {
            return;
        }
        let reference = Reference { root: root.into(), segments, optional };
        if self.seen.insert(reference.clone()) {
            self.found.push(reference);
        }
    }

    fn expr(&mut self, expression: &Expr<'_>, optional: bool) {
        let mut segments = Vec::new();
        if let Some(root) = path(expression, &mut segments) {
            self.reference(root, segments, optional);
            return;
        }
        match expression {
            Expr::Var(_) | Expr::Const(_) => {}
            Expr::GetAttr(get) => self.expr(&get.expr, optional),
            Expr::GetItem(get) => {
                self.expr(&get.expr, optional);
                self.expr(&get.subscript_expr, false);
            }
            Expr::Slice(slice) => {
                self.expr(&slice.expr, optional);
                let parts = [&slice.start, &slice.stop, &slice.step];
                parts.into_iter().flatten().for_each(|part| self.expr(part, false));
            }
            Expr::UnaryOp(op) => self.expr(&op.expr, false),
            Expr::BinOp(op) => {
                self.expr(&op.left, false);
                self.expr(&op.right, false);
            }
            Expr::Compare(compare) => {
                self.expr(&compare.expr, false);
                compare.ops.iter().for_each(|op| self.expr(&op.expr, false));
            }
            Expr::IfExpr(branch) => {
                self.expr(&branch.test_expr, false);
                self.expr(&branch.true_expr, false);
                branch.false_expr.iter().for_each(|expr| self.expr(expr, false));
            }
            Expr::Filter(filter) => {
                let optional = matches!(filter.name, "default" | "d");
                filter.expr.iter().for_each(|expr| self.expr(expr, optional));
                self.args(&filter.args);
            }
            Expr::Test(test) => {
                let optional = matches!(test.name, "defined" | "undefined");
                self.expr(&test.expr, optional);
                self.args(&test.args);
            }
            Expr::Call(call) => {
                self.expr(&call.expr, false);
                self.args(&call.args);
            }
            Expr::List(list) => list.items.iter().for_each(|item| self.expr(item, false)),
            Expr::Tuple(tuple) => tuple.items.iter().for_each(|item| self.expr(item, false)),
            Expr::Map(map) => {
                map.keys.iter().chain(&map.values).for_each(|expr| self.expr(expr, false));
            }
        }
    }

    fn args(&mut self, args: &[CallArg<'_>]) {
        for arg in args {
            match arg {
                CallArg::Pos(expr)
                | CallArg::Kwarg(_, expr)
                | CallArg::PosSplat(expr)
                | CallArg::KwargSplat(expr) => self.expr(expr, false),
            }
        }
    }

    fn stmts(&mut self, stmts: &[Stmt<'_>]) {
        for stmt in stmts {
            self.stmt(stmt);
        }
    }

    /// Walks statements whose bindings end with them.
    fn scoped(&mut self, targets: &[&Expr<'_>], body: &[Stmt<'_>]) {
        let outer = self.bound.len();
        for target in targets {
            self.bind(target);
        }
        self.stmts(body);
        self.bound.truncate(outer);
    }

    fn bind(&mut self, target: &Expr<'_>) {
        match target {
            Expr::Var(var) => self.bound.push(var.id.into()),
            Expr::List(list) => list.items.iter().for_each(|item| self.bind(item)),
            Expr::Tuple(tuple) => tuple.items.iter().for_each(|item| self.bind(item)),
            // Setting an attribute of a namespace binds nothing.
            _ => {}
        }
    }

    fn stmt(&mut self, stmt: &Stmt<'_>) {
        match stmt {
            Stmt::Template(template) => self.stmts(&template.children),
            Stmt::EmitExpr(emit) => self.expr(&emit.expr, false),
            Stmt::EmitRaw(_) => {}
            Stmt::ForLoop(each) => {
                self.expr(&each.iter, false);
                self.for_loop(each);
            }
            Stmt::IfCond(branch) => {
                self.expr(&branch.expr, false);
                self.stmts(&branch.true_body);
                self.stmts(&branch.false_body);
            }
            Stmt::WithBlock(with) => {
                with.assignments.iter().for_each(|(_, value)| self.expr(value, false));
                let targets: Vec<_> = with.assignments.iter().map(|(target, _)| target).collect();
                self.scoped(&targets, &with.body);
            }
            Stmt::Set(set) => {
                self.expr(&set.expr, false);
                self.bind(&set.target);
            }
            Stmt::SetBlock(set) => {
                set.filter.iter().for_each(|filter| self.expr(filter, false));
                self.stmts(&set.body);
                self.bind(&set.target);
            }
            Stmt::AutoEscape(escape) => self.stmts(&escape.body),
            Stmt::FilterBlock(block) => {
                self.expr(&block.filter, false);
                self.stmts(&block.body);
            }
            Stmt::Do(call) => {
                self.expr(&call.call.expr, false);
                self.args(&call.call.args);
            }
        }
    }

    fn for_loop(&mut self, each: &Spanned<minijinja::machinery::ast::ForLoop<'_>>) {
        let outer = self.bound.len();
        self.bind(&each.target);
        self.bound.push("loop".into());
        each.filter_expr.iter().for_each(|filter| self.expr(filter, false));
        self.stmts(&each.body);
        self.bound.truncate(outer);
        self.stmts(&each.else_body);
    }
}
