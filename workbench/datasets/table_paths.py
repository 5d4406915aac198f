"""Where the images of a table are: paths as people write them into tables, as files. Imports no torch."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from workbench.core.paths import is_file
from workbench.datasets.table_columns import is_image_name

_EXTENSIONS = (".jpg", ".jpeg", ".png", ".tif", ".tiff", ".webp", ".bmp", ".gif", ".JPG", ".JPEG", ".PNG")
"""Extensions of files that a table names without."""
_SAMPLED = 60
_MAX_FOLDERS = 40


class TablePaths:
    """The paths of a table below the folder that most of its images are in.

    That is the folder of the table, unless its paths are found in a folder beside it: that with the name of the table
    first, as Kaggle's `train.csv` has its images in `train/`.
    """

    def __init__(self, table: Path, sample: Sequence[str]) -> None:
        self.root = table.parent
        step = max(1, len(sample) // _SAMPLED)
        sampled = [cell for cell in sample[::step] if cell][:_SAMPLED]
        self._extensions = ("", *(() if all(map(is_image_name, sampled)) else _EXTENSIONS))
        self.folder = self._best_folder(table, sampled)
        """Below the folder of the table; empty for itself."""

    def _best_folder(self, table: Path, sampled: Sequence[str]) -> str:
        """The first of the folders with the most of some images."""
        best, most = "", -1
        for folder in self._candidates(table):
            if (hits := self._hits(folder, sampled)) > most:
                best, most = folder, hits
            if most == len(sampled):
                break
        return best

    def _candidates(self, table: Path) -> list[str]:
        """Folders below that of the table: itself first, then that with its name."""
        try:
            with os.scandir(table.parent) as entries:
                folders = sorted(entry.name for entry in entries if entry.is_dir())
        except OSError:
            folders = []
        folders.sort(key=lambda name: name != table.stem)
        return ["", *[name for name in folders if not name.startswith(".")][:_MAX_FOLDERS]]

    def _hits(self, folder: str, sampled: Sequence[str]) -> int:
        return sum(self._find(folder, cell) is not None for cell in sampled)

    def resolve(self, cell: str) -> str:
        """The path of an image below `root`, or absolute; also if there is no such file."""
        return self._find(self.folder, cell) or self._relative(str(Path(self.folder, cell)))

    def _find(self, folder: str, cell: str) -> str | None:
        """The path of a file that exists; `\\` may separate folders, and the extension may be missing."""
        for written in dict.fromkeys((cell, cell.replace("\\", "/"))):
            for extension in self._extensions:
                path = Path(folder, written + extension)
                if is_file(self.root / path):
                    return self._relative(str(path))
        return None

    def _relative(self, path: str) -> str:
        """The path without `..` and `.`, below `root` where it is; two spellings of one path are one."""
        absolute = os.path.normpath(self.root / path)
        base = str(self.root).rstrip(os.sep) + os.sep
        return absolute.removeprefix(base)
