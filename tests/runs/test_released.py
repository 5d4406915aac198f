"""What answers for a run that is paused without a worker."""

from __future__ import annotations

from workbench.io.atomic import read_json, write_json
from workbench.runs import control
from workbench.runs.layout import RunFolder
from workbench.runs.records import Journal, read_lines
from workbench.runs.released import Released


def test_a_paused_run_that_was_taken_over_is_given_up(folder: RunFolder) -> None:
    taken = {"v": 1, "attempt": 2, "counter": 7, "phase": "training"}
    write_json(folder.heartbeat, taken)
    journal = Journal(folder.journal)
    assert Released(folder, journal, 1).wait(lambda: None) == "attempt 2 has taken this run over"
    journal.close()
    assert read_json(folder.heartbeat) == taken


def test_an_answer_that_can_not_be_written_is_tried_again(folder: RunFolder) -> None:
    folder.answered.rmdir()
    folder.answered.write_text("in the way")
    asked = control.ask(folder, "continue", 1)
    waited = []

    def mend() -> None:
        if folder.answered.is_file():
            waited.extend(request.id for request in control.pending(folder))
            folder.answered.unlink()

    journal = Journal(folder.journal)
    assert Released(folder, journal, 1).wait(mend) is None
    assert waited == [asked]
    journal.close()
    assert control.answer_to(folder, asked) == "going on"
    assert [line["id"] for line in read_lines(folder.journal) if line["kind"] == "answer"] == [asked]
