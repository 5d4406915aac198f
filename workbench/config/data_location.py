"""Where the dataset of a run is now: `data.json` in its folder, written when the user says that it was moved.

`experiment.json` never changes; whoever reads the experiment of a run gets the current place.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from workbench.core.errors import UserError
from workbench.core.paths import expand_user_path, is_folder
from workbench.core.settings_schema import Section
from workbench.core.user_code import is_user_code, split_user_code_name
from workbench.datasets import catalog as datasets
from workbench.datasets.file_sources import find_source
from workbench.io.atomic_files import read_json, write_json

FILE_NAME = "data.json"


def with_current_dataset(experiment: Section, run: Path) -> Section:
    """The JSON form of the experiment of the run in the folder `run`, with its dataset where it is now."""
    location = read_json(run / FILE_NAME)
    name = location.get("name") if isinstance(location, Mapping) else None
    return with_dataset_name(experiment, name if isinstance(name, str) else "")


def with_dataset_name(experiment: Section, name: str) -> Section:
    """The JSON form of an experiment whose dataset has this name now; unchanged if it is empty."""
    data = experiment.get("data")
    if not name or not isinstance(data, Mapping):
        return experiment
    return {**experiment, "data": {**data, "name": name}}


def record_location(run: Path, name: str) -> None:
    """Record that the dataset of the run is now called `name`. Raises `OSError`."""
    write_json(run / FILE_NAME, {"v": 1, "name": name})


def can_be_moved(recorded: str) -> bool:
    """Whether the dataset of this name can be at another path."""
    return find_source(recorded) is not None or is_user_code(recorded)


def moved_dataset(recorded: str, text: str) -> str:
    """The name of the dataset `recorded` at another path, given as a path or a name. Raises `UserError`."""
    if source := find_source(recorded):
        path = expand_user_path(text.removeprefix(source.prefix))
        if source.is_folder and not is_folder(path):
            raise _wrong_place(text, path, f"the folder that has the images of {recorded} now")
        if not source.is_folder and not source.is_there(f"{source.prefix}{path}"):
            raise _wrong_place(text, path, f"the file that {recorded} is now")
        return datasets.find(f"{source.prefix}{path}").name
    if is_user_code(recorded):
        function = recorded.rpartition(":")[2]
        path = expand_user_path(split_user_code_name(text)[0] if is_user_code(text) else text)
        if is_folder(path) or not path.exists():
            raise _wrong_place(text, path, f"the Python file that {recorded} is in now")
        return datasets.find(
            text if is_user_code(text) else f"{expand_user_path(text).absolute()}:{function}"
        ).name
    raise UserError(
        f"--data is for files of your own and ./file.py:function; {recorded} is found by its name in WORKBENCH_DATA"
    )


def _wrong_place(text: str, path: Path, expected: str) -> UserError:
    state = "is a folder" if is_folder(path) else "is a file" if path.exists() else "does not exist"
    return UserError(f"--data {text} {state}: name {expected}")


def changed_data_error(run_id: str, name: str, command: str, changes: str = "") -> str:
    """What is wrong where the dataset of a run is no longer what it was trained on, and what to do.

    `command`: `resume` or `evaluate`. `changes`: what has changed, where that is known.
    """
    ways = ["--data PATH names the place of its data"] if can_be_moved(name) else []
    if command == "resume":
        ways.append("--accept-changed-data resumes with it as it is")
    way_out = f": {', '.join(ways)}" if ways else ""
    return f"{name} is not what {run_id} was trained on ({changes or 'its content has changed'}){way_out}"


def changed_code_data(name: str, trained_at: float) -> str:
    """What has changed where a function of the user returns other data than in training; empty for other data.

    `trained_at`: when the run was started, Unix seconds.
    """
    if not is_user_code(name):
        return ""
    file, function = split_user_code_name(name)
    try:
        is_unchanged = expand_user_path(file).stat().st_mtime < trained_at
    except OSError:
        is_unchanged = False
    if is_unchanged:
        return f"{function} returns other data than in training, and its file is unchanged: is it random?"
    return f"{function} returns other data than in training, and its file has changed"


def check_data_is_there(run_id: str, name: str, command: str) -> None:
    """Raise `UserError` if the folder or file of a dataset has gone; `command` takes `--data`."""
    source = find_source(name)
    if source is None or source.is_there(name):
        return
    place = source.path(name)
    missing = f"images of {run_id} are" if source.is_folder else f"data of {run_id} is"
    named = "their folder" if source.is_folder else "its file"
    raise UserError(
        f"the {missing} not at {place} any more: workbench {command} {run_id} --data PATH names {named}"
    )
