"""A moment of fuzzing in every reader, the files that once caused a fault, and whether faults are found at all."""

from __future__ import annotations

import random
import time
from pathlib import Path

import pytest

from tests.fuzz import cases
from tests.fuzz.cases import fuzz, outcome
from tests.fuzz.mutations import mutate
from tests.fuzz.readers import READERS, Reader
from workbench.runs.run_folder import RunFolder

FOUND = sorted((Path(__file__).parent / "found").iterdir())
"""The smallest files that caused a fault, by reader: `READER@WHAT`."""
CASES = 6


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to work in, whose `data` is searched for datasets."""
    folder = tmp_path / "place"
    folder.mkdir()
    monkeypatch.setenv("WORKBENCH_HOME", str(folder / "home"))
    monkeypatch.setenv("WORKBENCH_DATA", str(folder / "data"))
    return folder


def nothing_saved(data: bytes) -> Path:
    return Path(f"{len(data)} bytes")


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", READERS)
def test_damaged_files_are_read_or_refused(name: str, trained: Path, place: Path) -> None:
    reader = READERS[name](trained, place)
    tally = fuzz(reader, time.time_ns(), lambda done: done >= CASES, nothing_saved)
    assert not tally.faults and tally.accepted + tally.refused == CASES


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("path", FOUND, ids=lambda path: path.name)
def test_files_that_once_caused_a_fault(path: Path, trained: Path, place: Path) -> None:
    reader = READERS[path.name.partition("@")[0]](trained, place)
    assert outcome(reader, path.read_bytes()) in {True, False}


def test_faults_are_found_and_made_smaller(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each kind: an exception that is not documented, a hang, much memory, a message of several lines."""
    monkeypatch.setattr(cases, "MEMORY_BYTES", 200_000_000)
    path = tmp_path / "file"

    def read() -> bool:
        data = path.read_bytes()
        if b"!" in data:
            raise KeyError("a stray exception")
        if b"#" in data:
            while True:
                pass
        if b"$" in data:
            raise ValueError("two\nlines")
        if b"%" in data:
            bytes(b"x" * 300_000_000)
        return b"?" not in data

    reader = Reader(path, [b"sound" * 10], read, (ValueError,))
    assert outcome(reader, b"sound") is True and outcome(reader, b"?") is False
    faults = {
        b"!": "KeyError",
        b"$": "ValueError of several lines",
        b"#": "TooSlow",
        b"%": "bytes of memory",
    }
    for data, fault in faults.items():
        found = outcome(reader, data)
        assert isinstance(found, str) and fault in found, found
    seeds = [b"sound" * 10 + b"!"]
    saved: list[bytes] = []

    def save(data: bytes) -> Path:
        saved.append(data)
        return path

    tally = fuzz(Reader(path, [b"sound", *seeds], read), 1, lambda done: done >= 20, save)
    # A seed holds one fault. Chance may add others: whether memory was taken is not the same at each try.
    assert b"!" in saved and all(len(data) == 1 for data in saved if b"%" not in data)
    assert tally.faults


def test_a_seed_gives_the_same_cases(trained: Path) -> None:
    seeds = [RunFolder(trained).journal.read_bytes()]
    first, second = ([mutate(random.Random(n), seeds) for n in range(50)] for _ in range(2))
    assert first == second and len(set(first)) > 40
