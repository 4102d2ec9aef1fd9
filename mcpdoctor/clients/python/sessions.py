"""Uses of a client outside of its session.

Only what certainly fails is told: a client that the program hands to anything else may be opened there.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeGuard

from mcpdoctor.clients.python.calls import Site
from mcpdoctor.clients.python.names import How, Program, Scope
from mcpdoctor.clients.python.source import Positions
from mcpdoctor.clients.python.values import Place

_INNER = (
    ast.FunctionDef,
    ast.AsyncFunctionDef,
    ast.Lambda,
    ast.ClassDef,
    ast.GeneratorExp,
    ast.ListComp,
    ast.SetComp,
    ast.DictComp,
)
_INVOKES = frozenset({"invoke_async", "stream_async", "structured_output", "structured_output_async"})

_EXPECTING = frozenset({"raises", "assertRaises", "assertRaisesRegex", "suppress"})

_NONE: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Misuse:
    """What certainly fails.

    Attributes:
        idle: calls of the methods of a client outside of its session.
        late: calls of an agent whose tools come from a session that has ended.
    """

    idle: tuple[Place, ...] = ()
    late: tuple[Place, ...] = ()


def misuses(
    sites: Sequence[Site], program: Program, trees: Iterable[ast.Module], positions: Positions
) -> Mapping[int, Misuse]:
    """What is wrong with the sessions of the objects that `sites` make, by the index of the site."""
    by_node = {id(site.node): index for index, site in enumerate(sites) if site.call.sessions}
    if not by_node:
        return {}
    found: dict[int, Misuse] = {}
    for scope in (program.module, *program.scopes.values()):
        owners: dict[str, int] = {}
        for name, bindings in scope.bindings.items():
            if len(bindings) == 1 and bindings[0].how is How.VALUE and id(bindings[0].node) in by_node:
                owners[name] = by_node[id(bindings[0].node)]
        if owners and not scope.is_class:
            module = scope is program.module
            body = [one for tree in trees for one in tree.body] if module else list(ast.iter_child_nodes(scope.node))
            look = _Look(program, scope, {name: sites[index] for name, index in owners.items()})
            look.at(body)
            for name, index in owners.items():
                if name not in look.escaped:
                    idle = tuple(positions.place(call) for call in look.outside.get(name, ()))
                    late = tuple(positions.place(call) for owner, call in look.late if owner == name)
                    found[index] = Misuse(idle, late)
    return found


@dataclass(slots=True)
class _Look:
    """One pass over the body of a scope, for all of the clients that its names hold.

    Attributes:
        escaped: names whose client the program uses in a way that is not followed.
        outside: calls of methods, by name, where its session is not open.
        tools: names that hold tools of the session of another name.
        agents: names that hold an agent with such tools.
    """

    program: Program
    scope: Scope
    sites: Mapping[str, Site]
    escaped: set[str] = field(default_factory=set)
    outside: dict[str, list[ast.Call]] = field(default_factory=dict)
    tools: dict[str, str] = field(default_factory=dict)
    agents: dict[str, str] = field(default_factory=dict)
    late: list[tuple[str, ast.Call]] = field(default_factory=list)

    def at(self, body: Iterable[ast.AST]) -> None:
        """Go through `body` in the order of the text."""
        # Each node with the sessions that are open there, and whether it runs at another time than what is around it.
        pending: list[tuple[ast.AST, frozenset[str], bool]] = [(one, _NONE, False) for one in reversed(list(body))]
        while pending:
            node, open_, inner = pending.pop()
            inner = inner or isinstance(node, _INNER)
            if isinstance(node, (ast.With, ast.AsyncWith)):
                opens = frozenset(one.context_expr.id for one in node.items if self._is_owner(one.context_expr))
                if inner:
                    self.escaped |= opens  # a generator may keep it open for others
                inner = inner or any(map(_expects_failure, node.items))
                within = open_ | opens if opens else open_
                pending.extend((one, within, inner) for one in reversed(node.body))
                children: list[ast.AST] = [one for item in node.items for one in self._of_item(item)]
            else:
                children = self._read(node, open_, inner=inner)
            pending.extend((one, open_, inner) for one in reversed(children))

    def _read(self, node: ast.AST, open_: frozenset[str], *, inner: bool) -> list[ast.AST]:
        """Note what one node does, and give what is to be read within it."""
        if isinstance(node, ast.Name):
            if isinstance(node.ctx, ast.Load) and node.id in self.sites:
                self.escaped.add(node.id)
        elif isinstance(node, ast.Call):
            name = self._method_of(node)
            if name is not None and isinstance(node.func, ast.Attribute):
                if node.func.attr not in self.sites[name].call.sessions:
                    self.escaped.add(name)
                elif not inner and name not in open_:
                    self.outside.setdefault(name, []).append(node)
                return [*node.args, *node.keywords]
            if not inner:
                self._invoked(node, open_)
        elif isinstance(node, ast.Assign) and not inner:
            self._assigned(node, open_)
        return list(ast.iter_child_nodes(node))

    def _invoked(self, node: ast.Call, open_: frozenset[str]) -> None:
        func = node.func
        if isinstance(func, ast.Attribute) and func.attr in _INVOKES:
            func = func.value
        owner = self.agents.get(func.id) if isinstance(func, ast.Name) else None
        if owner is not None and owner not in open_:
            self.late.append((owner, node))

    def _assigned(self, node: ast.Assign, open_: frozenset[str]) -> None:
        """Note an assignment of tools of a session, or of an agent that has them."""
        target, value = node.targets[0], node.value
        if len(node.targets) != 1 or not isinstance(target, ast.Name):
            return
        if self.program.one(target.id, self.scope) is None:
            return
        owner = self._tools_of([value], open_, {})
        if owner is not None:
            self.tools[target.id] = owner
        elif isinstance(value, ast.Call):
            owner = self._tools_of([*value.args, *(one.value for one in value.keywords)], open_, self.tools)
            names = self.program.qualified(value.func, self.scope) if owner else ()
            if owner is not None and set(names) & set(self.sites[owner].call.agents):
                self.agents[target.id] = owner

    def _tools_of(self, nodes: list[ast.expr], open_: frozenset[str], tools: Mapping[str, str]) -> str | None:
        """Whose session the tools are of that one of `nodes` is, or holds in a list."""
        pending = list(nodes)
        while pending:
            node = pending.pop()
            if isinstance(node, ast.Name) and node.id in tools:
                return tools[node.id]
            if isinstance(node, ast.Call) and (name := self._method_of(node)) in open_:
                return name
            if isinstance(node, (ast.List, ast.Tuple)):
                pending.extend(node.elts)
            elif isinstance(node, ast.Starred):
                pending.append(node.value)
            elif isinstance(node, ast.BinOp):
                pending += [node.left, node.right]
        return None

    def _method_of(self, node: ast.Call) -> str | None:
        """The client whose method is called."""
        func = node.func
        return func.value.id if isinstance(func, ast.Attribute) and self._is_owner(func.value) else None

    def _is_owner(self, node: ast.expr) -> TypeGuard[ast.Name]:
        return isinstance(node, ast.Name) and node.id in self.sites

    def _of_item(self, item: ast.withitem) -> list[ast.AST]:
        opens = self._is_owner(item.context_expr)
        return [*([] if opens else [item.context_expr]), *([item.optional_vars] if item.optional_vars else [])]


def _expects_failure(item: ast.withitem) -> bool:
    """Whether it is `with pytest.raises(…)`: a test that means to fail."""
    func = item.context_expr.func if isinstance(item.context_expr, ast.Call) else None
    name = func.attr if isinstance(func, ast.Attribute) else func.id if isinstance(func, ast.Name) else ""
    return name in _EXPECTING
