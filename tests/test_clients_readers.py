"""JSON, TOML and YAML are read with exact places; what cannot be read is refused in one sentence, and quickly."""

from __future__ import annotations

import json
import math
import os
import re
import string
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from mcpdoctor.clients.jsonc import read_json
from mcpdoctor.clients.source import MAX_DEPTH, MAX_VALUES, Source, Trouble, Unreadable, decode, read
from mcpdoctor.clients.tomls import read_toml
from mcpdoctor.clients.values import Document, Items, Liberty, Scalar, Table, Value, plain
from mcpdoctor.clients.yamls import read_yaml

Reader = Callable[[Source], Document]

READERS: dict[str, Reader] = {"json": read_json, "toml": read_toml, "yaml": read_yaml}


def every(value: Value) -> Iterator[Value]:
    """A value and all that stand in it, keys included."""
    yield value
    if isinstance(value, Table):
        for member in value.members:
            yield member.key
            yield from every(member.value)
    if isinstance(value, Items):
        for item in value.items:
            yield from every(item)


def places(reader: Reader, text: str) -> dict[str, str]:
    """Line and column of every scalar and key, by how it is written."""
    root = reader(Source("f", text)).root
    return {one.raw: str(one.place)[2:] for one in every(root) if isinstance(one, Scalar)}


def refusal(reader: Reader, text: str) -> Unreadable:
    with pytest.raises(Unreadable) as refused:
        reader(Source("f", text))
    return refused.value


# places ---------------------------------------------------------------------------------------------------------------


def test_places_in_json_count_characters_from_1() -> None:
    text = '// first\n{"ä𝄞": "x",\r\n\t"b" : [1, -2.5e3, /* c */ true, null,],\n}\n'
    assert places(read_json, text) == {
        '"ä𝄞"': "2:2",
        '"x"': "2:8",
        '"b"': "3:2",
        "1": "3:9",
        "-2.5e3": "3:12",
        "true": "3:28",
        "null": "3:34",
    }


def test_places_in_toml_follow_tables_over_the_whole_file() -> None:
    text = '[a.b]\nc = "x" # d\n[a."b".e]\nf.g = [1,\n  \'y\']\n[[h]]\ni = {j = true}\n[[h]]\ni = 2024-01-01 10:00:00\n'
    root = read_toml(Source("f", text)).root
    assert plain(root) == {
        "a": {"b": {"c": "x", "e": {"f": {"g": [1, "y"]}}}},
        "h": [{"i": {"j": True}}, {"i": "2024-01-01 10:00:00"}],
    }
    assert places(read_toml, text) == {
        "a": "1:2",
        "b": "1:4",
        "c": "2:1",
        '"x"': "2:5",
        "e": "3:8",
        "f": "4:1",
        "g": "4:3",
        "1": "4:8",
        "'y'": "5:3",
        "h": "6:3",
        "i": "9:1",
        "j": "7:6",
        "true": "7:10",
        "2024-01-01 10:00:00": "9:5",
    }


def test_places_in_yaml_are_those_of_the_alias_where_it_is_used() -> None:
    text = "ключ: 'ä𝄞'\nb: &x\n  - y # z\n  - {c: 1, d: on}\ne: *x\n"
    root = read_yaml(Source("f", text)).root
    assert plain(root) == {"ключ": "ä𝄞", "b": ["y", {"c": 1, "d": "on"}], "e": ["y", {"c": 1, "d": "on"}]}
    assert isinstance(root, Table)
    used = root.get("e")
    assert used is not None
    assert (str(used.place), used.raw) == ("f:5:4", "*x")
    assert places(read_yaml, text)["y"] == "3:5"


def test_places_in_yaml_do_not_count_the_line_ends_that_only_yaml_knows() -> None:
    assert places(read_yaml, 'a: "x\x85\u2028y"\r\nb: 𝄞\n')["𝄞"] == "2:4"


def test_a_merge_key_brings_what_the_table_does_not_have_itself() -> None:
    text = "base: &base {a: 1, b: 1}\nuse:\n  <<: *base\n  b: 2\n"
    assert plain(read_yaml(Source("f", text)).root)["use"] == {"a": 1, "b": 2}


def test_what_is_replaced_by_span_changes_nothing_else() -> None:
    text = '{ // keep\n  "url" : "http://a" , /* this */ "b": 1,\n}'
    root = read_json(Source("f", text)).root
    assert isinstance(root, Table)
    url = root.get("url")
    assert url is not None
    changed = text[: url.start] + '"https://a"' + text[url.end :]
    assert changed == text.replace("http://", "https://")


# the same values as other readers see ---------------------------------------------------------------------------------

SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**53), 2**53),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=12),
)
JSON = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=6), inner, max_size=4)),
    max_leaves=15,
)


@given(value=JSON, indent=st.sampled_from([None, 0, 2]), plainly=st.booleans())
@example(value="\ud800", indent=None, plainly=True)
def test_json_is_read_as_the_standard_library_reads_it(value: Any, indent: int | None, plainly: bool) -> None:
    text = json.dumps(value, indent=indent, ensure_ascii=plainly)
    document = read_json(Source("f", text))
    wanted = json.loads(text)
    if wanted != "\ud800":  # half a pair cannot be printed, so it is replaced
        assert plain(document.root) == wanted
    assert document.taken == ()
    for one in every(document.root):
        assert one.source.offset(one.place.line, one.place.column) == one.start


NOISE = st.text(alphabet="{}[],:\"\\/*\n\t #'atrue0123.-e\u00e4\x01", max_size=30)


@given(text=NOISE)
@example(text='{"a":1,}')
@example(text="[1,]")
@example(text='"\\x"')
@example(text="01")
@example(text="NaN")
@example(text="[,]")
def test_json_accepts_what_the_standard_library_accepts_and_names_what_else_it_lets_pass(text: str) -> None:
    try:
        json.loads(text, parse_constant=lambda _: json.loads("x"))
        valid = True
    except ValueError:
        valid = False
    try:
        strict = not [one for one in read_json(Source("f", text)).taken if one.liberty is not Liberty.DUPLICATE_KEY]
    except Unreadable:
        strict = False
    assert strict == valid


BARE = st.text(alphabet=string.ascii_letters + string.digits + "-_", min_size=1, max_size=5)
KEYS = st.one_of(
    BARE, st.text(max_size=5).map(json.dumps).filter(lambda key: "\\ud" not in key and "\\u007f" not in key)
)
TOML_SCALARS = st.one_of(
    st.integers(-(2**60), 2**60).map(str),
    st.sampled_from(["true", "false", "inf", "-nan", "0x1F", "1_000", "1e3", "07:32:00", "1979-05-27T07:32:00Z"]),
    st.text(alphabet=string.printable[:95], max_size=8).map(json.dumps),
    st.sampled_from(["'a#b'", "'''a\n'b''c'''", '"""a\\\n  b"c"""', '"""""""', '"""a"""""', "''", '""']),
)
TOML_VALUES = st.recursive(
    TOML_SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(lambda some: "[ " + ",\n # c\n".join(some) + "]"),
        st.dictionaries(BARE, inner, max_size=3).map(
            lambda some: "{" + ", ".join(f"{key} = {value}" for key, value in some.items()) + "}"
        ),
    ),
    max_leaves=5,
)
PATHS = st.lists(KEYS, min_size=1, max_size=3).map(" . ".join)
TOML_LINES = st.one_of(
    st.tuples(PATHS, TOML_VALUES).map(" = ".join),
    PATHS.map(lambda path: f"[{path}]"),
    PATHS.map(lambda path: f" [[ {path} ]] # c"),
    st.sampled_from(["", "# x", "\t"]),
)


def comparable(value: Any) -> Any:
    """A value of `tomllib` with its dates left out, and nan equal to itself."""
    if isinstance(value, dict):
        return {key: comparable(one) for key, one in value.items()}
    if isinstance(value, list):
        return [comparable(one) for one in value]
    if isinstance(value, float) and math.isnan(value):
        return "nan"
    return value if isinstance(value, str | int | float | bool) else None


def without_dates(value: Any, other: Any) -> Any:
    if isinstance(value, dict):
        return {key: without_dates(one, other.get(key)) for key, one in value.items()}
    if isinstance(value, list):
        return [without_dates(one, two) for one, two in zip(value, other, strict=True)]
    if isinstance(value, float) and math.isnan(value):
        return "nan"
    return None if other is None else value


@given(lines=st.lists(TOML_LINES, max_size=6))
def test_toml_is_read_as_the_standard_library_reads_it(lines: list[str]) -> None:
    text = "\n".join(lines)
    try:
        wanted = comparable(tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        refused = refusal(read_toml, text)
        assert refused.trouble is Trouble.SYNTAX
        if found := re.search(r"line (\d+), column (\d+)", str(error)):
            assert (refused.place.line, refused.place.column) == (int(found[1]), int(found[2]))
        return
    root = read_toml(Source("f", text)).root
    assert without_dates(plain(root), wanted) == wanted


# Texts without digits: PyYAML writes YAML 1.1, of which `1e5` and `089` are texts, and in YAML 1.2 numbers.
WORDS = st.text(max_size=12).filter(lambda text: not re.search(r"\d|[\ud800-\udfff\x85\u2028\u2029]", text))
YAML = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-(2**53), 2**53), WORDS),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(WORDS, inner, max_size=4)),
    max_leaves=15,
)


@given(value=YAML, flow=st.booleans())
def test_yaml_is_read_as_pyyaml_reads_it(value: Any, flow: bool) -> None:
    text = yaml.safe_dump(value, default_flow_style=flow, allow_unicode=True)
    assert plain(read_yaml(Source("f", text)).root) == value


@given(text=st.text(alphabet="{}[],:-&*!|>'\"%@#? \n\tab<~1", max_size=30), reader=st.sampled_from(sorted(READERS)))
def test_no_text_makes_a_reader_fail_otherwise_than_with_a_refusal(text: str, reader: str) -> None:
    shown = []
    try:
        shown += [str(one.place) for one in every(READERS[reader](Source("f", text)).root)]
    except Unreadable as refused:
        shown.append(str(refused))
    assert [one for one in shown if not re.match(r"f:\d+:\d+", one) or "\n" in one] == []


# refusals -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "place", "words"),
    [
        ('{"a": 1\n "b": 2}', "2:2", "a comma or } is missing"),
        ('{"a": [1,\n2', "2:2", "the [ of line 1, column 7 is not closed"),
        ("{'a': 1}", "1:2", "a key in double quotes is missing"),
        ("{a: 1}", "1:2", "a key in double quotes is missing"),
        ("{\"a\": 'b'}", "1:7", "single quotes"),
        ('{"a" 1}', "1:6", "a colon is missing"),
        ('{"a": }', "1:7", "a value is missing before }"),
        ('{"a": True}', "1:7", "True is no value"),
        ('{"a": "C:\\Users"}', "1:10", "no escape that JSON knows"),
        ('{"a": "b\n"}', "1:7", "not closed on its line"),
        ('{"a": "b\tc"}', "1:9", "U+0009 stands in a text"),
        ('{"a": 1} }', "1:10", "after the end"),
        ("{} /* x", "1:4", "has no end"),
        ("[1,,2]", "1:4", "a value is missing before ,"),
    ],
)
def test_a_mistake_in_json_is_named_with_its_place(text: str, place: str, words: str) -> None:
    refused = refusal(read_json, text)
    assert str(refused).startswith(f"f:{place}: not valid JSON: ")
    assert words in str(refused)
    assert refused.trouble is Trouble.SYNTAX


def test_a_mistake_in_toml_and_in_yaml_is_named_with_its_place() -> None:
    assert str(refusal(read_toml, "a = 1\nb = \n")).startswith("f:2:5: not valid TOML: ")
    assert str(refusal(read_yaml, "a:\n\tb: 1\n")).startswith("f:2:1: not valid YAML: ")
    assert str(refusal(read_yaml, "a: \x1b[31m\n")).startswith("f:1:4: not valid YAML: the character U+001B")
    assert str(refusal(read_yaml, "? [a]\n: 1\n")).startswith("f:1:3: not a client configuration")


def test_liberties_are_noted_where_they_are_taken() -> None:
    text = '{"a": 1, // c\n "a": [2,],}'
    taken = read_json(Source("f", text, marked=True)).taken
    assert [(one.liberty.value, str(one.at.place)) for one in taken] == [
        ("byte-order-mark", "f:1:1"),
        ("comment", "f:1:10"),
        ("duplicate-key", "f:2:2"),
        ("trailing-comma", "f:2:9"),
        ("trailing-comma", "f:2:11"),
    ]
    taken = read_yaml(Source("f", "a: !!python/object/apply:os.system [x]\na: 2\n---\nb: 1\n")).taken
    assert [one.liberty.value for one in taken] == ["tag", "duplicate-key", "second-document"]


DEEP = 100_000
HOSTILE = {
    "json-lists": (read_json, "[" * DEEP, Trouble.TOO_DEEP),
    "json-objects": (read_json, '{"a":' * DEEP, Trouble.TOO_DEEP),
    "json-values": (read_json, "[" + "1," * (MAX_VALUES + 1), Trouble.TOO_BIG),
    "json-open-text": (read_json, '"' + "\\" * 2_000_001, Trouble.SYNTAX),
    "json-open-comments": (read_json, "/*" * 1_000_000, Trouble.SYNTAX),
    "json-word": (read_json, "x" * 5_000_000, Trouble.SYNTAX),
    "json-escape": (read_json, '"\\u12\x1b[31m"', Trouble.SYNTAX),
    "toml-lists": (read_toml, "a=" + "[" * DEEP, Trouble.TOO_DEEP),
    "toml-tables": (read_toml, "a=" + "{a=" * DEEP, Trouble.TOO_DEEP),
    "toml-keys": (read_toml, "a." * DEEP + "a=1", Trouble.TOO_DEEP),
    "toml-headers": (read_toml, "[" + "a." * DEEP + "a]", Trouble.TOO_DEEP),
    "toml-number": (read_toml, "a=" + "1" * 1_000_000, Trouble.SYNTAX),
    "toml-text": (read_toml, 'a="""' + '"' * 1_000_000, Trouble.SYNTAX),
    "yaml-lists": (read_yaml, "[" * DEEP, Trouble.TOO_DEEP),
    "yaml-objects": (read_yaml, "{a: " * DEEP, Trouble.TOO_DEEP),
    "yaml-blocks": (read_yaml, "- " * DEEP, Trouble.TOO_DEEP),
    "yaml-itself": (read_yaml, "a: &a [*a]", Trouble.SYNTAX),
    "yaml-bomb": (
        read_yaml,
        "a: &a [x,x,x,x,x,x,x,x,x]\n"
        + "".join(f"{chr(98 + i)}: &{chr(98 + i)} [{','.join(['*' + chr(97 + i)] * 9)}]\n" for i in range(10)),
        Trouble.TOO_BIG,
    ),
    "yaml-deep-aliases": (
        read_yaml,
        "a0: &a0 [x]\n" + "".join(f"a{i}: &a{i} [*a{i - 1}]\n" for i in range(1, 300)),
        Trouble.TOO_DEEP,
    ),
    "yaml-anchors": (read_yaml, "&" * 1_000_000, Trouble.SYNTAX),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_text_is_refused_in_one_sentence(name: str) -> None:
    reader, text, trouble = HOSTILE[name]
    refused = refusal(reader, text)
    assert refused.trouble is trouble
    assert re.fullmatch(r"f:\d+:\d+: [^\n\x00-\x1f]{1,500}\.", str(refused))


def test_huge_numbers_are_numbers() -> None:
    text = '{"timeout": 1e999, "x": ' + "9" * 100_000 + ', "y": -0, "z": 12345678901234567890}'
    assert plain(read_json(Source("f", text)).root) == {
        "timeout": math.inf,
        "x": math.inf,
        "y": 0,
        "z": 1.2345678901234567e19,
    }


def test_values_may_stand_as_deep_as_is_said() -> None:
    text = "[" * MAX_DEPTH + "]" * MAX_DEPTH
    assert isinstance(read_json(Source("f", text)).root, Items)
    assert isinstance(read_yaml(Source("f", text)).root, Items)


# files ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "trouble", "place"),
    [
        (b"", Trouble.EMPTY, "1:1"),
        (b"\xef\xbb\xbf \n", Trouble.EMPTY, "1:1"),
        ('{"a": 1}'.encode("utf-16"), Trouble.ENCODING, "1:1"),
        ('{"a": 1}'.encode("utf-32"), Trouble.ENCODING, "1:1"),
        ('{"a": 1}'.encode("utf-16-le"), Trouble.ENCODING, "1:1"),
        ('{\n "ä": "ö"}'.encode("latin-1"), Trouble.ENCODING, "2:3"),
        ("ä\n öx".encode() + b"\xff", Trouble.ENCODING, "2:4"),
        (bytes(range(256)) * 40, Trouble.BINARY, "2:118"),
        (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", Trouble.BINARY, "1:1"),
    ],
)
def test_bytes_that_are_no_utf_8_are_named(data: bytes, trouble: Trouble, place: str) -> None:
    with pytest.raises(Unreadable) as refused:
        decode(data, "f")
    assert (refused.value.trouble, str(refused.value.place)) == (trouble, f"f:{place}")


def test_a_byte_order_mark_is_read_over_and_remembered() -> None:
    source = decode(b"\xef\xbb\xbf{}", "f")
    assert (source.text, source.marked) == ("{}", True)


def test_what_is_no_file_is_named(tmp_path: Path) -> None:
    loop = tmp_path / "loop"
    loop.symlink_to(tmp_path / "pool")
    (tmp_path / "pool").symlink_to(loop)
    (tmp_path / "dangling").symlink_to(tmp_path / "nothing")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "big").write_bytes(b"x" * 2000)
    found = {}
    for path in (loop, tmp_path / "dangling", tmp_path / "pipe", tmp_path, tmp_path / "a\0b", tmp_path / "big" / "x"):
        with pytest.raises(Unreadable) as refused:
            read(path)
        found[path.name] = refused.value.trouble
        assert "\n" not in str(refused.value)
    assert found == {
        "loop": Trouble.LINK_LOOP,
        "dangling": Trouble.MISSING,
        "pipe": Trouble.NOT_A_FILE,
        tmp_path.name: Trouble.NOT_A_FILE,
        "a\0b": Trouble.FORBIDDEN,
        "x": Trouble.MISSING,
    }
    with pytest.raises(Unreadable) as refused:
        read(tmp_path / "big", limit=1024)
    assert refused.value.trouble is Trouble.TOO_BIG
    assert read(tmp_path / "big").text == "x" * 2000
