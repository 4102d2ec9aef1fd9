"""What an expression is, as far as that can be read off the file: constants, texts put together, the environment.

Nothing is executed. Every node is evaluated once, so the time is linear however often names refer to each other.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from mcpdoctor.clients.python import texting
from mcpdoctor.clients.python.made import (
    HEAVIEST,
    concatenated,
    environment,
    moved,
    of_pieces,
    open_ended,
    uncertain,
    unknown,
    weight,
)
from mcpdoctor.clients.python.names import Binding, How, Program, Scope
from mcpdoctor.clients.python.source import Positions
from mcpdoctor.clients.python.texting import Pieces
from mcpdoctor.clients.python.values import Content, Hole, Piece, Place, Value

_DEEPEST = 40
"""Expressions within expressions. What people write needs ten; the stack of this process has to do for it."""
_MOST_WORK = 200_000
"""Values looked at in one program. A program that people wrote takes a hundredth of it; then nothing more is known."""

_SECONDS = {"weeks": 604_800, "days": 86_400, "hours": 3_600, "minutes": 60, "seconds": 1, "milliseconds": 1e-3}
_SAME_TABLE = frozenset({"dict", "collections.OrderedDict", "types.MappingProxyType"})
_SAME_LIST = frozenset({"list", "tuple"})
_ENUMS = frozenset({"enum.Enum", "enum.StrEnum"})


@dataclass(eq=False, slots=True)
class Constants:
    """Evaluates expressions of one program."""

    program: Program
    positions: Positions
    _known: dict[int, Value] = field(default_factory=dict)
    _open: set[int] = field(default_factory=set)
    _depth: int = 0
    _left: int = _MOST_WORK

    def value(self, node: ast.expr, scope: Scope) -> Value:
        """The value of `node` as `scope` sees its names; its place is that of `node`."""
        key = id(node)
        if key in self._known:
            return self._known[key]
        place = self.positions.place(node)
        # A name that stands for itself; nesting; a program made to take long.
        if key in self._open or self._depth >= _DEEPEST or self._left <= 0:
            return unknown(place)
        self._open.add(key)
        self._depth += 1
        try:
            made = self._evaluate(node, scope, place)
        finally:
            self._depth -= 1
            self._open.discard(key)
        size = weight(made)
        self._left -= size
        if size > HEAVIEST:
            made = unknown(place)
        self._known[key] = made
        return made

    def _evaluate(self, node: ast.expr, scope: Scope, place: Place) -> Value:
        rule = _RULES.get(type(node))
        return rule(self, node, scope, place) if rule else unknown(place)

    def _constant(self, node: ast.Constant, _scope: Scope, place: Place) -> Value:
        if node.value is None or isinstance(node.value, (str, bool, int, float)):
            return Value(value=node.value, place=place)
        return unknown(place)

    def _f_string(self, node: ast.JoinedStr, scope: Scope, place: Place) -> Value:
        pieces: list[Piece] = []
        for part in node.values:
            if isinstance(part, ast.FormattedValue):
                plain = part.format_spec is None and part.conversion in (-1, ord("s"))
                found = self.value(part.value, scope) if plain else unknown(place)
                pieces.extend(_named(texting.pieces_of(found), part.value))
            else:
                pieces.extend(texting.pieces_of(self.value(part, scope)))
        return of_pieces(texting.joined(pieces), place)

    def _operation(self, node: ast.BinOp, scope: Scope, place: Place) -> Value:
        if isinstance(node.op, ast.Mod):
            left = self.value(node.left, scope)
            if not _is_text(left):
                return unknown(place)
            return of_pieces(texting.fill_percent(texting.pieces_of(left), self.value(node.right, scope)), place)
        if isinstance(node.op, ast.BitOr):
            both = [self.value(node.left, scope), self.value(node.right, scope)]
            tables = all(isinstance(one.value, Mapping) for one in both)
            return self._merged([(None, one) for one in both], place) if tables else unknown(place)
        if not isinstance(node.op, ast.Add):
            return unknown(place)
        operands: list[ast.expr] = []
        left_most: ast.expr = node
        while isinstance(left_most, ast.BinOp) and isinstance(left_most.op, ast.Add):  # a + b + c leans to the left
            operands.append(left_most.right)
            left_most = left_most.left
        values = [self.value(one, scope) for one in (left_most, *reversed(operands))]
        if any(isinstance(one.value, tuple) for one in values):
            return concatenated(values, place)
        if any(_is_text(one) for one in values):
            named = zip(values, (left_most, *reversed(operands)), strict=True)
            return of_pieces(texting.joined(p for one, at in named for p in _named(_text_pieces(one), at)), place)
        return unknown(place)

    def _name(self, node: ast.Name, scope: Scope, place: Place) -> Value:
        binding = self.program.one(node.id, scope)
        if binding is None:
            return unknown(place, node.id)
        made = self._bound(binding, place)
        if self.program.is_changed(node.id, scope):
            made = open_ended(made)
        return made if made.known or made.pieces or made.from_environment else unknown(place, node.id)

    def _bound(self, binding: Binding, place: Place) -> Value:
        if not isinstance(binding.node, ast.expr):
            return unknown(place)
        made = moved(self.value(binding.node, binding.scope), place)
        if binding.how is How.VALUE:
            return made
        if binding.how is How.PARAMETER:
            return uncertain(made)  # a caller may give another one
        return unknown(place)

    def _attribute(self, node: ast.Attribute, scope: Scope, place: Place) -> Value:
        base = node.value
        if isinstance(base, ast.Attribute) and node.attr == "value":  # Color.RED.value
            if isinstance(base.value, ast.Name) and (found := self._class_of(base.value, scope)):
                return self._member(*found, base.attr, place, of_enum=True)
            return unknown(place, node.attr)
        if not isinstance(base, ast.Name):
            return unknown(place, node.attr)
        if found := self._class_of(base, scope):
            return self._member(*found, node.attr, place, of_enum=False)
        if base.id in ("self", "cls"):
            return self._own(node.attr, scope, place)
        binding = self.program.one(base.id, scope)
        if binding and binding.how is How.VALUE and isinstance(binding.node, ast.Call):
            return self._of_instance(binding.node, binding.scope, node.attr, place)
        return unknown(place, node.attr)

    def _class_of(self, node: ast.Name, scope: Scope) -> tuple[ast.ClassDef, Scope] | None:
        binding = self.program.one(node.id, scope)
        if binding and binding.how is How.CLASS and isinstance(binding.node, ast.ClassDef):
            return binding.node, binding.scope
        return None

    def _member(self, cls: ast.ClassDef, outer: Scope, name: str, place: Place, *, of_enum: bool) -> Value:
        """An attribute of a class, as its body says it."""
        bases = {one for base in cls.bases for one in self.program.qualified(base, outer)}
        is_enum = bool(bases & _ENUMS)
        if is_enum is not of_enum and not (bases & {"enum.StrEnum", "str"}):
            return unknown(place, name)
        found = self.program.scopes[id(cls)].bindings.get(name, [])
        if len(found) != 1 or found[0].how is not How.VALUE or name in self.program.attributes:
            return unknown(place, name)
        return self._bound(found[0], place)

    def _own(self, name: str, scope: Scope, place: Place) -> Value:
        """`self.name` in a method, where the class sets it once and nobody else does."""
        within: Scope | None = scope
        while within is not None and not within.is_class:
            within = within.parent
        if within is None or not isinstance(within.node, ast.ClassDef):
            return unknown(place, name)
        set_ = self.program.attributes.get(name, [])
        if not set_:
            return uncertain(self._member(within.node, within.parent or within, name, place, of_enum=False))
        if len(set_) != 1 or name in within.bindings:
            return unknown(place, name)
        target, given, method = set_[0]
        mine = isinstance(target.value, ast.Name) and target.value.id == "self" and method.parent is within
        if not mine or given is None or not method.bindings:
            return unknown(place, name)
        return moved(self.value(given, method), place)

    def _of_instance(self, call: ast.Call, scope: Scope, name: str, place: Place) -> Value:
        """`settings.name` after `settings = Settings(…)`: what was given, else the default of the field.

        A base class may take it from anywhere (settings of pydantic read the environment): then it is not certain.
        """
        found = self._class_of(call.func, scope) if isinstance(call.func, ast.Name) else None
        if found is None or name in self.program.attributes:
            return unknown(place, name)
        cls, outer = found
        methods = self.program.scopes[id(cls)].bindings
        made = self._member(cls, outer, name, place, of_enum=False)
        for keyword in call.keywords:
            if keyword.arg is None or (keyword.arg == name and "__init__" in methods):
                return unknown(place, name)
            if keyword.arg == name:
                made = moved(self.value(keyword.value, scope), place)
        if call.args or "__init__" in methods or "__post_init__" in methods or cls.bases:
            return uncertain(made)
        return made

    def _subscript(self, node: ast.Subscript, scope: Scope, place: Place) -> Value:
        key = self.value(node.slice, scope)
        if "os.environ" in self.program.qualified(node.value, scope):
            return environment(key.text, None, place)
        base = self.value(node.value, scope)
        if not base.known:
            return unknown(place)
        inner: Value | None = None
        if isinstance(base.value, tuple) and isinstance(key.value, int) and key.certain and base.certain:
            index = key.value if key.value >= 0 else key.value + len(base.value)
            inner = base.value[index] if 0 <= index < len(base.value) else None
        elif key.text is not None:
            inner = base.table.get(key.text)
        if inner is None:
            return unknown(place)
        made = moved(inner, place)
        return made if base.certain else uncertain(made)

    def _choice(self, node: ast.BoolOp, scope: Scope, place: Place) -> Value:
        """`a or b`: b where a is certainly nothing, a where it is something, else b as a default."""
        if not isinstance(node.op, ast.Or):
            return unknown(place)
        variable: str | None = None
        for one in node.values:
            made = self.value(one, scope)
            variable = variable or made.from_environment
            if made.certain and not made.value:
                continue
            made = moved(made, place)
            if made.known and (made.certain or variable):
                return made if variable is None else uncertain(replace(made, from_environment=variable))
        return unknown(place, variable=variable)

    def _sign(self, node: ast.UnaryOp, scope: Scope, place: Place) -> Value:
        made = self.value(node.operand, scope)
        if isinstance(node.op, ast.USub) and made.certain and type(made.value) in (int, float):
            return Value(value=-made.value, place=place)  # type: ignore[operator]  # the line above says what it is
        return unknown(place)

    def _walrus(self, node: ast.NamedExpr, scope: Scope, place: Place) -> Value:
        return moved(self.value(node.value, scope), place)

    def _list(self, node: ast.List | ast.Tuple, scope: Scope, place: Place) -> Value:
        items: list[Value] = []
        certain = True
        for element in node.elts:
            if len(items) > HEAVIEST:
                return unknown(place)
            if not isinstance(element, ast.Starred):
                items.append(self.value(element, scope))
                continue
            inner = self.value(element.value, scope)
            certain = certain and inner.certain and isinstance(inner.value, tuple)
            items.extend(inner.items if isinstance(inner.value, tuple) else (inner,))
        return Value(value=tuple(items), place=place, certain=certain)

    def _table(self, node: ast.Dict, scope: Scope, place: Place) -> Value:
        entries = [
            (self.value(key, scope) if key is not None else None, self.value(value, scope))
            for key, value in zip(node.keys, node.values, strict=True)
        ]
        return self._merged(entries, place)

    def _merged(self, entries: list[tuple[Value | None, Value]], place: Place) -> Value:
        """A table of entries; one without a key is a table whose entries go in."""
        table: dict[str, Value] = {}
        written: dict[str, int] = {}
        certain, doubted, size = True, -1, 0
        for number, (key, value) in enumerate(entries):
            size += 1 + len(value.table)
            if size > HEAVIEST:
                return unknown(place)
            if key is not None and key.text is not None:
                table[key.text] = value
                written[key.text] = number
            elif key is None and isinstance(value.value, Mapping):
                table.update(value.value)
                written.update(dict.fromkeys(value.value, number))
                certain = certain and value.certain
                doubted = doubted if value.certain else number
            else:
                certain, doubted = False, number
        # An entry that may have any key may stand for what was written before it.
        content = {name: one if written[name] >= doubted else uncertain(one) for name, one in table.items()}
        return Value(value=content, place=place, certain=certain)

    def _call(self, node: ast.Call, scope: Scope, place: Place) -> Value:
        names = self.program.qualified(node.func, scope)
        for name in names:
            if name in ("os.getenv", "os.environ.get"):
                return self._from_environment(node, scope, place)
            if name in texting.FUNCTIONS:
                return self._applied(texting.FUNCTIONS[name], node, None, scope, place)
            if name == "datetime.timedelta":
                return self._duration(node, scope, place)
            if name in _SAME_TABLE:
                given = [(None, self.value(one, scope)) for one in node.args]
                named = [(_key(one, place), self.value(one.value, scope)) for one in node.keywords]
                return self._merged([*given, *named], place)
            if name in _SAME_LIST and len(node.args) == 1:
                made = self.value(node.args[0], scope)
                return moved(made, place) if isinstance(made.value, tuple) else unknown(place)
        if names == () and isinstance(node.func, ast.Attribute):
            return self._method(node, node.func, scope, place)
        if isinstance(node.func, ast.Name) and not node.args and not node.keywords:
            return self._returned(node.func, scope, place)
        return unknown(place)

    def _from_environment(self, node: ast.Call, scope: Scope, place: Place) -> Value:
        given = list(node.args)
        for keyword in node.keywords:
            if keyword.arg == "default" and len(given) == 1:
                given.append(keyword.value)
        if not 1 <= len(given) <= 2 or any(isinstance(one, ast.Starred) for one in given):
            return unknown(place)
        default = self.value(given[1], scope) if len(given) == 2 else None
        return environment(self.value(given[0], scope).text, default, place)

    def _method(self, node: ast.Call, func: ast.Attribute, scope: Scope, place: Place) -> Value:
        base = self.value(func.value, scope)
        if func.attr == "get" and isinstance(base.value, Mapping) and node.args:
            key = self.value(node.args[0], scope).text
            made = moved(base.table[key], place) if key is not None and key in base.table else unknown(place)
            return made if base.certain else uncertain(made)
        if func.attr == "copy" and isinstance(base.value, (Mapping, tuple)):
            return moved(base, place)
        if not _is_text(base):
            return unknown(place)
        if func.attr == "format":
            open_ = any(isinstance(one, ast.Starred) for one in node.args)
            positional = [self.value(one, scope) for one in node.args if not isinstance(one, ast.Starred)]
            named = self._merged([(_key(one, place), self.value(one.value, scope)) for one in node.keywords], place)
            return of_pieces(texting.fill_braces(_text_pieces(base), positional, named.table, open_=open_), place)
        if func.attr == "join" and len(node.args) == 1:
            return self._text_of_list(base, self.value(node.args[0], scope), place)
        if func.attr in texting.METHODS:
            return self._applied(texting.METHODS[func.attr], node, base, scope, place)
        return unknown(place)

    def _text_of_list(self, separator: Value, items: Value, place: Place) -> Value:
        if separator.text is None or not isinstance(items.value, tuple) or not items.certain:
            return unknown(place)
        pieces: list[Piece] = []
        for number, item in enumerate(items.value):
            pieces.extend(([separator.text] if number else []) + list(_text_pieces(item)))
        return of_pieces(texting.joined(pieces), place)

    def _applied(
        self, function: texting.Function, node: ast.Call, base: Value | None, scope: Scope, place: Place
    ) -> Value:
        """A function of texts, on what is known of its arguments."""
        arguments = [self.value(one, scope) for one in node.args]
        keywords = {one.arg: self.value(one.value, scope) for one in node.keywords if one.arg}
        every = [*([base] if base else []), *arguments, *keywords.values()]
        variable = next((one.from_environment for one in every if one.from_environment), None)
        starred = any(isinstance(one, ast.Starred) for one in node.args) or len(keywords) != len(node.keywords)
        if starred or not all(one.known and not isinstance(one.value, (tuple, Mapping)) for one in every):
            if function is str and len(every) == 1:  # str(x) is as known as x, hole by hole
                return of_pieces(texting.pieces_of(every[0]), place)
            return unknown(place, variable=variable)
        try:
            made = function(
                *([base.value] if base else []),
                *(one.value for one in arguments),
                **{name: one.value for name, one in keywords.items()},
            )
        except (TypeError, ValueError, AttributeError, LookupError, MemoryError, OverflowError):
            return unknown(place)  # it would fail when it runs, too
        if len(made) > texting.MOST_TEXT:
            return unknown(place)
        content: Content = made if isinstance(made, str) else tuple(Value(value=one, place=place) for one in made)
        result = Value(value=content, place=place)
        if all(one.certain for one in every):
            return result
        result = uncertain(replace(result, from_environment=variable))
        return result if isinstance(made, str) else replace(result, value=tuple(uncertain(one) for one in result.items))

    def _duration(self, node: ast.Call, scope: Scope, place: Place) -> Value:
        """`timedelta(…)` as seconds."""
        total = 0.0
        for keyword in node.keywords:
            given = self.value(keyword.value, scope)
            if keyword.arg not in _SECONDS or not given.certain or not isinstance(given.value, (int, float)):
                return unknown(place)
            try:
                total += float(given.value) * _SECONDS[keyword.arg]
            except OverflowError:
                return unknown(place)
        return unknown(place) if node.args else Value(value=total, place=place)

    def _returned(self, node: ast.Name, scope: Scope, place: Place) -> Value:
        """What a function of this file without arguments gives: its only `return`."""
        binding = self.program.one(node.id, scope)
        if not binding or not isinstance(binding.node, (ast.FunctionDef, ast.Lambda)):
            return unknown(place)
        inner = self.program.scopes[id(binding.node)]
        given = inner.returns[0] if len(inner.returns) == 1 and not inner.generates else None
        decorated = isinstance(binding.node, ast.FunctionDef) and binding.node.decorator_list
        return unknown(place) if given is None or decorated else moved(self.value(given, inner), place)


_RULES: dict[type[ast.expr], Callable[..., Value]] = {  # each takes the node that its key names
    ast.Constant: Constants._constant,
    ast.JoinedStr: Constants._f_string,
    ast.BinOp: Constants._operation,
    ast.Name: Constants._name,
    ast.Attribute: Constants._attribute,
    ast.Subscript: Constants._subscript,
    ast.BoolOp: Constants._choice,
    ast.UnaryOp: Constants._sign,
    ast.NamedExpr: Constants._walrus,
    ast.List: Constants._list,
    ast.Tuple: Constants._list,
    ast.Dict: Constants._table,
    ast.Call: Constants._call,
}


def _is_text(value: Value) -> bool:
    return isinstance(value.value, str) or bool(value.pieces)


def _text_pieces(value: Value) -> Pieces:
    # Only texts add up to a text; a number here would be an error when it runs.
    return texting.pieces_of(value) if _is_text(value) or not value.known else (texting.UNKNOWN,)


def _named(pieces: Pieces, node: ast.expr) -> Pieces:
    """A hole without a name is called as the expression that fills it is."""
    if pieces == (texting.UNKNOWN,) and isinstance(node, (ast.Name, ast.Attribute)):
        return (Hole(node.id if isinstance(node, ast.Name) else node.attr),)
    return pieces


def _key(keyword: ast.keyword, place: Place) -> Value | None:
    return None if keyword.arg is None else Value(value=keyword.arg, place=place)
