from __future__ import annotations

import pytest

from workbench.console import Follower
from workbench.runs.layout import RunFolder
from workbench.runs.records import Journal
from workbench.runs.status import Status


def test_whoever_waits_hears_what_this_attempt_has_to_say(
    digits_run: RunFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    journal = Journal(digits_run.journal)
    journal.note("notice", attempt=0, text="of long ago")
    journal.note("notice", attempt=1, text="checkpoint passed over: \x1b[31mstep-9.pt")
    journal.close()
    assert Follower(digits_run).follow() is Status.FINISHED
    said = capsys.readouterr().err
    assert "  checkpoint passed over: \ufffd[31mstep-9.pt\n" in said
    assert "long ago" not in said
