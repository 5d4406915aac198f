"""The progress in what programs print: lines of tqdm (Lightning, Hugging Face), Keras, and `Epoch 3/10`."""

from __future__ import annotations

import re
from dataclasses import dataclass

_CONTROL = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|[\x00-\x08\x0b-\x1f\x7f]")
_TQDM = re.compile(
    r"^(?P<what>[^|]{0,80}?):?\s*\d{1,3}%\|[^|]*\|\s*(?P<done>[\d.]+)(?P<unit>[kMGT]?)/(?P<total>[\d.]+)"
    r"(?P<total_unit>[kMGT]?)\s*\[(?P<elapsed>[\d:]+)<(?P<left>[\d:?]+)"
)
_KERAS = re.compile(r"^\s*(?P<done>\d+)/(?P<total>\d+)\s+(?:\[[=>.\s]*\]|[\u2500-\u257f\s]+)\s*(?P<rest>.*)$")
_KERAS_LEFT = re.compile(r"(?:-\s*)?(?:ETA:\s*)?\b(?:(?P<clock>\d+:\d\d(?::\d\d)?)|(?P<seconds>\d+)s)")
_EPOCH = re.compile(r"\bepochs?\b[\s:#\[(]*(?P<epoch>\d+)(?:\s*(?:/|of)\s*(?P<epochs>\d+))?", re.IGNORECASE)
_UNITS = {"": 1.0, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12}
MAX_LINE = 1_000
"""Characters of a line that are looked at."""


@dataclass(frozen=True)
class LineProgress:
    """What one line says about the progress of its program."""

    what: str = ""
    """The operation, as far as the line names it."""
    done: int = 0
    total: int | None = None
    eta: float | None = None
    """Seconds to the end of the operation, as the program estimates them."""
    epoch: int | None = None
    """The epoch as the line counts it."""
    epochs: int | None = None


def parse_progress(line: str) -> LineProgress | None:
    """The progress that a line of output reports; `None` for other lines."""
    text = _CONTROL.sub("", line[:MAX_LINE])
    epoch, epochs = _epoch(text)
    if match := _TQDM.match(text.strip()):
        done, total = (
            _count(match[name], match[unit]) for name, unit in (("done", "unit"), ("total", "total_unit"))
        )
        return LineProgress(match["what"].strip(), done, total, _seconds(match["left"]), epoch, epochs)
    if match := _KERAS.match(text):
        done, total = int(match["done"]), int(match["total"])
        left = _KERAS_LEFT.match(match["rest"]) if done < total else None
        eta = None if left is None else float(left["seconds"]) if left["seconds"] else _seconds(left["clock"])
        return LineProgress("", done, total, eta, epoch, epochs)
    return None if epochs is None else LineProgress(epoch=epoch, epochs=epochs)


def _epoch(text: str) -> tuple[int | None, int | None]:
    match = _EPOCH.search(text)
    if match is None:
        return None, None
    epochs = int(match["epochs"]) if match["epochs"] else None
    return int(match["epoch"]), epochs


def _count(number: str, unit: str) -> int:
    try:
        return round(float(number) * _UNITS[unit])
    except ValueError:
        return 0


def _seconds(clock: str) -> float | None:
    """Seconds in `MM:SS` or `H:MM:SS`; `None` where the program does not know."""
    parts = clock.split(":")
    if not all(part.isdigit() for part in parts):
        return None
    seconds = 0
    for part in parts:
        seconds = 60 * seconds + int(part)
    return float(seconds)
