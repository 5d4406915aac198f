"""Locations of files: runs, trash, datasets, caches, weights."""

from __future__ import annotations

import os
import shlex
from pathlib import Path
from urllib.parse import unquote

import platformdirs

from workbench.core.errors import UserError

SHARED_VARIABLE = "WORKBENCH_SHARED"
DEBIAN_DATASETS = Path("/usr/share/datasets")


def home() -> Path:
    """`$WORKBENCH_HOME`, else the platform's user data folder. Raises `UserError` where that has no place."""
    place = os.environ.get("WORKBENCH_HOME") or _user_data_folder()
    path = expand_user_path(place)
    if str(path).startswith("~"):  # an unknown user, or one without a home, as some containers run as
        raise UserError(f"there is no home folder for {place}: set WORKBENCH_HOME to a folder for the runs")
    return path.absolute()


def _user_data_folder() -> str:
    """The platform's folder for data of the user; it begins with `~` for a user without a home."""
    try:
        return platformdirs.user_data_dir("workbench", appauthor=False)
    except RuntimeError:
        return "~/.local/share/workbench"


def runs() -> Path:
    """The folder of all runs."""
    return home() / "runs"


def nodes() -> Path:
    """The folder of what this host does as a node of runs that another host has."""
    return home() / "nodes"


def sweeps() -> Path:
    """Where sweeps are kept; those of the same home as `runs`."""
    return home() / "sweeps"


def trash() -> Path:
    """The folder that `workbench rm` moves runs to; only the user deletes from it."""
    return home() / "trash"


def claims() -> Path:
    """The folder of the claims of GPUs: one for all homes of a user, because they share the GPUs.

    With `WORKBENCH_SHARED`, one for the users of that folder. Not a temporary folder: those are cleared at logout or
    after some days, and runs go on. It is in `home()` where the platform's user data folder can't be written.
    """
    if (shared := shared_folder()) is not None and not shared_folder_problem():
        return shared / "claims"
    folder = expand_user_path(_user_data_folder()) / "claims"
    existing = next((parent for parent in (folder, *folder.parents) if os.path.lexists(parent)), Path())
    usable = folder.is_absolute() and os.path.isdir(existing) and os.access(existing, os.W_OK)
    return folder if usable else home() / "claims"


def shared_folder() -> Path | None:
    """`$WORKBENCH_SHARED`, the folder of a group whose members leave each other's GPUs alone; `None` without one."""
    place = os.environ.get(SHARED_VARIABLE)
    return expand_user_path(place).absolute() if place else None


def shared_folder_problem() -> str:
    """Why `$WORKBENCH_SHARED` can't be used, with the mend, in one line; empty where it can, or is not set."""
    folder = shared_folder()
    if folder is None or (os.path.isdir(folder) and os.access(folder, os.W_OK | os.X_OK)):
        return ""
    state = "you may not write to it" if os.path.isdir(folder) else "it is not a folder"
    return (
        f"{SHARED_VARIABLE}={folder}: {state}, so GPUs of other users may be taken: create it for your group "
        f"(install -d -m 2770 -g GROUP {shlex.quote(str(folder))}) or unset the variable"
    )


def data_cache() -> Path:
    """The folder of downloaded datasets, in torchvision's layout."""
    return home() / "data"


def caches() -> Path:
    """The folder of caches: everything in it can be decoded or downloaded again."""
    return home() / "cache"


def decoded_cache() -> Path:
    """The cache of decoded and resized images."""
    return caches() / "decoded"


def unpacked_cache() -> Path:
    """The cache of images taken out of archives and tables."""
    return caches() / "unpacked"


def download_cache() -> Path:
    """The cache of images downloaded from a URL."""
    return caches() / "fetched"


def dataset_search_path() -> list[Path]:
    """Folders that are searched for a dataset, in order: `$WORKBENCH_DATA` (as `PATH`), `data_cache()`, Debian's."""
    parts = os.environ.get("WORKBENCH_DATA", "").split(os.pathsep)
    folders = [expand_user_path(part).absolute() for part in parts if part]
    return [*folders, data_cache(), DEBIAN_DATASETS]


def torch_home() -> Path:
    """The folder of torch's downloads: `$TORCH_HOME`, else `$XDG_CACHE_HOME/torch`, else `~/.cache/torch`."""
    cache = os.environ.get("XDG_CACHE_HOME", "~/.cache")
    return expand_user_path(os.environ.get("TORCH_HOME", str(Path(cache) / "torch"))).absolute()


def weights() -> Path:
    """The folder that `torch.hub` downloads weights to."""
    return torch_home() / "hub" / "checkpoints"


def expand_user_path(text: str) -> Path:
    """A path from user input with `~` and `~user` expanded; an unknown user is left as it is, without an error."""
    return Path(os.path.expanduser(text))


def unquote_path(text: str) -> str:
    """A path as shells, file managers and browsers paste it (quoted, with backslashes, `file://`), as it is meant.

    Text that is no quoted path, or names a file as it is, is only stripped.
    """
    plain = text.strip()
    if plain.lower().startswith("file://"):
        _, slash, path = plain[len("file://") :].partition("/")  # behind the host
        return slash + unquote(path, errors="surrogateescape")
    if not any(character in plain for character in "'\"\\") or os.path.lexists(expand_user_path(plain)):
        return plain
    try:
        parts = shlex.split(plain)
    except ValueError:  # a quote that is not closed, yet
        return plain
    return parts[0] if len(parts) == 1 else plain


def check_current_folder() -> None:
    """Raise `UserError` if the current folder was deleted: neither relative paths nor new processes work in it."""
    try:
        Path.cwd()
    except FileNotFoundError:
        raise UserError("the current folder no longer exists: change to another folder") from None


def is_file(path: Path) -> bool:
    """Whether `path` is a regular file. Unlike `Path.is_file` it never raises, not even for an overlong name."""
    return os.path.isfile(path)


def is_folder(path: Path) -> bool:
    """Whether `path` is a folder; never raises."""
    return os.path.isdir(path)
