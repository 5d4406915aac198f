"""Commands that ask something of a run while it goes on, and wait for its answer."""

from __future__ import annotations

import argparse
import math
from typing import Any

from workbench import console
from workbench.commands import BAD_INPUT, DONE, FAILED
from workbench.commands.choosing import to_change
from workbench.errors import BadInput
from workbench.runs import control, launch
from workbench.runs.layout import RunFolder
from workbench.runs.report import describe
from workbench.runs.status import status_of

PATIENCE = 30.0
"""Seconds to wait for an answer: between two steps a run looks twice a second, while it loads it does not."""


def pause(options: argparse.Namespace) -> int:
    """`workbench pause RUN [--release]`."""
    return _ask(options, "pause", **({"release": True} if options.release else {}))


def go_on(options: argparse.Namespace) -> int:
    """`workbench continue RUN`."""
    return _ask(options, "continue")


def checkpoint(options: argparse.Namespace) -> int:
    """`workbench checkpoint RUN`."""
    return _ask(options, "checkpoint")


def learning_rate(options: argparse.Namespace) -> int:
    """`workbench lr RUN 0.01|x2|/2`."""
    return _ask(options, "lr", **rate_values(options.value))


def epochs(options: argparse.Namespace) -> int:
    """`workbench epochs RUN 20|+5|-3`."""
    return _ask(options, "epochs", **epoch_values(options.value))


def rate_values(text: str) -> dict[str, float]:
    """What a learning rate, or a change of it, asks for. Raises `BadInput`."""
    given = text.strip()
    kind, digits = (given[0], given[1:]) if given[:1] in {"x", "×", "*", "/", "÷"} else ("", given)
    try:
        number = float(digits)
    except ValueError:
        number = math.nan
    if not (math.isfinite(number) and number > 0):
        raise BadInput(f"lr takes a number (0.01), x2 or /2, not '{text}'")
    if not kind:
        return {"value": number}
    return {"times": 1 / number if kind in "/÷" else number}


def epoch_values(text: str) -> dict[str, int]:
    """What a number of epochs, or a change of it, asks for. Raises `BadInput`."""
    given = text.strip()
    if not (given.isascii() and given.lstrip("+-").isdigit() and len(given) < 12):
        raise BadInput(f"epochs takes a number (20), +5 or -3, not '{text}'")
    return {"add" if given[0] in "+-" else "value": int(given)}


def _ask(options: argparse.Namespace, what: str, **values: Any) -> int:
    folder = to_change(options.run)
    answer = control.wait_for_answer(
        folder, launch.ask(folder, what, **values), PATIENCE, lambda: status_of(folder).live
    )
    turned_down = answer is not None and answer.startswith(control.NOT_DONE)
    done = answer is not None and not turned_down and not answer.startswith(control.ENDED)
    if options.json:
        document = describe(folder)
        told = {
            name: document[name]
            for name in ("run", "name", "status", "phase", "step", "epoch", "epochs_total")
        }
        console.print_json({**told, "request": what, "values": values, "answer": answer, "done": done})
    elif done:
        console.tell(f"{folder.id}: {answer}")
    if not done:
        typed = " ".join([what, *filter(None, [getattr(options, "value", "")])])
        console.say(f"workbench: {folder.id}: {typed}: {answer or _silent(folder)}")
    return DONE if done else BAD_INPUT if turned_down else FAILED


def _silent(folder: RunFolder) -> str:
    """Why there is no answer, as far as that is known."""
    status = status_of(folder)
    if not status.live:
        return f"ended before it could answer ({status})"
    phase = describe(folder)["phase"] or status
    return f"no answer within {PATIENCE:.0f} s: it is {phase}, and does what was asked as soon as it can"
