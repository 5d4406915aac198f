"""The recipes of CONTRIBUTING.md, read from it and applied to a copy of the package."""

from __future__ import annotations

import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CONTRIBUTING = ROOT / ".github" / "CONTRIBUTING.md"
_HEADING = "### Add a"
_BLOCK = re.compile(r"^```(diff|python)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_FILE = re.compile(r"`(workbench/[\w/]+\.py)`")


@dataclass(frozen=True)
class Edit:
    """One code block of a recipe, and the file that the text before it names last."""

    file: str
    language: str
    text: str

    def apply(self, root: Path) -> None:
        """Change the file below `root`: a `diff` replaces its one occurrence, `python` is appended."""
        path = root / self.file
        if self.language == "python":
            path.parent.mkdir(parents=True, exist_ok=True)
            start = path.read_text(encoding="utf-8") + "\n\n" if path.exists() else ""
            path.write_text(start + self.text, encoding="utf-8")
            return
        old, new = self._side("-"), self._side("+")
        content = path.read_text(encoding="utf-8")
        assert content.count(old) == 1, f"CONTRIBUTING.md expects this once in {self.file}:\n{old}"
        path.write_text(content.replace(old, new), encoding="utf-8")

    def _side(self, sign: str) -> str:
        lines = self.text.splitlines()
        return "".join(line[1:] + "\n" for line in lines if line[0] in {" ", sign})

    @property
    def added(self) -> Sequence[str]:
        """The lines of code that it adds, without blank lines, imports and docstrings."""
        sign = "+" if self.language == "diff" else ""
        lines = [line.removeprefix(sign).strip() for line in self.text.splitlines() if line.startswith(sign)]
        return [line for line in lines if line and not line.startswith(("import ", "from ", '"""'))]


def read_recipes() -> dict[str, list[Edit]]:
    """The edits of each recipe, by what its heading adds (`dataset`, `export format`)."""
    sections = CONTRIBUTING.read_text(encoding="utf-8").split(_HEADING)[1:]
    return {_subject(section): _edits(section) for section in sections}


def _subject(section: str) -> str:
    return section.partition("\n")[0].removeprefix("n ").strip()


def _edits(section: str) -> list[Edit]:
    return [
        Edit(_FILE.findall(section[: block.start()])[-1], block[1], block[2])
        for block in _BLOCK.finditer(section)
    ]


def copy_with(recipe: str, folder: Path) -> Path:
    """Copy the package into `folder`, apply a recipe to it, and return the folder that goes to PYTHONPATH."""
    shutil.copytree(ROOT / "workbench", folder / "workbench", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", folder)
    for edit in read_recipes()[recipe]:
        edit.apply(folder)
    return folder
