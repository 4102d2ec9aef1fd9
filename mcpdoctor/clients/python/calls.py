"""Find the calls of known functions, and read what they are given."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass, field

from mcpdoctor.clients.python.constants import Constants
from mcpdoctor.clients.python.known import Call, Known
from mcpdoctor.clients.python.made import uncertain
from mcpdoctor.clients.python.names import How, Program, Scope
from mcpdoctor.clients.python.usages import Argument
from mcpdoctor.clients.python.values import Value

_PARTIAL = "functools.partial"
_FARTHEST = 50
"""How many expressions to follow from a call to the one that it holds."""


@dataclass(eq=False, slots=True)
class Site:
    """One call of a known function.

    Attributes:
        node: the call; that of `partial`, where the function is only prepared.
        args: arguments without a name, with the scope that each is written in.
        keywords: the others.
        prepared: whether it is `partial(…)`: more arguments may come when it is called.
    """

    call: Call
    node: ast.Call
    scope: Scope
    args: list[tuple[ast.expr, Scope]] = field(default_factory=list)
    keywords: list[tuple[ast.keyword, Scope]] = field(default_factory=list)
    prepared: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """What a site gives.

    Attributes:
        arguments: in the order they are written.
        nodes: the expression of a parameter, with its scope, where there is one.
        complete: whether these are all.
    """

    arguments: tuple[Argument, ...]
    nodes: dict[str, tuple[ast.expr, Scope]]
    complete: bool


def sites(program: Program, known: Known) -> Iterator[Site]:
    """Every call of a known function, in the order of the text."""
    used: set[int] = set()
    found: list[Site] = []
    for node, scope in program.calls:
        site = _direct(program, known, node, scope) or _of_partial(program, known, node, scope, used)
        if site is not None:
            found.append(site)
    # What `partial` prepared is told of where it is called, if it is called in this file.
    yield from (site for site in found if not (site.prepared and id(site.node) in used))


def _match(known: Known, names: tuple[str, ...]) -> Call | None:
    return next((known[name] for name in names if name in known), None)


def _direct(program: Program, known: Known, node: ast.Call, scope: Scope) -> Site | None:
    names = program.qualified(node.func, scope)
    if _PARTIAL in names and node.args:
        call = _match(known, program.qualified(node.args[0], scope))
        args, prepared = node.args[1:], True
    else:
        call, args, prepared = _match(known, names), node.args, False
    if call is None:
        return None
    return Site(
        call, node, scope, [(one, scope) for one in args], [(one, scope) for one in node.keywords], prepared=prepared
    )


def _of_partial(program: Program, known: Known, node: ast.Call, scope: Scope, used: set[int]) -> Site | None:
    """A call of a name that stands for `partial(…)` of a known function."""
    if not isinstance(node.func, ast.Name):
        return None
    binding = program.one(node.func.id, scope)
    if binding is None or binding.how is not How.VALUE or not isinstance(binding.node, ast.Call):
        return None
    prepared = _direct(program, known, binding.node, binding.scope)
    if prepared is None or not prepared.prepared:
        return None
    used.add(id(prepared.node))
    again = {one.arg for one in node.keywords}
    return Site(
        prepared.call,
        node,
        scope,
        [*prepared.args, *((one, scope) for one in node.args)],
        [
            *((one, at) for one, at in prepared.keywords if one.arg is None or one.arg not in again),
            *((one, scope) for one in node.keywords),
        ],
    )


def given(site: Site, constants: Constants) -> Given:
    """Read the arguments of a site."""
    arguments: list[Argument] = []
    nodes: dict[str, tuple[ast.expr, Scope]] = {}
    complete = not site.prepared
    names = iter(site.call.positional)

    def add(name: str, value: Value) -> None:
        arguments.append(Argument(name=name, role=site.call.roles.get(name), value=value))

    for node, scope in site.args:
        if isinstance(node, ast.Starred):
            spread = constants.value(node.value, scope)
            if not (spread.certain and isinstance(spread.value, tuple)):
                complete = False
                break  # which parameter the next one is for is not known
            for value in spread.value:
                add(next(names, ""), value)
            continue
        name = next(names, "")
        nodes[name] = (node, scope)
        add(name, constants.value(node, scope))
        complete = complete and bool(name)  # one that the table does not know may be anything
    for keyword, scope in site.keywords:
        value = constants.value(keyword.value, scope)
        if keyword.arg is not None:
            nodes[keyword.arg] = (keyword.value, scope)
            add(keyword.arg, value)
            continue
        complete = complete and value.certain and bool(value.table)
        for name, one in value.table.items():
            add(name, one if value.certain else uncertain(one))
    return Given(arguments=tuple(arguments), nodes=nodes, complete=complete)


def leads_to(program: Program, node: ast.expr, scope: Scope) -> Iterator[ast.Call]:
    """The calls whose result an expression is, or gives when it is called: of a lambda, a function, a name.

    Whether a call is a known one is for the caller to see.
    """
    seen: set[int] = set()
    pending: list[tuple[ast.expr | None, Scope]] = [(node, scope)]
    while pending and len(seen) < _FARTHEST:
        one, at = pending.pop()
        if one is None or id(one) in seen:
            continue
        seen.add(id(one))
        if isinstance(one, ast.Call):
            yield one
            pending.append((one.func, at))
        elif isinstance(one, ast.Lambda):
            pending.append((one.body, program.scopes[id(one)]))
        elif isinstance(one, ast.Await):
            pending.append((one.value, at))
        elif isinstance(one, ast.IfExp):
            pending += [(one.body, at), (one.orelse, at)]
        elif isinstance(one, ast.Name):
            pending.extend(_behind(program, one.id, at))
        elif isinstance(one, ast.Attribute) and isinstance(one.value, ast.Name) and one.value.id in ("self", "cls"):
            pending.extend(_of_self(program, one.attr, at))


def _behind(program: Program, name: str, scope: Scope) -> Iterator[tuple[ast.expr | None, Scope]]:
    binding = program.one(name, scope)
    if binding is None:
        return
    if binding.how is How.VALUE and isinstance(binding.node, ast.expr):
        yield binding.node, binding.scope
    elif binding.how is How.FUNCTION and binding.node is not None:
        inner = program.scopes[id(binding.node)]
        if not inner.generates:
            yield from ((one, inner) for one in inner.returns)


def _of_self(program: Program, name: str, scope: Scope) -> Iterator[tuple[ast.expr | None, Scope]]:
    within: Scope | None = scope
    while within is not None and not within.is_class:
        within = within.parent
    if within is None:
        return
    stored = program.attributes.get(name, [])
    if len(stored) == 1 and name not in within.bindings:
        yield stored[0][1], stored[0][2]
    elif not stored:
        found = within.bindings.get(name, [])
        if len(found) == 1 and found[0].how is How.FUNCTION and found[0].node is not None:
            inner = program.scopes[id(found[0].node)]
            yield from ((one, inner) for one in inner.returns)
