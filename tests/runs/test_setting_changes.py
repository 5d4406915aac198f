"""Values that requests ask for."""

from __future__ import annotations

import math

import pytest

from workbench.config.training_settings import TrainingSettings
from workbench.core.errors import UserError
from workbench.runs.enums import RequestKind
from workbench.runs.journal import Journal, read_journal
from workbench.runs.records import RequestValues
from workbench.runs.requests import Request
from workbench.runs.run_folder import RunFolder
from workbench.runs.setting_changes import record_change, requested_value

SETTINGS = TrainingSettings(lr=0.5, epochs=3)


def request(kind: RequestKind, values: RequestValues) -> Request:
    return Request("x", kind, values)


@pytest.mark.parametrize(
    ("kind", "values", "expected"),
    [
        (RequestKind.LR, RequestValues(value=0.1), ("lr", 0.1)),
        (RequestKind.LR, RequestValues(times=2.0), ("lr", 1.0)),
        (RequestKind.EPOCHS, RequestValues(value=7.0), ("epochs", 7)),
        (RequestKind.EPOCHS, RequestValues(add=-1), ("epochs", 2)),
    ],
)
def test_the_requested_value(kind: RequestKind, values: RequestValues, expected: tuple[str, float]) -> None:
    assert requested_value(request(kind, values), SETTINGS) == expected


@pytest.mark.parametrize(
    ("kind", "values", "message"),
    [
        (RequestKind.LR, RequestValues(), "lr needs a value or a factor"),
        (RequestKind.LR, RequestValues(add=1), "lr needs a value or a factor"),
        (RequestKind.EPOCHS, RequestValues(), "epochs needs a value or a number of epochs to add"),
        (RequestKind.EPOCHS, RequestValues(times=2.0), "epochs needs a value"),
        (RequestKind.LR, RequestValues(value=math.nan), "train.lr must be a finite number, not nan"),
        (RequestKind.LR, RequestValues(times=math.inf), "train.lr must be a finite number, not inf"),
        (RequestKind.EPOCHS, RequestValues(value=math.inf), "train.epochs must be a finite number, not inf"),
        (RequestKind.EPOCHS, RequestValues(value=math.nan), "train.epochs must be a finite number, not nan"),
        (RequestKind.EPOCHS, RequestValues(value=1e300), "train.epochs"),
        (RequestKind.EPOCHS, RequestValues(add=10**30), "train.epochs"),
    ],
)
def test_an_invalid_request_changes_nothing(
    kind: RequestKind, values: RequestValues, message: str, folder: RunFolder
) -> None:
    before = read_journal(folder.journal)
    journal = Journal(folder.journal)
    with pytest.raises(UserError, match=message):
        record_change(journal, request(kind, values), SETTINGS, step=4, epoch=1)
    journal.close()
    assert read_journal(folder.journal) == before
