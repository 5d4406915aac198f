"""Names of datasets and models that are in a Python file of the user: `./file.py:Name`."""

from __future__ import annotations

import importlib.util
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from workbench.core.errors import BadInput
from workbench.core.paths import given
from workbench.core.text import one_line

_MARK = ".py:"


def is_user_code(name: str) -> bool:
    """Whether `name` is of the form `FILE.py:NAME`."""
    return _MARK in name


def split_name(name: str) -> tuple[str, str]:
    """The file and the name in it, of a name that `is_user_code`."""
    file, _, attribute = name.rpartition(":")
    return file, attribute


def load_object(name: str) -> Callable[..., Any]:
    """The class or function that `FILE.py:NAME` names; the file is run as a module of its own. Raises `BadInput`."""
    path, attribute = _file_of(name), name.rpartition(":")[2]
    if not path.is_file():
        raise BadInput(f"there is no file {path}")
    module_name = f"workbench_own_{path.stem}"
    spec = importlib.util.spec_from_file_location(module_name, path)
    if spec is None or spec.loader is None:
        raise BadInput(f"{path} is no Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[module_name] = module
    folder = str(path.parent)
    if folder not in sys.path:
        sys.path.insert(0, folder)  # so that the file finds its neighbours, as it does when it is run
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        raise BadInput(f"{path} can't be imported: {where_it_failed(error, path)}") from None
    found = getattr(module, attribute, None)
    if not callable(found):
        raise BadInput(f"{path} has no class or function '{attribute}'")
    return found


def where_it_failed(error: BaseException, path: Path) -> str:
    """An exception of somebody's own code in one line, with the deepest line of their file."""
    kind, said = type(error).__name__, one_line(error, 300)
    words = kind if said == kind else f"{kind}: {said}"
    if isinstance(error, SyntaxError) and error.lineno:
        return f"{words} ({error.filename}:{error.lineno})"
    lines = [f.lineno for f in traceback.extract_tb(error.__traceback__) if Path(f.filename) == path]
    return f"{words} ({path}:{lines[-1]})" if lines else f"{words} ({path})"


def _file_of(name: str) -> Path:
    return given(name.rpartition(":")[0]).absolute()
