"""A run in the forms that other tools read."""

from __future__ import annotations

import importlib
import shutil
from collections.abc import Callable
from pathlib import Path

from workbench.errors import BadInput
from workbench.runs.layout import RunFolder

_SUFFIXES = {
    "onnx": ".onnx",
    "safetensors": ".safetensors",
    "pytorch": ".pt",
    "tensorboard": "-tensorboard",
    "csv": ".csv",
}


def export_run(folder: RunFolder, form: str, to: str | None) -> Path:
    """Write a run in another form and return where; nothing is overwritten. Raises `BadInput`."""
    target = Path(to).expanduser() if to else Path(f"{folder.id}{_SUFFIXES[form]}")
    if target.is_dir() and form != "tensorboard":
        target /= f"{folder.id}{_SUFFIXES[form]}"
    if target.exists():
        raise BadInput(f"{target} is there already; name another place with --to")
    write: Callable[[RunFolder, Path], None] = importlib.import_module(f"workbench.export.{form}_form").write
    try:
        write(folder, target)
    except ModuleNotFoundError as error:
        _discard(target)
        raise BadInput(f"--format {form} needs '{error.name}': pip install 'workbench[export]'") from None
    except OSError as error:
        _discard(target)
        raise BadInput(f"{target} can't be written: {error.strerror or error}") from None
    return target


def _discard(target: Path) -> None:
    """Leave nothing half written."""
    if target.is_dir():
        shutil.rmtree(target, ignore_errors=True)
    else:
        target.unlink(missing_ok=True)
