"""Text from outside, made fit to show: names, log lines and exception texts can't steer the terminal."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Iterable
from datetime import datetime

REPLACEMENT = "\N{REPLACEMENT CHARACTER}"

_BIDI = {chr(c) for c in (0x061C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A))}


def safe(text: object, width: int | None = None) -> str:
    """`text` on one row, with every control, bidirectional and undecodable character replaced.

    With `width`, cut to so many terminal cells (an ellipsis ends what was cut). File names that are no UTF-8
    hold lone surrogates, which no terminal can be sent: they are replaced too.
    """
    shown = str(text)
    if not (shown.isascii() and shown.isprintable()):
        shown = "".join(REPLACEMENT if _unsafe(c) else c for c in shown)
    return shown if width is None else cut(shown, width)


def one_line(error: BaseException, limit: int = 200) -> str:
    """What an exception says, in one line of at most `limit` characters; its type where it says nothing."""
    return " ".join(str(error).split())[:limit] or type(error).__name__


def _unsafe(character: str) -> bool:
    if " " <= character <= "~":
        return False
    return character in _BIDI or unicodedata.category(character) in {"Cc", "Cs", "Cn", "Zl", "Zp"}


def cell_width(text: str) -> int:
    """How many terminal cells `text` takes."""
    if text.isascii() and text.isprintable():
        return len(text)
    return sum(_cells(c) for c in text)


def _cells(character: str) -> int:
    if " " <= character <= "~":
        return 1
    if unicodedata.combining(character) or unicodedata.category(character) in {"Mn", "Me", "Cf"}:
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def cut(text: str, width: int) -> str:
    """`text` within `width` cells; what is longer ends in an ellipsis."""
    if len(text) * 2 <= width or cell_width(text) <= width:
        return text
    used, kept = 1, []
    for character in text:
        used += _cells(character)
        if used > width:
            break
        kept.append(character)
    return "".join(kept) + "…" if width > 0 else ""


def pad(text: str, width: int) -> str:
    """`text` cut or filled up with spaces to exactly `width` cells."""
    shown = cut(text, width)
    return shown + " " * (width - cell_width(shown))


def duration(seconds: float | None) -> str:
    """`59s`, `12m05`, `3h08`, `2d04h`; `-` where it is not known."""
    if seconds is None or not math.isfinite(seconds) or seconds < 0:
        return "-"
    whole = round(seconds)
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m{whole % 60:02d}"
    if whole < 86400:
        return f"{whole // 3600}h{whole % 3600 // 60:02d}"
    return f"{whole // 86400}d{whole % 86400 // 3600:02d}h"


def age(seconds: float) -> str:
    """How long ago something was, in its largest unit: `now`, `40s ago`, `12m ago`, `3h ago`, `9d ago`."""
    for unit, length in (("d", 86400), ("h", 3600), ("m", 60), ("s", 1)):
        if seconds >= length:
            return f"{int(seconds // length)}{unit} ago"
    return "now"


def size(count: float | None) -> str:
    """A number of bytes as `512 B`, `1.5 MB`, `2.0 GB` (powers of 1000)."""
    if count is None:
        return "-"
    for unit in ("B", "kB", "MB", "GB"):
        if abs(count) < 1000:
            return f"{count:.0f} {unit}" if unit == "B" or count >= 100 else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"


def count(number: float | None) -> str:
    """A number as `950`, `42.5k`, `11.7M`."""
    if number is None:
        return "-"
    for unit in ("", "k", "M", "G"):
        if abs(number) < 1000:
            shown = f"{number:.0f}" if not unit or abs(number) >= 100 else f"{number:.1f}".removesuffix(".0")
            return shown + unit
        number /= 1000
    return f"{number:.1f}T"


def times(sides: Iterable[int]) -> str:
    """A shape as `3×224×224`."""
    return "×".join(str(side) for side in sides)


def fraction(value: float | None) -> str:
    """A figure from 0 to 1 as `.913`; `1.00` for one, `-` where it is not known."""
    if value is None:
        return "-"
    shown = f"{value:.3f}"
    return shown[1:] if shown.startswith("0") else f"{value:.2f}"


def short(value: float | None) -> str:
    """A figure in about four cells: `.214`, `2.31`, `183`, `1.2e-4`; `-` where it is not known or NaN."""
    if value is None or math.isnan(value):
        return "-"
    if math.isinf(value):
        return "∞" if value > 0 else "-∞"
    magnitude = abs(value)
    if magnitude == 0:
        return "0"
    if magnitude < 0.0095 or magnitude >= 99_999.5:
        mantissa, _, power = f"{value:.1e}".partition("e")
        return f"{mantissa.removesuffix('.0')}e{int(power)}"
    if magnitude < 0.9995:
        return f"{value:.3f}".replace("0.", ".", 1)
    return f"{value:.2f}" if magnitude < 9.995 else f"{value:.1f}" if magnitude < 99.95 else f"{value:.0f}"


def learning_rate(value: float) -> str:
    """A learning rate with three digits: `.015`, `.000123`, `1.2e-5`."""
    digits, e, power = f"{value:.3g}".partition("e")
    return f"{digits}e{int(power)}" if e else digits.removeprefix("0") or "0"


def decimals(value: float | None) -> str:
    """A figure that is compared with another one: four decimals, `-` where it is not known."""
    return "-" if value is None else f"{value:.4f}"


def percent(value: float | None) -> str:
    """A share that is compared with a published one: `95.24 %`, `-` where it is not known."""
    return "-" if value is None else f"{100 * value:.2f} %"


def values(outputs: Iterable[float]) -> str:
    """The outputs of a regression: `0.5, 12.25`."""
    return ", ".join(f"{value:.6g}" for value in outputs)


def value_range(low: float, high: float) -> str:
    """`-2.12…2.64`."""
    return f"{low:.3g}…{high:.3g}"


def amount(done: float | None, total: float | None, unit: object) -> str:
    """`12 MB of 170 MB`, `950 of 5k`, or only what is done where the whole is not known."""
    shown = size if unit == "bytes" else count
    return shown(done) + (f" of {shown(total)}" if total else "")


def setting(value: object) -> str:
    """A setting or a figure as a cell of a table, not safe to show."""
    if isinstance(value, tuple | list):
        return ",".join(str(part) for part in value) or "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "-" if value is None or value == "" else str(value)


def clock(when: float) -> str:
    """A time as `23:11` on the same day, else `11-21 23:11` (local time)."""
    moment = datetime.fromtimestamp(when)
    same_day = moment.date() == datetime.now().date()
    return moment.strftime("%H:%M" if same_day else "%m-%d %H:%M")
