"""Renew the golden files: `python -m tests.golden`. Review the changes with `git diff tests/golden`."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path

from tests.golden.screens import SIZES, capture_panes, golden_file


def main() -> None:
    for size in SIZES:
        with tempfile.TemporaryDirectory() as folder:
            screens = asyncio.run(capture_panes(size, Path(folder) / "home"))
        for name, text in screens.items():
            path = golden_file(name, size)
            changed = not path.exists() or path.read_text(encoding="utf-8") != text
            path.write_text(text, encoding="utf-8")
            print(f"{path.name}{' changed' if changed else ''}")


if __name__ == "__main__":
    main()
