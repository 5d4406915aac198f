"""Writing a run in the formats that other tools read."""

from __future__ import annotations

import importlib
import itertools
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path

from workbench.core.distribution import install_hint
from workbench.core.errors import BadInput
from workbench.core.paths import given
from workbench.runs.run_folder import RunFolder

_SUFFIXES = {
    "onnx": ".onnx",
    "safetensors": ".safetensors",
    "pytorch": ".pt",
    "tensorboard": "-tensorboard",
    "csv": ".csv",
}


def export_run(folder: RunFolder, form: str, to: str | None) -> Path:
    """Write a run in another form and return where; nothing is overwritten. Raises `BadInput`."""
    name = f"{folder.id}{_SUFFIXES[form]}"
    target = given(to) if to else Path(name)
    if target.is_dir() and form != "tensorboard":
        target /= name
    if target.exists():
        raise BadInput(f"{target} is there already; name another place with --to")
    try:
        write: Callable[[RunFolder, Path], None] = importlib.import_module(
            f"workbench.export.{form}_form"
        ).write
        write(folder, target)
    except ModuleNotFoundError as error:
        raise BadInput(f"writing {form} needs the package '{error.name}': {install_hint('export')}") from None
    except BadInput:
        raise
    except Exception as error:
        # Whatever an exporter stumbles over: it has no use for half a file, and a person none for a traceback.
        _discard(target)
        why = error.strerror if isinstance(error, OSError) else f"{type(error).__name__}: {error}"
        raise BadInput(f"{folder.id} can't be written as {form} to {target}: {why}") from error
    return target


def free_name(run: str, name: str, form: str) -> str:
    """A file's name that nothing in this folder has yet: the run's id, `-2` and so on behind it where it is taken.

    `name`, what the run is called now, stands before the id where the id doesn't hold it, without what a file
    system may not take.
    """
    plain = re.sub(r"[^\w.+@-]+", "-", name)[:40].lstrip("-.")
    stem = run if plain in run else f"{plain}-{run}"
    names = (f"{stem}{'' if count == 1 else f'-{count}'}{_SUFFIXES[form]}" for count in itertools.count(1))
    return next(each for each in names if not os.path.lexists(each))


def _discard(target: Path) -> None:
    """Leave nothing half written."""
    if target.is_dir():
        shutil.rmtree(target, ignore_errors=True)
    else:
        target.unlink(missing_ok=True)
