"""Walking: which files of a tree are read, in which order, and what is left alone."""

from __future__ import annotations

import os
from contextlib import chdir
from pathlib import Path

import pytest

from mcpdoctor.clients.walking import MOST_BYTES, Found, by_suffix, walk

WANTED = by_suffix({".py": (b"mcp", b"agentcore"), ".json": (b"mcp",), ".txt": ()})


def found(*roots: Path, most: int = MOST_BYTES) -> list[str]:
    """Paths below the first root, with the reason where one was not read."""
    made = walk([str(root) for root in roots], WANTED, most=most)
    names = [(os.path.relpath(one.path, roots[0]), one.reason) for one in made]
    return [name if reason is None else f"{name}: {reason}" for name, reason in names]


def put(root: Path, name: str, data: bytes = b"import mcp") -> Path:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def test_files_that_hold_a_needle_come_in_the_order_of_their_names(tmp_path: Path) -> None:
    for name in ("b.py", "a/z.py", "a/b/c.json", "c.txt", "d.toml", "noend", ".hidden/x.py"):
        put(tmp_path, name)
    put(tmp_path, "no.py", b"import os")
    put(tmp_path, "yes.py", b"bedrock-agentcore")
    put(tmp_path, "no.json", b"bedrock-agentcore")
    assert found(tmp_path) == ["b.py", "c.txt", "yes.py", ".hidden/x.py", "a/z.py", "a/b/c.json"]


def test_what_is_found_holds_the_whole_file(tmp_path: Path) -> None:
    data = b"x" * 200_000 + b"mcp" + bytes(range(256)) * 1_000
    path = put(tmp_path, "a.py", data)
    assert list(walk([str(tmp_path)], WANTED)) == [Found(path=str(path), data=data)]


@pytest.mark.parametrize(
    "directory", [".git", "node_modules", ".venv", "lib/site-packages", "__pycache__", "build", "dist", "a/.tox"]
)
def test_what_others_wrote_is_not_looked_into(tmp_path: Path, directory: str) -> None:
    put(tmp_path, f"{directory}/a.py")
    assert found(tmp_path) == []


def test_a_virtual_environment_of_any_name_is_not_looked_into(tmp_path: Path) -> None:
    put(tmp_path, "env/pyvenv.cfg")
    put(tmp_path, "env/bin/a.py")
    put(tmp_path, "env/zzz/a.py")
    assert found(tmp_path) == []


def test_a_root_is_looked_into_whatever_it_is_called(tmp_path: Path) -> None:
    put(tmp_path, "build/a.py")
    assert found(tmp_path / "build") == ["a.py"]


def test_a_file_that_is_named_is_given_whatever_it_holds(tmp_path: Path) -> None:
    path = put(tmp_path, "a.cfg", b"nothing")
    assert list(walk([str(path)], WANTED)) == [Found(path=str(path), data=b"nothing")]


def test_links_are_followed_where_they_are_named_only(tmp_path: Path) -> None:
    put(tmp_path, "outside/a.py")
    tree = tmp_path / "tree"
    put(tree, "real.py")
    (tree / "loop").symlink_to(tree)
    (tree / "away").symlink_to(tmp_path / "outside")
    (tree / "file.py").symlink_to(tmp_path / "outside" / "a.py")
    (tree / "broken.py").symlink_to(tmp_path / "nothing")
    assert found(tree) == ["real.py"]
    (tmp_path / "named").symlink_to(tree)
    assert found(tmp_path / "named") == ["real.py"]
    assert found(tree / "file.py") == ["."]


def test_a_fifo_does_not_hold_the_walk_up(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.py")
    put(tmp_path, "b.py")
    assert found(tmp_path) == ["b.py"]
    assert found(tmp_path / "a.py") == ["."]


def test_a_file_that_is_too_large_is_told(tmp_path: Path) -> None:
    put(tmp_path, "a.py", b"mcp" + b" " * (1 << 20))
    put(tmp_path, "b.py", b"mcp")
    assert found(tmp_path, most=1 << 20) == ["a.py: larger than 1 MiB", "b.py"]
    assert found(tmp_path, most=(1 << 20) + 3) == ["a.py", "b.py"]


@pytest.mark.parametrize("name", ["missing", "nul\0byte"])
def test_a_root_that_is_not_there_is_told(tmp_path: Path, name: str) -> None:
    (only,) = walk([f"{tmp_path}/{name}"], WANTED)
    assert only.data == b""
    assert only.reason


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_what_may_not_be_read_is_told(tmp_path: Path) -> None:
    put(tmp_path, "a.py").chmod(0)
    put(tmp_path, "b/c.py")
    (tmp_path / "b").chmod(0)
    assert found(tmp_path) == ["a.py: Permission denied", "b: Permission denied"]
    (tmp_path / "b").chmod(0o700)


def test_a_file_that_vanishes_is_told(tmp_path: Path) -> None:
    put(tmp_path, "a.py")
    path = put(tmp_path, "b.py")
    walking = walk([str(tmp_path)], WANTED)
    next(walking)
    path.unlink()
    assert [one.reason for one in walking] == ["No such file or directory"]


def test_a_tree_deeper_than_the_stack_is_walked(tmp_path: Path) -> None:
    with chdir(tmp_path):
        for _ in range(1_200):
            Path("d").mkdir()
            os.chdir("d")
        Path("a.py").write_bytes(b"mcp")
        walked = found(tmp_path)
        # What is left here, pytest clears away in a later run, and its clearing is not as deep as ours.
        Path("a.py").unlink()
        for _ in range(1_200):
            os.chdir("..")
            Path("d").rmdir()
    assert len(walked) == 1


def test_names_that_are_no_utf_8_are_given_on(tmp_path: Path) -> None:
    path = os.fsencode(tmp_path) + b"/\xff.py"
    Path(os.fsdecode(path)).write_bytes(b"mcp")
    (only,) = walk([str(tmp_path)], WANTED)
    assert os.fsencode(only.path) == path
