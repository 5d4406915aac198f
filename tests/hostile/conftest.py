from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.run_folders import folder
from tests.ui.conftest import hold, make_run, text_of, until

__all__ = ["folder", "hold", "make_run", "text_of", "until"]


@pytest.fixture
def reads_at_most() -> Callable[[int], object]:
    """A context in which this process may read that many bytes of files."""

    def read_so_far() -> int:
        return int(Path("/proc/self/io").read_text().splitlines()[0].partition(": ")[2])

    @contextmanager
    def limited(limit: int) -> Iterator[None]:
        before = read_so_far()
        yield
        assert read_so_far() - before <= limit

    return limited
