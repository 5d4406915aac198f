"""The holder of a run that is paused without a worker."""

from __future__ import annotations

from workbench.io.record_codec import read_record
from workbench.launcher.suspended_run import SuspendedRunHolder
from workbench.runs import requests
from workbench.runs.enums import Cause, Outcome, Phase, RequestKind
from workbench.runs.journal import AnsweredRequest, Journal, read_journal
from workbench.runs.records import Heartbeat, RequestValues
from workbench.runs.requests import Answer
from workbench.runs.run_folder import RunFolder, write_heartbeat


def test_a_suspended_run_that_was_taken_over_is_given_up(folder: RunFolder) -> None:
    write_heartbeat(folder, Heartbeat(attempt=2, counter=7, phase=Phase.TRAINING))
    heartbeat = folder.heartbeat.read_bytes()
    journal = Journal(folder.journal)
    reason = SuspendedRunHolder(folder, journal, 1).wait(lambda: None)
    assert reason is not None
    assert (reason.cause, reason.text) == (Cause.TAKEN_OVER, "stopped: attempt 2 took over this run")
    journal.close()
    assert folder.heartbeat.read_bytes() == heartbeat


def test_an_answer_that_can_not_be_written_is_retried(folder: RunFolder) -> None:
    folder.answered_requests.rmdir()
    folder.answered_requests.write_text("in the way")
    request_id = requests.send_request(folder, RequestKind.CONTINUE, 1)
    pending = []

    def clear() -> None:
        if folder.answered_requests.is_file():
            pending.extend(request.id for request in requests.pending_requests(folder))
            folder.answered_requests.unlink()

    journal = Journal(folder.journal)
    assert SuspendedRunHolder(folder, journal, 1).wait(clear) is None
    assert pending == [request_id]
    journal.close()
    assert requests.read_answer(folder, request_id) == Answer(Outcome.DONE, "continuing")
    assert [line.id for line in read_journal(folder.journal) if isinstance(line, AnsweredRequest)] == [
        request_id
    ]


def test_a_change_while_it_is_paused_is_shown_and_a_late_request_is_rejected(folder: RunFolder) -> None:
    write_heartbeat(folder, Heartbeat(attempt=1, counter=7, step=40, epoch=1, checkpoint_saved_at=1e9))
    late = requests.send_request(folder, RequestKind.STOP, 0)
    epochs = requests.send_request(folder, RequestKind.EPOCHS, 1, RequestValues(add=5))
    wrong = requests.send_request(folder, RequestKind.LR, 1, RequestValues(value=-1.0))
    requests.send_request(folder, RequestKind.CONTINUE, 1)
    journal = Journal(folder.journal)
    assert SuspendedRunHolder(folder, journal, 1).wait(lambda: None) is None
    journal.close()
    answers = [requests.read_answer(folder, request) for request in (late, epochs, wrong)]
    assert [answer and answer.outcome for answer in answers] == [
        Outcome.REJECTED,
        Outcome.DONE,
        Outcome.REJECTED,
    ]
    beat = read_record(folder.heartbeat, Heartbeat)
    assert beat is not None
    assert (beat.phase, beat.epochs_total, beat.step, beat.checkpoint_saved_at) == (Phase.PAUSED, 8, 40, 1e9)
    assert beat.counter > 7
