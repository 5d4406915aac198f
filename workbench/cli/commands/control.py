"""Commands that send a request to a live run and wait for its answer."""

from __future__ import annotations

import argparse
import math

import msgspec

from workbench.cli import console
from workbench.cli.run_argument import resolve_target_run
from workbench.core.errors import UserError
from workbench.core.exit_codes import BAD_INPUT, DONE, FAILED
from workbench.launcher import launch
from workbench.runs import requests
from workbench.runs.enums import Outcome, Phase, RequestKind
from workbench.runs.records import RequestValues
from workbench.runs.requests import ANSWER_TIMEOUT, NO_VALUES, Answer
from workbench.runs.run_folder import RunFolder
from workbench.runs.run_report import read_report
from workbench.runs.status import Status, status_of

EXIT_CODES = {Outcome.DONE: DONE, Outcome.REJECTED: BAD_INPUT, Outcome.ENDED: FAILED}


class RequestReport(msgspec.Struct, frozen=True, kw_only=True):
    """The document that commands of this module print with `--json`."""

    run: str
    name: str
    status: Status
    phase: Phase | None
    step: int
    epoch: int
    epochs_total: int | None
    request: RequestKind
    values: RequestValues
    answer: str | None
    """`None` if the run did not answer within `ANSWER_TIMEOUT`."""
    outcome: Outcome | None
    done: bool


def pause(options: argparse.Namespace) -> int:
    """`workbench pause RUN [--suspend]`."""
    return _send_request(options, RequestKind.PAUSE, RequestValues(suspend=options.suspend))


def continue_run(options: argparse.Namespace) -> int:
    """`workbench continue RUN`."""
    return _send_request(options, RequestKind.CONTINUE)


def checkpoint(options: argparse.Namespace) -> int:
    """`workbench checkpoint RUN`."""
    return _send_request(options, RequestKind.CHECKPOINT)


def learning_rate(options: argparse.Namespace) -> int:
    """`workbench lr RUN 0.01|x2|/2`."""
    return _send_request(options, RequestKind.LR, lr_request_values(options.value))


def epochs(options: argparse.Namespace) -> int:
    """`workbench epochs RUN 20|+5|-3`."""
    return _send_request(options, RequestKind.EPOCHS, epochs_request_values(options.value))


def lr_request_values(text: str) -> RequestValues:
    """The request values for a learning rate (`0.01`), a factor (`x2`) or a divisor (`/2`). Raises `UserError`."""
    stripped = text.strip()
    has_operator = stripped[:1] in {"x", "×", "*", "/", "÷"}
    operator, digits = (stripped[0], stripped[1:]) if has_operator else ("", stripped)
    try:
        number = float(digits)
    except ValueError:
        number = math.nan
    if not (math.isfinite(number) and number > 0):
        raise UserError(f"lr must be a number (0.01), a factor (x2) or a divisor (/2), not '{text}'")
    if not operator:
        return RequestValues(value=number)
    return RequestValues(times=1 / number if operator in "/÷" else number)


def epochs_request_values(text: str) -> RequestValues:
    """The request values for a number of epochs (`20`) or a difference (`+5`). Raises `UserError`."""
    stripped = text.strip()
    if not (stripped.isascii() and stripped.lstrip("+-").isdigit() and len(stripped) < 12):
        raise UserError(f"epochs must be a number (20) or a difference (+5, -3), not '{text}'")
    number = int(stripped)
    return RequestValues(add=number) if stripped[0] in "+-" else RequestValues(value=number)


def _send_request(options: argparse.Namespace, kind: RequestKind, values: RequestValues = NO_VALUES) -> int:
    folder = resolve_target_run(options.run)
    request = launch.send_request(folder, kind, values)
    try:
        answer = requests.wait_for_answer(folder, request, ANSWER_TIMEOUT, lambda: status_of(folder).live)
    except KeyboardInterrupt:
        console.print_status(f"{folder.id} has the request and carries it out as soon as it can")
        raise
    done = answer is not None and answer.outcome is Outcome.DONE
    if options.json:
        console.print_json(_report(folder, kind, values, answer))
    elif answer and done:
        console.print_result(f"{folder.id}: {answer.text}")
    if not done:
        request_text = " ".join([kind, *filter(None, [getattr(options, "value", "")])])
        console.print_status(
            f"workbench: {folder.id}: {request_text}: {answer.text if answer else _missing_answer_reason(folder)}"
        )
    return EXIT_CODES[answer.outcome] if answer else FAILED


def _report(
    folder: RunFolder, kind: RequestKind, values: RequestValues, answer: Answer | None
) -> RequestReport:
    run = read_report(folder)
    return RequestReport(
        run=run.run,
        name=run.name,
        status=run.status,
        phase=run.phase,
        step=run.step,
        epoch=run.epoch,
        epochs_total=run.epochs_total,
        request=kind,
        values=values,
        answer=answer.text if answer else None,
        outcome=answer.outcome if answer else None,
        done=answer is not None and answer.outcome is Outcome.DONE,
    )


def _missing_answer_reason(folder: RunFolder) -> str:
    status = status_of(folder)
    if not status.live:
        return f"the run ended before it could answer ({status})"
    phase = read_report(folder).phase or status
    return (
        f"no answer within {ANSWER_TIMEOUT:.0f} s because the run is {phase}; "
        "it carries out the request as soon as it can"
    )
