from __future__ import annotations

from workbench.io.atomic import read_json, write_json
from workbench.runs.layout import RunFolder
from workbench.runs.records import Journal
from workbench.runs.released import Released


def test_a_paused_run_that_was_taken_over_is_given_up(folder: RunFolder) -> None:
    taken = {"v": 1, "attempt": 2, "counter": 7, "phase": "training"}
    write_json(folder.heartbeat, taken)
    journal = Journal(folder.journal)
    assert Released(folder, journal, 1).wait(lambda: None) == "attempt 2 has taken this run over"
    journal.close()
    assert read_json(folder.heartbeat) == taken
