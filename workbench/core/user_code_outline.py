"""What a Python file of the user defines, read without running it: mistakes are found before anything is started."""

from __future__ import annotations

import ast
from collections.abc import Collection
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from workbench.core.errors import UserError, did_you_mean
from workbench.core.user_code import describe_user_code_error, split_user_code_name, user_code_file


def check_user_code(name: str) -> None:
    """Raise `UserError` where the file of `FILE.py:NAME` has no NAME or is not Python.

    A file that may define names in other ways (`from x import *`, `exec`, `globals()`) is accepted.
    """
    path, attribute = user_code_file(name), split_user_code_name(name)[1]
    outline = _outline(path)
    if outline.is_dynamic or attribute in outline.names:
        return
    offered = [
        known for known in outline.names if known not in outline.imported and not known.startswith("_")
    ]
    raise UserError(f"{path} has no class or function '{attribute}'{did_you_mean(attribute, offered)}")


def check_data_function(name: str, options: Collection[str]) -> None:
    """Raise `UserError` where the function `FILE.py:NAME` can't be called with these options alone."""
    parameters = declared_parameters(name)
    if parameters is None:
        return
    if problem := parameters.call_problem(split_user_code_name(name)[1], options):
        raise UserError(f"{problem} ({user_code_file(name)}:{parameters.line})")


def check_model_class(name: str) -> None:
    """Raise `UserError` where `FILE.py:NAME` is a model that is already made, and not its class."""
    path, attribute = user_code_file(name), split_user_code_name(name)[1]
    if kind := _outline(path).objects.get(attribute):
        raise UserError(f"{path}: {made_model_message(attribute, kind)}")


def made_model_message(name: str, kind: str) -> str:
    """What is wrong with a model that is no class, and what to do."""
    if kind == "Sequential":
        return f"{name} is a model, not a class: put it into a function (def make_{name}(): return …) and name that"
    return f"{name} is a model, not a class; name {kind}"


@dataclass(frozen=True)
class Parameters:
    """The parameters of a function, or of a class when it is created."""

    names: tuple[str, ...]
    required: tuple[str, ...]
    """Those without a default."""
    takes_any: bool
    """Whether it takes keyword arguments of any name."""
    line: int

    def call_problem(self, name: str, options: Collection[str]) -> str:
        """Why the data function `name` can't be called with these options; empty if it can."""
        missing = [parameter for parameter in self.required if parameter not in options]
        if missing:
            settings = " ".join(f"--set data.{parameter}=VALUE" for parameter in missing)
            return (
                f"{name} must take no arguments, and it requires {', '.join(missing)}: give them defaults, or pass "
                f"{settings}"
            )
        unknown = [option for option in options if option not in self.names and not self.takes_any]
        if unknown:
            return f"data.{unknown[0]}: {name} takes {', '.join(self.names) or 'no arguments'}"
        return ""


def declared_parameters(name: str) -> Parameters | None:
    """The parameters of `FILE.py:NAME`; `None` where only running the file can tell. Raises `UserError`."""
    return _outline(user_code_file(name)).parameters.get(split_user_code_name(name)[1])


def _outline(path: Path) -> _Outline:
    try:
        status = path.stat()
        return _read_outline(path, status.st_mtime_ns, status.st_size)
    except OSError as error:
        raise UserError(f"{path} can't be read: {error.strerror}") from None


@lru_cache(maxsize=16)
def _read_outline(path: Path, _modified: int, _size: int) -> _Outline:
    """What a file defines. Raises `UserError`, `OSError`."""
    try:
        tree = ast.parse(path.read_bytes(), str(path))
    except (SyntaxError, ValueError, RecursionError) as error:
        raise UserError(f"{path} can't be imported: {describe_user_code_error(error, path)}") from None
    outline = _Outline(tree)
    outline.visit(tree)
    return outline


class _Outline(ast.NodeVisitor):
    """Collects what a module binds outside of functions and classes; the last binding of a name counts."""

    def __init__(self, module: ast.Module) -> None:
        self._unconditional = {id(node) for node in module.body}
        self.names: set[str] = set()
        self.imported: set[str] = set()
        self.parameters: dict[str, Parameters] = {}
        """By the names of functions and classes, where they are written here."""
        self.objects: dict[str, str] = {}
        """By name, the class of models that are made here."""
        self.is_dynamic = False
        self._classes: dict[str, ast.ClassDef] = {}

    def visit_FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        """A function, whose body binds names of its own."""
        self._bind(node.name)
        if not node.decorator_list and id(node) in self._unconditional:
            self.parameters[node.name] = _parameters(node, bound=0)

    visit_AsyncFunctionDef = visit_FunctionDef

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        """A class, whose body binds names of its own."""
        self._bind(node.name)
        self._classes[node.name] = node
        creator = _method(node, "__init__")
        if creator is not None and not node.decorator_list and id(node) in self._unconditional:
            self.parameters[node.name] = _parameters(creator, bound=1)

    def visit_Assign(self, node: ast.Assign) -> None:
        """An assignment, perhaps of a model."""
        self.generic_visit(node)
        kind = self._made_class(node.value)
        for target in node.targets:
            if isinstance(target, ast.Name) and kind and id(node) in self._unconditional:
                self.objects[target.id] = kind

    def _made_class(self, value: ast.expr) -> str:
        """The class of this file, or torch's `Sequential`, that `value` is an object of; empty for anything else."""
        if not isinstance(value, ast.Call):
            return ""
        made = value.func
        if isinstance(made, ast.Name) and made.id in self._classes:
            # Objects of a class with this method may make models.
            return "" if _method(self._classes[made.id], "__call__") else made.id
        name = made.attr if isinstance(made, ast.Attribute) else made.id if isinstance(made, ast.Name) else ""
        return name if name == "Sequential" else ""

    def visit_Name(self, node: ast.Name) -> None:
        """A variable that is assigned, or a call that may define anything."""
        if isinstance(node.ctx, ast.Store):
            self._bind(node.id)
        elif node.id in {"exec", "globals", "locals", "vars", "setattr"}:
            self.is_dynamic = True

    def visit_alias(self, node: ast.alias) -> None:
        """An import."""
        self.is_dynamic |= node.name == "*"
        name = node.asname or node.name.partition(".")[0]
        self._bind(name)
        self.imported.add(name)

    def _bind(self, name: str) -> None:
        self.names.add(name)
        self.imported.discard(name)
        for known in (self.parameters, self.objects, self._classes):
            known.pop(name, None)


def _method(node: ast.ClassDef, name: str) -> ast.FunctionDef | None:
    return next((part for part in node.body if isinstance(part, ast.FunctionDef) and part.name == name), None)


def _parameters(node: ast.FunctionDef | ast.AsyncFunctionDef, bound: int) -> Parameters:
    """The parameters of a function, without the first `bound` ones (`self`)."""
    arguments = node.args
    positional = [*arguments.posonlyargs, *arguments.args]
    required = positional[: len(positional) - len(arguments.defaults)]
    required += [
        argument
        for argument, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
        if default is None
    ]
    return Parameters(
        names=tuple(argument.arg for argument in [*positional, *arguments.kwonlyargs][bound:]),
        required=tuple(argument.arg for argument in required[bound:]),
        takes_any=arguments.kwarg is not None,
        line=node.lineno,
    )
