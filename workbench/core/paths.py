"""The one place that knows where things are kept."""

from __future__ import annotations

import os
from pathlib import Path

import platformdirs

DEBIAN_DATASETS = Path("/usr/share/datasets")


def home() -> Path:
    """`$WORKBENCH_HOME`, else the platform's folder for a user's data."""
    given = os.environ.get("WORKBENCH_HOME")
    return (
        Path(given).expanduser().absolute()
        if given
        else platformdirs.user_data_path("workbench", appauthor=False)
    )


def runs() -> Path:
    """Where every run has its folder."""
    return home() / "runs"


def trash() -> Path:
    """Where `rm` moves runs to; what lies there is a person's to delete."""
    return home() / "trash"


def data_cache() -> Path:
    """Where downloaded datasets are kept (torchvision's layout)."""
    return home() / "data"


def caches() -> Path:
    """Where what can be decoded or fetched again is kept."""
    return home() / "cache"


def decoded_cache() -> Path:
    """Where pictures that were decoded and resized once are kept."""
    return caches() / "decoded"


def fetched_cache() -> Path:
    """Where pictures that were fetched from a URL are kept."""
    return caches() / "fetched"


def data_search() -> list[Path]:
    """Folders that are searched for a dataset, in order: `$WORKBENCH_DATA` (as in PATH), ours, Debian's."""
    given = os.environ.get("WORKBENCH_DATA", "")
    return [Path(part).expanduser().absolute() for part in given.split(os.pathsep) if part] + [
        data_cache(),
        DEBIAN_DATASETS,
    ]


def torch_home() -> Path:
    """Where torch keeps downloaded weights: `$TORCH_HOME`, else `$XDG_CACHE_HOME/torch`, else `~/.cache/torch`."""
    cache = os.environ.get("XDG_CACHE_HOME", "~/.cache")
    return Path(os.environ.get("TORCH_HOME", str(Path(cache) / "torch"))).expanduser().absolute()


def weights() -> Path:
    """The folder that torch.hub puts weight files into."""
    return torch_home() / "hub" / "checkpoints"


def given(text: str) -> Path:
    """A path as a person gives it, `~` and `~user` replaced where they name a home, and left where they don't."""
    return Path(os.path.expanduser(text))


def is_file(path: Path) -> bool:
    """Whether a regular file is there. Unlike `Path.is_file` it never raises, however long a name is."""
    return os.path.isfile(path)


def is_folder(path: Path) -> bool:
    """Whether a folder is there; never raises."""
    return os.path.isdir(path)
