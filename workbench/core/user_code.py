"""Names of datasets and models that are in a Python file of the user: `./file.py:Name`."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import sys
import traceback
from collections.abc import Callable, Iterator
from importlib.machinery import SourceFileLoader
from pathlib import Path
from typing import Any, NoReturn

from workbench.core.errors import UserError, did_you_mean
from workbench.core.paths import expand_user_path
from workbench.core.progress import Cancelled
from workbench.core.text import one_line

_MARK = ".py:"
_MODULE_PREFIX = "workbench_own_"


def is_user_code(name: str) -> bool:
    """Whether `name` is of the form `FILE.py:NAME`."""
    return _MARK in name


def split_user_code_name(name: str) -> tuple[str, str]:
    """The file and the name in it, of a name for which `is_user_code` holds."""
    file, _, attribute = name.rpartition(":")
    return file, attribute


_FILE_KINDS = {"folder", "csv", "npz", "tar", "parquet"}
"""Those of `datasets.file_sources`."""


def short_name(name: str) -> str:
    """The name of a dataset or a model without the path of its file or folder: `net.py:Net`, `folder:pets`."""
    kind, separator, path = name.partition(":")
    if is_user_code(name):
        return name.rpartition("/")[2]
    return f"{kind}:{Path(path).name}" if separator and kind in _FILE_KINDS else name


class _FreshSource(SourceFileLoader):
    """Compiles the source at every import.

    Bytecode counts as current when size and whole seconds of its source match: an edit can go unnoticed.
    """

    def path_stats(self, path: str) -> NoReturn:
        raise OSError(f"no bytecode of {path} is read or written")


def load_object(name: str) -> Callable[..., Any]:
    """The class or function `FILE.py:NAME`; the file is imported as a module. Raises `UserError`."""
    path, attribute = user_code_file(name), name.rpartition(":")[2]
    if not path.is_file():
        raise UserError(f"file not found: {path}")
    module_name = f"{_MODULE_PREFIX}{path.stem}"
    spec = importlib.util.spec_from_file_location(
        module_name, path, loader=_FreshSource(module_name, str(path))
    )
    if spec is None or spec.loader is None:
        raise UserError(f"{path} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[module_name] = module
    folder = str(path.parent)
    if folder not in sys.path:
        sys.path.insert(0, folder)  # the file can import its neighbors, as a script can
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        raise UserError(f"{path} can't be imported: {describe_user_code_error(error, path)}") from None
    factory: object = getattr(module, attribute, None)
    if not callable(factory):
        names = [key for key, value in vars(module).items() if callable(value) and not key.startswith("_")]
        raise UserError(f"{path} has no class or function '{attribute}'{did_you_mean(attribute, names)}")
    return factory


@contextlib.contextmanager
def without_stdin() -> Iterator[None]:
    """Give user code an empty `sys.stdin`: the real one is a pipe of ours, which `input()` would wait for."""
    stdin = sys.stdin
    with open(os.devnull, encoding="utf-8") as empty:  # noqa: PTH123
        sys.stdin = empty
        try:
            yield
        finally:
            sys.stdin = stdin


@contextlib.contextmanager
def user_code_errors(name: str) -> Iterator[None]:
    """Raise exceptions as `UserError` with the line of the user's file where `name` is in one, `FILE.py:NAME`."""
    try:
        yield
    except (UserError, Cancelled):
        raise
    except Exception as error:
        if not is_user_code(name):
            raise
        reason = describe_user_code_error(error, user_code_file(name))
        raise UserError(f"{name} failed: {reason}") from None


def describe_user_code_error(error: BaseException, path: Path) -> str:
    """An exception raised by the user's file `path`, in one line, with the innermost line of that file."""
    kind, message = type(error).__name__, one_line(error, 300)
    text = kind if message == kind else f"{kind}: {message}"
    if isinstance(error, SyntaxError) and error.lineno:
        return f"{text} ({error.filename}:{error.lineno})"
    lines = [f.lineno for f in traceback.extract_tb(error.__traceback__) if Path(f.filename) == path]
    return f"{text} ({path}:{lines[-1]})" if lines else f"{text} ({path})"


def user_code_line(error: BaseException) -> str:
    """`FILE:LINE` of the innermost line of an imported file of the user that an exception passed; else empty."""
    files = {module.__file__ for name, module in list(sys.modules.items()) if name.startswith(_MODULE_PREFIX)}
    frames = traceback.extract_tb(error.__traceback__)
    return next((f"{f.filename}:{f.lineno}" for f in reversed(frames) if f.filename in files), "")


def user_code_file(name: str) -> Path:
    """The absolute path of the file in `FILE.py:NAME`."""
    return expand_user_path(name.rpartition(":")[0]).absolute()
