"""A run in the forms that other tools read."""

from __future__ import annotations

import importlib
import shutil
from collections.abc import Callable
from pathlib import Path

from workbench.errors import BadInput
from workbench.paths import given
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
    target = given(to) if to else Path(f"{folder.id}{_SUFFIXES[form]}")
    if target.is_dir() and form != "tensorboard":
        target /= f"{folder.id}{_SUFFIXES[form]}"
    if target.exists():
        raise BadInput(f"{target} is there already; name another place with --to")
    try:
        write: Callable[[RunFolder, Path], None] = importlib.import_module(
            f"workbench.export.{form}_form"
        ).write
        write(folder, target)
    except ModuleNotFoundError as error:
        raise BadInput(f"--format {form} needs '{error.name}': pip install 'workbench[export]'") from None
    except BadInput:
        raise
    except Exception as error:
        # Whatever an exporter stumbles over: it has no use for half a file, and a person none for a traceback.
        _discard(target)
        why = error.strerror if isinstance(error, OSError) else f"{type(error).__name__}: {error}"
        raise BadInput(f"{folder.id} can't be written as {form} to {target}: {why}") from error
    return target


def _discard(target: Path) -> None:
    """Leave nothing half written."""
    if target.is_dir():
        shutil.rmtree(target, ignore_errors=True)
    else:
        target.unlink(missing_ok=True)
