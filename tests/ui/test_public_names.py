"""The screen uses nothing private of Textual and Rich, which may change with any release.

A private attribute of an own class must not have the name of one of Textual's either: each would overwrite the other.
"""

from __future__ import annotations

import ast
import importlib
import inspect
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from textwrap import dedent
from types import ModuleType

import pytest

from tests import house

LIBRARIES = {"textual", "rich"}
PUBLIC = {"_replace", "_asdict", "_fields", "_make", "_exit"}
"""Documented names in spite of their underscore: those of named tuples, and `os._exit`."""


def is_private(name: str) -> bool:
    return name.startswith("_") and name.strip("_") != "" and not name.endswith("__")


def private_imports(tree: ast.AST) -> Iterator[str]:
    """Imports of private modules of the libraries, or of private names from their modules."""
    for node in ast.walk(tree):
        paths = []
        if isinstance(node, ast.Import):
            paths = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and not node.level:
            paths = [f"{node.module}.{alias.name}" for alias in node.names]
        for parts in (path.split(".") for path in paths):
            if parts[0] in LIBRARIES and any(map(is_private, parts)):
                yield ".".join(parts)


def foreign_attributes(tree: ast.AST) -> Iterator[str]:
    """Private attributes of anything but `self` and `cls`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and is_private(node.attr) and node.attr not in PUBLIC:
            owner = node.value
            if not isinstance(owner, ast.Name) or owner.id not in {"self", "cls"}:
                yield ast.unparse(node)


def own_names(tree: ast.AST) -> set[str]:
    """The private names that a class defines, and those of its instances that it uses."""
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            names.add(node.name)
        elif (
            isinstance(node, ast.Attribute)
            and isinstance(node.value, ast.Name)
            and node.value.id in {"self", "cls"}
        ):
            names.add(node.attr)
    return set(filter(is_private, names))


def tree_of(cls: type) -> ast.AST:
    return ast.parse(dedent(inspect.getsource(cls)))


@cache
def library_names(cls: type) -> frozenset[str]:
    """The private names of a class of a library, with those of its instances."""
    return frozenset(own_names(tree_of(cls)))


def shared_names(cls: type) -> set[str]:
    """The private names that a class of the screen shares with its bases of the libraries."""
    bases = [base for base in cls.__mro__ if base.__module__.partition(".")[0] in LIBRARIES]
    return own_names(tree_of(cls)) & {name for base in bases for name in library_names(base)}


def classes(module: ModuleType) -> Iterator[type]:
    """The classes that a module defines."""
    for cls in vars(module).values():
        if inspect.isclass(cls) and cls.__module__ == module.__name__:
            yield cls


def module_of(path: Path) -> ModuleType:
    return importlib.import_module(".".join(path.relative_to(house.ROOT).with_suffix("").parts))


UI_SOURCES = sorted((house.PACKAGE / "ui").rglob("*.py"))
TEST_SOURCES = sorted((house.ROOT / "tests").rglob("*.py"))


def test_nothing_private_of_textual_and_rich_is_imported() -> None:
    found = {
        str(path.relative_to(house.ROOT)): names
        for path in [*house.sources(), *TEST_SOURCES]
        if (names := list(private_imports(ast.parse(path.read_text(encoding="utf-8")))))
    }
    assert found == {}


def test_only_the_object_itself_uses_its_private_attributes() -> None:
    found = {
        str(path.relative_to(house.ROOT)): names
        for path in UI_SOURCES
        if (names := list(foreign_attributes(ast.parse(path.read_text(encoding="utf-8")))))
    }
    assert found == {}


def test_no_class_shares_a_private_name_with_textual() -> None:
    found = {
        cls.__qualname__: names
        for path in UI_SOURCES
        for cls in classes(module_of(path))
        if (names := shared_names(cls))
    }
    assert found == {}


@pytest.mark.parametrize(
    "line", ["import textual._ansi_sequences", "from textual._compositor import Compositor",
             "from textual import _xterm_parser", "from textual.keys import _character_to_key",
             "import rich._palettes as palettes"]
)  # fmt: skip
def test_private_imports_are_found(line: str) -> None:
    assert len(list(private_imports(ast.parse(line)))) == 1


def test_private_attributes_are_found() -> None:
    assert list(foreign_attributes(ast.parse("self._own = app._bindings"))) == ["app._bindings"]


def test_shared_names_are_found() -> None:
    from textual.app import App

    class Reads(App[None]):
        def labels(self) -> object:
            return self._bindings

    class Overrides(App[None]):
        async def _on_key(self) -> None:
            pass

    class Assigns(App[None]):
        def __init__(self) -> None:
            super().__init__()
            self._loop = self._own = 0

    assert [shared_names(cls) for cls in (Reads, Overrides, Assigns)] == [
        {"_bindings"},
        {"_on_key"},
        {"_loop"},
    ]
