"""Which version of the user's code an attempt runs."""

from __future__ import annotations

import contextlib
from pathlib import Path

from workbench.config.experiment import Experiment
from workbench.core.errors import UserError
from workbench.core.user_code import is_user_code, user_code_file
from workbench.io.atomic_files import write_bytes
from workbench.runs.external_log import ExternalLog
from workbench.runs.journal import SourceVersion
from workbench.runs.run_folder import RunFolder
from workbench.runs.script import Script, read_description
from workbench.system.git import read_diff, read_repository


def record_source(folder: RunFolder, attempt: int) -> SourceVersion | None:
    """The git commit of the code that a run will execute; the difference from it is kept in the run's folder."""
    code = _code_folder(read_description(folder.experiment))
    repository = None if code is None else read_repository(code)
    if code is None or repository is None:
        return None
    if diff := read_diff(code):
        with contextlib.suppress(OSError):  # a full disk: the run itself reports it
            write_bytes(folder.source_diff(attempt), diff, durable=False)
    return SourceVersion(
        repository=repository.root,
        commit=repository.commit,
        branch=repository.branch,
        changed=repository.changed,
    )


def _code_folder(described: Experiment | Script | ExternalLog | None) -> Path | None:
    """The folder of the user's code; `None` for a training that runs none."""
    if isinstance(described, Script):
        return Path(described.working_directory)
    names = (described.data.name, described.model.name) if isinstance(described, Experiment) else ()
    for name in filter(is_user_code, names):
        with contextlib.suppress(UserError):
            return user_code_file(name).parent
    return None
