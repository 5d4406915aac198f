"""Commands that send a request to a live run and wait for its answer."""

from __future__ import annotations

import argparse
import math

import msgspec

from workbench.cli import console
from workbench.cli.run_argument import to_change
from workbench.core.errors import BadInput
from workbench.core.exit_codes import BAD_INPUT, DONE, FAILED
from workbench.launcher import launch
from workbench.runs import requests
from workbench.runs.enums import Outcome, Phase, RequestKind
from workbench.runs.records import RequestValues
from workbench.runs.requests import NO_VALUES, Reply
from workbench.runs.run_folder import RunFolder
from workbench.runs.run_report import report_of
from workbench.runs.status import Status, status_of

PATIENCE = 30.0
"""Seconds to wait for an answer: between two steps a run looks twice a second, while it loads it does not."""
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
    """`None` where none came within `PATIENCE`."""
    outcome: Outcome | None
    done: bool


def pause(options: argparse.Namespace) -> int:
    """`workbench pause RUN [--release]`."""
    return _ask(options, RequestKind.PAUSE, RequestValues(release=options.release))


def go_on(options: argparse.Namespace) -> int:
    """`workbench continue RUN`."""
    return _ask(options, RequestKind.CONTINUE)


def checkpoint(options: argparse.Namespace) -> int:
    """`workbench checkpoint RUN`."""
    return _ask(options, RequestKind.CHECKPOINT)


def learning_rate(options: argparse.Namespace) -> int:
    """`workbench lr RUN 0.01|x2|/2`."""
    return _ask(options, RequestKind.LR, rate_values(options.value))


def epochs(options: argparse.Namespace) -> int:
    """`workbench epochs RUN 20|+5|-3`."""
    return _ask(options, RequestKind.EPOCHS, epoch_values(options.value))


def rate_values(text: str) -> RequestValues:
    """The values of a request for a learning rate (`0.01`) or a factor (`x2`, `/2`). Raises `BadInput`."""
    stripped = text.strip()
    factored = stripped[:1] in {"x", "×", "*", "/", "÷"}
    sign, digits = (stripped[0], stripped[1:]) if factored else ("", stripped)
    try:
        number = float(digits)
    except ValueError:
        number = math.nan
    if not (math.isfinite(number) and number > 0):
        raise BadInput(f"lr takes a number (0.01), x2 or /2, not '{text}'")
    if not sign:
        return RequestValues(value=number)
    return RequestValues(times=1 / number if sign in "/÷" else number)


def epoch_values(text: str) -> RequestValues:
    """The values of a request for a number of epochs (`20`) or a change of it (`+5`). Raises `BadInput`."""
    stripped = text.strip()
    if not (stripped.isascii() and stripped.lstrip("+-").isdigit() and len(stripped) < 12):
        raise BadInput(f"epochs takes a number (20), +5 or -3, not '{text}'")
    number = int(stripped)
    return RequestValues(add=number) if stripped[0] in "+-" else RequestValues(value=number)


def _ask(options: argparse.Namespace, kind: RequestKind, values: RequestValues = NO_VALUES) -> int:
    folder = to_change(options.run)
    request = launch.ask(folder, kind, values)
    reply = requests.wait_for_answer(folder, request, PATIENCE, lambda: status_of(folder).live)
    done = reply is not None and reply.outcome is Outcome.DONE
    if options.json:
        console.print_json(_report(folder, kind, values, reply))
    elif reply and done:
        console.tell(f"{folder.id}: {reply.text}")
    if not done:
        typed = " ".join([kind, *filter(None, [getattr(options, "value", "")])])
        console.say(f"workbench: {folder.id}: {typed}: {reply.text if reply else _why_no_answer(folder)}")
    return EXIT_CODES[reply.outcome] if reply else FAILED


def _report(
    folder: RunFolder, kind: RequestKind, values: RequestValues, reply: Reply | None
) -> RequestReport:
    run = report_of(folder)
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
        answer=reply.text if reply else None,
        outcome=reply.outcome if reply else None,
        done=reply is not None and reply.outcome is Outcome.DONE,
    )


def _why_no_answer(folder: RunFolder) -> str:
    """Why there is no answer, as far as that is known."""
    status = status_of(folder)
    if not status.live:
        return f"ended before it could answer ({status})"
    phase = report_of(folder).phase or status
    return f"no answer within {PATIENCE:.0f} s: it is {phase}; it carries out the request as soon as it can"
