"""Exports a run to formats of other tools."""

from __future__ import annotations

import importlib
import itertools
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path

from workbench.core.distribution import install_hint
from workbench.core.errors import UserError
from workbench.core.paths import expand_user_path
from workbench.export.formats import FORMATS
from workbench.runs.run_folder import RunFolder


def export_run(folder: RunFolder, format: str, target_path: str | None) -> Path:
    """Export a run and return the path of the export. Never overwrites a file. Raises `UserError`."""
    name = f"{folder.id}{FORMATS[format].suffix}"
    target = expand_user_path(target_path) if target_path else Path(name)
    if target.is_dir() and not FORMATS[format].is_directory:
        target /= name
    if target.exists():
        raise UserError(f"{target} already exists; choose another path with --to")
    try:
        write: Callable[[RunFolder, Path], None] = importlib.import_module(
            f"workbench.export.{FORMATS[format].module}"
        ).write
        write(folder, target)
    except ModuleNotFoundError as error:
        raise UserError(
            f"exporting to {format} needs the package '{error.name}': {install_hint('export')}"
        ) from None
    except UserError:
        raise
    except Exception as error:
        # Exporters are third-party code and may raise any exception; no partial file is left.
        _discard(target)
        reason = error.strerror if isinstance(error, OSError) else f"{type(error).__name__}: {error}"
        raise UserError(f"can't export {folder.id} as {format} to {target}: {reason}") from error
    return target


def unused_name(run: str, name: str, format: str) -> str:
    """An unused file name in the working directory for an export: the id of the run, followed by `-2` etc. if needed.

    `name`, the current name of the run, is put before the id unless the id contains it, without characters that file
    systems may not support.
    """
    plain = re.sub(r"[^\w.+@-]+", "-", name)[:40].lstrip("-.")
    stem = run if plain in run else f"{plain}-{run}"
    names = (
        f"{stem}{'' if count == 1 else f'-{count}'}{FORMATS[format].suffix}" for count in itertools.count(1)
    )
    return next(candidate for candidate in names if not os.path.lexists(candidate))


def _discard(target: Path) -> None:
    """Delete a partial export."""
    if target.is_dir():
        shutil.rmtree(target, ignore_errors=True)
    else:
        target.unlink(missing_ok=True)
