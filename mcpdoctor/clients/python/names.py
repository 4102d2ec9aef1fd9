"""Who is meant by a name: scopes, what binds names in them, and where calls are.

One pass over the tree, without recursion. Nothing is evaluated here.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from enum import Enum

_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
_COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
Function = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda

_CHANGES = frozenset(
    {"append", "clear", "extend", "insert", "pop", "popitem", "remove", "reverse", "setdefault", "sort", "update"}
)
"""Methods after which a list or a dict is not what its literal says."""

_DEEPEST = 20
"""How many names a name may stand for in a row; programs of people need three."""


class How(Enum):
    """What bound a name."""

    IMPORT = "import"
    VALUE = "value"
    PARAMETER = "parameter"
    FUNCTION = "function"
    CLASS = "class"
    OTHER = "other"  # a loop, a with, an unpacking, +=, del: what it is then is not read off


@dataclass(frozen=True, slots=True)
class Binding:
    """One way a name gets what it stands for.

    Attributes:
        node: the expression of a value, the default of a parameter, the definition of a function or class.
        target: what is imported; begins with a dot where it is relative.
        fallback: whether it stands in an `except`: it holds only where something else failed.
    """

    how: How
    scope: Scope
    node: ast.AST | None = None
    target: str = ""
    fallback: bool = False


@dataclass(eq=False, slots=True)
class Scope:
    """A module, a class body, or the body of a function (lambdas and comprehensions too).

    Attributes:
        returns: what a function returns; empty where it returns nothing.
        generates: whether it is a generator: then what it returns is not what a call gives.
        stars: modules that `from … import *` names.
    """

    node: ast.AST
    parent: Scope | None = None
    bindings: dict[str, list[Binding]] = field(default_factory=dict)
    elsewhere: dict[str, Scope] = field(default_factory=dict)
    returns: list[ast.expr | None] = field(default_factory=list)
    generates: bool = False
    stars: list[str] = field(default_factory=list)

    @property
    def is_class(self) -> bool:
        """Whether it is the body of a class, whose names its functions do not see."""
        return isinstance(self.node, ast.ClassDef)

    def find(self, name: str) -> list[Binding]:
        """What binds `name` as this scope sees it; empty for a builtin or an unknown name."""
        scope: Scope | None = self
        while scope is not None:
            if name in scope.elsewhere:
                return scope.elsewhere[name].bindings.get(name, _NOTHING)
            if name in scope.bindings and (scope is self or not scope.is_class):
                return scope.bindings[name]
            scope = scope.parent
        return _NOTHING


_NOTHING: list[Binding] = []  # always the same, since lists of bindings are told apart by their identity


@dataclass(eq=False, slots=True)
class Program:
    """What one pass over a tree finds.

    Attributes:
        calls: every call with the scope it stands in.
        scopes: by the id of the node that opens it: function, lambda, class.
        attributes: names that are assigned as attributes, with what they are assigned; on whatever object.
        changed: bindings of the containers that the program alters after their literal: ids of the lists of bindings.
    """

    module: Scope
    calls: list[tuple[ast.Call, Scope]] = field(default_factory=list)
    scopes: dict[int, Scope] = field(default_factory=dict)
    attributes: dict[str, list[tuple[ast.Attribute, ast.expr | None, Scope]]] = field(default_factory=dict)
    changed: set[int] = field(default_factory=set)

    def one(self, name: str, scope: Scope) -> Binding | None:
        """The only thing that `name` can stand for in `scope`; None where it is bound twice, or not at all."""
        found = scope.find(name)
        if len(found) == 1 and found[0].how is not How.OTHER:
            return found[0]
        return None

    def is_changed(self, name: str, scope: Scope) -> bool:
        """Whether a container of that name is altered anywhere."""
        return id(scope.find(name)) in self.changed

    def qualified(self, node: ast.expr, scope: Scope) -> tuple[str, ...]:
        """Absolute names that an expression may stand for by its imports: `mcp.client.sse.sse_client`.

        More than one where an import is tried and another one stands in for it; none where something that is no import
        may be meant. Builtins have their own name.
        """
        suffix: list[str] = []
        for _ in range(_DEEPEST):
            while isinstance(node, ast.Attribute):
                suffix.append(node.attr)
                node = node.value
            if not isinstance(node, ast.Name):
                return ()
            found = scope.find(node.id)
            end = ".".join(reversed(suffix))
            if not found:
                return tuple(_join(name, end) for name in (*(f"{star}.{node.id}" for star in _stars(scope)), node.id))
            imports = [one for one in found if one.how is How.IMPORT]
            if imports:
                others = [
                    one for one in found if one.how is not How.IMPORT and not (one.fallback and _is_none(one.node))
                ]
                return () if others else tuple(dict.fromkeys(_join(one.target, end) for one in imports))
            binding = self.one(node.id, scope)
            if binding is None or binding.how is not How.VALUE or not isinstance(binding.node, ast.expr):
                return ()
            node, scope = binding.node, binding.scope
        return ()


def read(trees: Iterable[ast.Module]) -> Program:
    """Go through the trees of one module; the cells of a notebook are several."""
    module = Scope(ast.Module(body=[], type_ignores=[]))
    program = Program(module)
    # The last element is read next; the children of a node go in reversed, so that it is the order of the text.
    pending: list[tuple[ast.AST, Scope, bool]] = [
        (statement, module, False) for tree in reversed(list(trees)) for statement in reversed(tree.body)
    ]
    reader = _Reader(program)
    while pending:
        reader.visit(*pending.pop(), pending)
    for name, scope in reader.altered:  # known only now: a name may be bound after its use
        program.changed.add(id(scope.find(name)))
    program.changed.discard(id(_NOTHING))
    return program


class _Reader:
    """Reads one node after another: what it binds, and what is to be read next in which scope."""

    def __init__(self, program: Program) -> None:
        self._program = program
        self._scope = program.module
        self._fallback = False
        self.altered: list[tuple[str, Scope]] = []

    def visit(self, node: ast.AST, scope: Scope, fallback: bool, pending: list[tuple[ast.AST, Scope, bool]]) -> None:
        self._scope, self._fallback = scope, fallback
        if isinstance(node, _FUNCTIONS):
            children = self._function(node)
        elif isinstance(node, ast.ClassDef):
            children = self._class(node)
        elif isinstance(node, _COMPREHENSIONS):
            own = Scope(node, scope)
            children = [(child, own) for child in ast.iter_child_nodes(node)]
        else:
            self._statement(node)
            children = [(child, scope) for child in ast.iter_child_nodes(node)]
        fallback = self._fallback or isinstance(node, ast.ExceptHandler)
        pending.extend((child, inner, fallback) for child, inner in reversed(children))

    def _bind(self, name: str, how: How, node: ast.AST | None = None, target: str = "") -> None:
        scope = self._scope.elsewhere.get(name, self._scope)
        binding = Binding(how, self._scope, node, target, self._fallback)
        scope.bindings.setdefault(name, []).append(binding)

    def _function(self, node: Function) -> list[tuple[ast.AST, Scope]]:
        if not isinstance(node, ast.Lambda):
            # What a decorator makes of it is not known, but that of a context manager or a cache is still called so.
            self._bind(node.name, How.FUNCTION, node)
        inner = Scope(node, self._scope)
        self._program.scopes[id(node)] = inner
        arguments = node.args
        positional = [*arguments.posonlyargs, *arguments.args]
        defaults: list[ast.expr | None] = [None] * (len(positional) - len(arguments.defaults))
        defaults += arguments.defaults
        named = zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
        for one, default in (*zip(positional, defaults, strict=True), *named):
            inner.bindings.setdefault(one.arg, []).append(Binding(How.PARAMETER, self._scope, default))
        for rest in filter(None, (arguments.vararg, arguments.kwarg)):
            inner.bindings.setdefault(rest.arg, []).append(Binding(How.OTHER, inner))
        outer: list[ast.AST] = [*arguments.defaults, *filter(None, arguments.kw_defaults)]
        if isinstance(node, ast.Lambda):
            inner.returns.append(node.body)
            return [*((one, self._scope) for one in outer), (node.body, inner)]
        outer = [*node.decorator_list, *outer]
        return [*((one, self._scope) for one in outer), *((one, inner) for one in node.body)]

    def _class(self, node: ast.ClassDef) -> list[tuple[ast.AST, Scope]]:
        self._bind(node.name, How.CLASS, node)
        inner = Scope(node, self._scope)
        self._program.scopes[id(node)] = inner
        outer: list[ast.AST] = [*node.decorator_list, *node.bases, *node.keywords]
        return [*((one, self._scope) for one in outer), *((one, inner) for one in node.body)]

    def _statement(self, node: ast.AST) -> None:  # noqa: C901, PLR0912  # one case for each way to bind a name
        if isinstance(node, ast.Call):
            self._program.calls.append((node, self._scope))
            if isinstance(node.func, ast.Attribute) and node.func.attr in _CHANGES:
                self._alter(node.func.value)
        elif isinstance(node, ast.Import):
            for alias in node.names:
                self._bind(alias.asname or alias.name.split(".")[0], How.IMPORT, node, _imported(alias))
        elif isinstance(node, ast.ImportFrom):
            self._import_from(node)
        elif isinstance(node, ast.Assign):
            for target in node.targets:
                self._assign(target, node.value)
        elif isinstance(node, ast.AnnAssign):
            if node.value is not None:
                self._assign(node.target, node.value)
        elif isinstance(node, ast.NamedExpr):
            self._assign_outside(node)
        elif isinstance(node, ast.AugAssign):
            self._alter(node.target)
            self._assign(node.target, None)
        elif isinstance(node, (ast.For, ast.AsyncFor, ast.comprehension)):
            self._assign(node.target, None)
        elif isinstance(node, ast.withitem):
            if node.optional_vars is not None:
                self._assign(node.optional_vars, None)
        elif isinstance(node, ast.Delete):
            for target in node.targets:
                self._assign(target, None)
        elif isinstance(node, (ast.ExceptHandler, ast.MatchAs, ast.MatchStar)):
            if node.name:
                self._bind(node.name, How.OTHER)
        elif isinstance(node, ast.MatchMapping):
            if node.rest:
                self._bind(node.rest, How.OTHER)
        elif isinstance(node, (ast.Global, ast.Nonlocal)):
            self._declare(node)
        elif isinstance(node, ast.Return):
            self._scope.returns.append(node.value)
        elif isinstance(node, (ast.Yield, ast.YieldFrom)):
            self._scope.generates = True

    def _import_from(self, node: ast.ImportFrom) -> None:
        module = "." * node.level + (node.module or "")
        for alias in node.names:
            if alias.name == "*":
                self._scope.stars.append(module)
            else:
                self._bind(alias.asname or alias.name, How.IMPORT, node, f"{module}.{alias.name}")

    def _assign(self, target: ast.expr, value: ast.expr | None) -> None:
        pending: list[tuple[ast.expr, ast.expr | None]] = [(target, value)]
        while pending:
            one, given = pending.pop()
            if isinstance(one, ast.Name):
                self._bind(one.id, How.OTHER if given is None else How.VALUE, given)
            elif isinstance(one, ast.Attribute):
                self._program.attributes.setdefault(one.attr, []).append((one, given, self._scope))
            elif isinstance(one, ast.Subscript):
                self._alter(one.value)
            elif isinstance(one, ast.Starred):
                pending.append((one.value, None))
            elif isinstance(one, (ast.Tuple, ast.List)):
                pending.extend(zip(one.elts, _unpacked(one, given), strict=True))

    def _assign_outside(self, node: ast.NamedExpr) -> None:
        """`:=` in a comprehension binds in the function around it."""
        inner = self._scope
        while isinstance(self._scope.node, _COMPREHENSIONS) and self._scope.parent is not None:
            self._scope = self._scope.parent
        # Inside of a comprehension it is another value for each element.
        self._assign(node.target, node.value if inner is self._scope else None)
        self._scope = inner

    def _declare(self, node: ast.Global | ast.Nonlocal) -> None:
        for name in node.names:
            if isinstance(node, ast.Global):
                if self._scope is not self._program.module:
                    self._scope.elsewhere[name] = self._program.module
                continue
            # Which of the functions around it binds the name may be known later only; in none of them is it a constant.
            scope = self._scope.parent
            while scope is not None and scope.parent is not None:
                if not scope.is_class:
                    self._scope.elsewhere.setdefault(name, scope)
                    scope.bindings.setdefault(name, []).append(Binding(How.OTHER, scope))
                scope = scope.parent

    def _alter(self, node: ast.expr) -> None:
        while isinstance(node, (ast.Subscript, ast.Attribute)):
            node = node.value
        if isinstance(node, ast.Name):
            self.altered.append((node.id, self._scope))


def _unpacked(target: ast.Tuple | ast.List, value: ast.expr | None) -> list[ast.expr | None]:
    if (
        isinstance(value, (ast.Tuple, ast.List))
        and len(value.elts) == len(target.elts)
        and not any(isinstance(one, ast.Starred) for one in (*value.elts, *target.elts))
    ):
        return list(value.elts)
    return [None] * len(target.elts)


def _imported(alias: ast.alias) -> str:
    # `import a.b` gives the name a; what follows it in the expression is then the rest of the absolute name.
    return alias.name if alias.asname else alias.name.split(".")[0]


def _stars(scope: Scope | None) -> Iterator[str]:
    while scope is not None:
        yield from scope.stars
        scope = scope.parent


def _join(name: str, end: str) -> str:
    return f"{name}.{end}" if end else name


def _is_none(node: ast.AST | None) -> bool:
    return isinstance(node, ast.Constant) and node.value is None
