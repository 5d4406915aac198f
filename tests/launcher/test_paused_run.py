"""What answers for a run that is paused without a worker."""

from __future__ import annotations

from workbench.io.record_codec import read_record
from workbench.launcher.paused_run import Released
from workbench.runs import requests
from workbench.runs.enums import Cause, Outcome, Phase, RequestKind
from workbench.runs.journal import Answer, Journal, read_journal
from workbench.runs.records import Heartbeat, RequestValues
from workbench.runs.requests import Reply
from workbench.runs.run_folder import RunFolder, write_heartbeat


def test_a_paused_run_that_was_taken_over_is_given_up(folder: RunFolder) -> None:
    write_heartbeat(folder, Heartbeat(attempt=2, counter=7, phase=Phase.TRAINING))
    taken = folder.heartbeat.read_bytes()
    journal = Journal(folder.journal)
    reason = Released(folder, journal, 1).wait(lambda: None)
    assert reason is not None
    assert (reason.cause, reason.text) == (Cause.TAKEN_OVER, "attempt 2 has taken this run over")
    journal.close()
    assert folder.heartbeat.read_bytes() == taken


def test_an_answer_that_can_not_be_written_is_tried_again(folder: RunFolder) -> None:
    folder.answered.rmdir()
    folder.answered.write_text("in the way")
    asked = requests.ask(folder, RequestKind.CONTINUE, 1)
    waited = []

    def clear() -> None:
        if folder.answered.is_file():
            waited.extend(request.id for request in requests.pending(folder))
            folder.answered.unlink()

    journal = Journal(folder.journal)
    assert Released(folder, journal, 1).wait(clear) is None
    assert waited == [asked]
    journal.close()
    assert requests.answer_to(folder, asked) == Reply(Outcome.DONE, "going on")
    assert [line.id for line in read_journal(folder.journal) if isinstance(line, Answer)] == [asked]


def test_a_change_while_it_is_paused_is_shown_and_a_late_request_is_rejected(folder: RunFolder) -> None:
    write_heartbeat(folder, Heartbeat(attempt=1, counter=7, step=40, epoch=1, saved=1e9))
    late = requests.ask(folder, RequestKind.STOP, 0)
    epochs = requests.ask(folder, RequestKind.EPOCHS, 1, RequestValues(add=5))
    wrong = requests.ask(folder, RequestKind.LR, 1, RequestValues(value=-1.0))
    requests.ask(folder, RequestKind.CONTINUE, 1)
    journal = Journal(folder.journal)
    assert Released(folder, journal, 1).wait(lambda: None) is None
    journal.close()
    replies = [requests.answer_to(folder, request) for request in (late, epochs, wrong)]
    assert [reply and reply.outcome for reply in replies] == [
        Outcome.REJECTED,
        Outcome.DONE,
        Outcome.REJECTED,
    ]
    beat = read_record(folder.heartbeat, Heartbeat)
    assert beat is not None
    assert (beat.phase, beat.epochs_total, beat.step, beat.saved) == (Phase.PAUSED, 8, 40, 1e9)
    assert beat.counter > 7
