"""What the README states is what the product says of itself.

`python tests/test_readme.py` writes the table of settings into it anew.
"""

from __future__ import annotations

from pathlib import Path

from workbench.config.experiment import all_settings
from workbench.core.settings_schema import Setting

README = Path(__file__).parents[1] / "README.md"
BEGIN, END = "<!-- settings -->\n", "<!-- /settings -->"


def markdown(rows: list[Setting]) -> str:
    lines = ["| setting | type | default | what it is |", "|---|---|---|---|"]
    for row in rows:
        kind = ", ".join(f"`{c}`" for c in row.choices) if row.kind == "choice" else row.kind
        default = (
            {True: "yes", False: "no"}.get(row.default, row.default)
            if isinstance(row.default, bool)
            else row.default
        )
        shown = f"`{default}`" if default not in ("", ()) else ""
        lines.append(f"| `{row.key}` | {kind} | {shown} | {row.help} |")
    return "\n".join(lines) + "\n"


def written(text: str) -> str:
    """The README with the table as it should be."""
    before, _, rest = text.partition(BEGIN)
    return before + BEGIN + markdown(all_settings()) + END + rest.partition(END)[2]


def test_the_settings_are_those_of_the_product() -> None:
    text = README.read_text(encoding="utf-8")
    assert written(text) == text


def test_every_picture_and_file_it_shows_is_there() -> None:
    text = README.read_text(encoding="utf-8")
    shown = [part.partition(")")[0] for part in text.split("](")[1:]]
    assert shown
    for target in shown:
        assert target.startswith("http") or (README.parent / target).is_file(), target


if __name__ == "__main__":
    README.write_text(written(README.read_text(encoding="utf-8")), encoding="utf-8")
