"""README.md and CONTRIBUTING.md agree with the product.

`python tests/test_readme.py` updates the table of settings in README.md.
"""

from __future__ import annotations

import importlib.util
import itertools
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from workbench.cli.main import parser
from workbench.config.experiment import all_settings
from workbench.core.settings_schema import Setting

ROOT = Path(__file__).parents[1]
README, CONTRIBUTING = ROOT / "README.md", ROOT / ".github" / "CONTRIBUTING.md"
BEGIN, END = "<!-- settings -->\n", "<!-- /settings -->"


def settings_table(rows: list[Setting]) -> str:
    lines = ["| setting | type | default | description |", "|---|---|---|---|"]
    for row in rows:
        kind = ", ".join(f"`{c}`" for c in row.choices) if row.kind == "choice" else row.kind
        default = ("yes" if row.default else "no") if isinstance(row.default, bool) else row.default
        cell = f"`{default}`" if default not in ("", ()) else ""
        lines.append(f"| `{row.key}` | {kind} | {cell} | {row.help} |")
    return "\n".join(lines) + "\n"


def with_settings_table(text: str) -> str:
    """The README with the current table of settings."""
    before, _, rest = text.partition(BEGIN)
    return before + BEGIN + settings_table(all_settings()) + END + rest.partition(END)[2]


def command_lines(path: Path) -> Iterator[list[str]]:
    """The words of every command in the shell blocks and the tables of a file, without comments."""
    text = path.read_text(encoding="utf-8")
    blocks = "\n".join(re.findall(r"^```sh\n(.*?)^```$", text, re.MULTILINE | re.DOTALL))
    cells = "\n".join(re.findall(r"\| `([^`|]+)` \|$", text, re.MULTILINE))
    for line in (blocks + "\n" + cells).splitlines():
        words = shlex.split(line, comments=True)
        for is_separator, command in itertools.groupby(words, "&&".__eq__):
            if not is_separator:
                yield list(command)


def test_the_settings_are_those_of_the_product() -> None:
    text = README.read_text(encoding="utf-8")
    assert with_settings_table(text) == text


@pytest.mark.parametrize("path", [README, CONTRIBUTING], ids=lambda path: path.name)
def test_linked_files_exist(path: Path) -> None:
    targets = [part.partition(")")[0] for part in path.read_text(encoding="utf-8").split("](")[1:]]
    for target in targets:
        assert target.startswith("http") or (path.parent / target).is_file(), target


def test_commands_of_the_readme_are_understood() -> None:
    commands = [words[1:] for words in command_lines(README) if Path(words[0]).name == "workbench"]
    assert len(commands) > 15
    for arguments in commands:
        parser().parse_args(arguments)


def test_every_command_is_in_the_readme() -> None:
    text = README.read_text(encoding="utf-8")
    choices = re.search(r"\{(.*?)\}", parser().format_usage())
    names = (
        choices[1].split(",") if choices else re.findall(r"^    ([a-z-]+)\b", parser().format_help(), re.M)
    )
    assert len(names) > 15
    assert [name for name in names if f"`{name}`" not in text and f"workbench {name}" not in text] == []


@pytest.mark.parametrize("path", [README, CONTRIBUTING], ids=lambda path: path.name)
def test_modules_that_are_run_exist(path: Path) -> None:
    modules = re.findall(r"python -m (tests[\w.]*)", path.read_text(encoding="utf-8"))
    assert modules
    for module in modules:
        assert importlib.util.find_spec(module), module


def test_keys_of_the_readme_are_bound() -> None:
    from workbench.ui.bindings import PANE_KEYS, RUN_KEYS, SCREEN_KEYS
    from workbench.ui.runs.pane import RunsPane

    bindings = [*PANE_KEYS, *RUN_KEYS, *SCREEN_KEYS, *RunsPane.BINDINGS]
    bound = {key for b in bindings for key in (*b.key.split(","), b.key_display)}
    table = README.read_text(encoding="utf-8").partition("| key | action |")[2].partition("\n\n")[0]
    keys = re.findall(r"`(\S)`", "".join(row.split("|")[1] for row in table.splitlines()[2:]))
    assert len(keys) > 20
    assert [key for key in keys if key not in bound and key != "…"] == []


def test_the_test_command_is_between_its_markers() -> None:
    """`.ci/run` runs this block."""
    block = README.read_text(encoding="utf-8").partition("<!-- tests -->\n")[2]
    assert re.match(r"```sh\n[^\n]*pytest[^\n]*\n```\n", block)


if __name__ == "__main__":
    README.write_text(with_settings_table(README.read_text(encoding="utf-8")), encoding="utf-8")
