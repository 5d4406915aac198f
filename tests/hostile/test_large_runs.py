"""Large files and many runs: what is measured are the bytes that are read, whatever the machine is doing."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import AbstractContextManager

import pytest

from tests.benchmarks.material import many_runs
from tests.runs.many import ended_run
from workbench.cli.main import run
from workbench.io.file_tail import read_tail
from workbench.io.record_codec import encode
from workbench.runs.log_tail import last_log_line
from workbench.runs.metrics import StepRow
from workbench.runs.reader import RunReader
from workbench.runs.run_folder import RunFolder
from workbench.runs.store import Store
from workbench.ui.widgets.text_screen import log_tail

Limit = Callable[[int], AbstractContextManager[None]]
MEGABYTE, GIGABYTE = 1_000_000, 1_000_000_000


def test_a_log_of_a_gigabyte_is_read_from_its_end(
    folder: RunFolder, reads_at_most: Limit, capsys: pytest.CaptureFixture[str]
) -> None:
    with folder.log.open("wb") as log:
        log.truncate(GIGABYTE)
        log.seek(GIGABYTE)
        log.write(b"\nRuntimeError: the last line\n")
    with reads_at_most(MEGABYTE):
        assert read_tail(folder.log, 100)[1]
        assert log_tail(folder.log)[-1].plain == "RuntimeError: the last line"
        assert last_log_line(folder.log) == ": RuntimeError: the last line"
        assert run(["show", folder.id]) == 0 and run(["runs"]) == 0
    assert folder.id in capsys.readouterr().out


def test_the_first_view_of_a_million_rows_reads_a_part_of_them(
    folder: RunFolder, reads_at_most: Limit, capsys: pytest.CaptureFixture[str]
) -> None:
    row = encode(StepRow(step=123456789, epoch=1.5, loss=0.25))
    with folder.metrics.open("wb") as file:
        for block in range(100):
            file.write(b"".join(row.replace(b"123456789", b"%d" % (10_000 * block + step)) + b"\n"
                                for step in range(10_000)))  # fmt: skip
    assert folder.metrics.stat().st_size > 40 * MEGABYTE
    reader = RunReader(folder)
    with reads_at_most(25 * MEGABYTE):
        view = reader.poll()
        assert len(view.curve) >= 1000 and 999_000 < view.curve.step[-1] < 1_000_000
    reader.close()
    with reads_at_most(5 * MEGABYTE):
        assert run(["runs", "--json"]) == 0
    assert [row["id"] for row in json.loads(capsys.readouterr().out)] == [folder.id]


def test_two_thousand_runs_are_listed_from_the_index(home, reads_at_most: Limit) -> None:  # type: ignore[no-untyped-def]
    model = ended_run(home)
    many_runs(model.path, model.path.parent, 1999)
    store = Store(home / "runs")
    assert len(store.list_runs()) == 2000
    with reads_at_most(4 * MEGABYTE):  # 2 kB for each run
        assert len(store.list_runs()) == 2000
        assert store.find("last").id
