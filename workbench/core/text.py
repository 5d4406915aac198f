"""Formatting of values, and sanitizing of untrusted text: names, log lines and messages can't control the terminal."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Iterable, Sequence
from datetime import datetime
from functools import lru_cache

from rich.cells import cell_len, split_graphemes

REPLACEMENT = "\N{REPLACEMENT CHARACTER}"

_BIDI = {chr(c) for c in (0x061C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A))}


def sanitize(text: object, width: int | None = None) -> str:
    """`text` as one line, with every control, bidirectional and unassigned character replaced by U+FFFD.

    With `width`, truncated to that many terminal cells. Lone surrogates, which stand for undecodable bytes in file
    names and can't be encoded, are replaced too.
    """
    line = str(text)
    if not (line.isascii() and line.isprintable()):
        line = _replace_unsafe(line)
    return line if width is None else truncate(line, width)


def one_line(error: BaseException, limit: int = 200) -> str:
    """The message of an exception as one line of at most `limit` characters; its type where the message is empty."""
    return " ".join(str(error).split())[:limit] or type(error).__name__


@lru_cache(1024)  # a list is drawn with the same names again and again
def _replace_unsafe(line: str) -> str:
    return "".join(REPLACEMENT if _is_unsafe(c) else c for c in line)


def _is_unsafe(character: str) -> bool:
    if " " <= character <= "~":
        return False
    return character in _BIDI or unicodedata.category(character) in {"Cc", "Cs", "Cn", "Zl", "Zp"}


def cell_width(text: str) -> int:
    """The number of terminal cells that `text` occupies, as Rich and thereby the layout of the screen count them.

    Combining characters, the later jamo of a Hangul syllable, and what a zero-width joiner joins take no cells;
    variation selector 16 makes a character wide.
    """
    if text.isascii() and text.isprintable():
        return len(text)
    return cell_len(text)


@lru_cache(1024)
def grapheme_widths(text: str) -> tuple[tuple[str, int], ...]:
    """The characters of `text` as a terminal draws them, combining ones with their base, each with its cells."""
    if text.isascii() and text.isprintable():
        return tuple((character, 1) for character in text)
    return tuple((text[start:end], width) for start, end, width in split_graphemes(text)[0])


def truncate(text: str, width: int) -> str:
    """`text` within `width` terminal cells; a longer one ends in an ellipsis."""
    if len(text) * 2 <= width or cell_width(text) <= width:
        return text
    if text.isascii() and text.isprintable():
        return text[: width - 1] + "…" if width > 0 else ""
    used, prefix = 1, []
    for grapheme, cells in grapheme_widths(text):
        used += cells
        if used > width:
            break
        prefix.append(grapheme)
    return "".join(prefix) + "…" if width > 0 else ""


def pad(text: str, width: int) -> str:
    """`text` truncated or padded with spaces to exactly `width` terminal cells."""
    line = truncate(text, width)
    return line + " " * (width - cell_width(line))


def common_prefix(texts: Iterable[str]) -> str:
    """The longest common prefix."""
    every = list(texts)
    first, last = min(every, default=""), max(every, default="")
    differences = (i for i, (a, b) in enumerate(zip(first, last, strict=False)) if a != b)
    return first[: next(differences, min(len(first), len(last)))]


def complete_name(text: str, names: Iterable[str]) -> list[str]:
    """What `text` can be completed to: names that begin as all of it does, else as its last word, ignoring case."""
    every, begin = list(dict.fromkeys(names)), text.rfind(" ") + 1
    if begin == len(text):
        return []
    return _beginning(text, every) or [text[:begin] + name for name in _beginning(text[begin:], every)]


def _beginning(start: str, names: Sequence[str]) -> list[str]:
    return [name for name in names if name.casefold().startswith(start.casefold()) and name != start]


def without_middle(name: str, width: int) -> str:
    """The start and the end of a name that is longer than `width` cells."""
    if cell_width(name) <= width:
        return name
    head = truncate(name, (width + 1) // 2)
    room, start = width - cell_width(head), len(name)
    if name.isascii():
        return head + name[max(0, start - room) :] if room > 0 else head
    while start > 0 and cell_width(name[start - 1 :]) <= room:
        start -= 1
    return head + name[start:]


def format_duration(seconds: float | None) -> str:
    """A duration as `59s`, `12m05`, `3h08`, `2d04h`; `-` where it is unknown."""
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


def format_age(seconds: float) -> str:
    """An age in seconds, in its largest unit: `now`, `40s ago`, `12m ago`, `3h ago`, `9d ago`."""
    for unit, length in (("d", 86400), ("h", 3600), ("m", 60), ("s", 1)):
        if seconds >= length:
            return f"{int(seconds // length)}{unit} ago"
    return "now"


def format_bytes(count: float | None) -> str:
    """A number of bytes as `512 B`, `1.5 MB`, `2.0 GB` (powers of 1000); `-` where it is unknown."""
    if count is None:
        return "-"
    for unit in ("B", "kB", "MB", "GB"):
        if abs(count) < 1000:
            return f"{count:.0f} {unit}" if unit == "B" or count >= 100 else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"


def format_count(number: float | None) -> str:
    """A number as `950`, `42.5k`, `11.7M`; `-` where it is unknown."""
    if number is None:
        return "-"
    for unit in ("", "k", "M", "G"):
        if abs(number) < 1000:
            digits = f"{number:.0f}" if not unit or abs(number) >= 100 else f"{number:.1f}".removesuffix(".0")
            return digits + unit
        number /= 1000
    return f"{number:.1f}T"


def class_text(name: str, width: int | None = None) -> str:
    """A class name beside numbers, sanitized: a name that is a number itself as `class 3`."""
    is_number = name.strip().replace(".", "", 1).isdigit()
    return sanitize(f"class {name}" if is_number else name, width)


def plural(count: int, noun: str) -> str:
    """A count with its noun: `1 image`, `1,200 images`, `2 classes`."""
    return f"{count:,} {noun}{'' if count == 1 else 'es' if noun.endswith('s') else 's'}"


def format_shape(sides: Iterable[int]) -> str:
    """A shape as `3×224×224`."""
    return "×".join(str(side) for side in sides)


def format_fraction(value: float | None) -> str:
    """A fraction from 0 to 1 as `.913`; `1.00` for one, `-` where it is unknown."""
    if value is None:
        return "-"
    digits = f"{value:.3f}"
    return digits[1:] if digits.startswith("0") else f"{value:.2f}"


def format_difference(value: float) -> str:
    """A difference of fractions with its sign: `+.020`, `-.004`, `.000`."""
    digits = f"{value:+.3f}"
    return ".000" if float(digits) == 0 else digits.replace("0.", ".", 1) if abs(value) < 0.9995 else digits


def format_compact(value: float | None) -> str:
    """A number in about four cells: `.214`, `2.31`, `183`, `1.2e-4`; `-` where it is unknown or NaN."""
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


def format_learning_rate(value: float) -> str:
    """A learning rate with three significant digits: `.015`, `.000123`, `1.2e-5`."""
    digits, e, power = f"{value:.3g}".partition("e")
    return f"{digits}e{int(power)}" if e else digits.removeprefix("0") or "0"


def format_decimals(value: float | None) -> str:
    """A metric with four decimals, for comparisons; `-` where it is unknown."""
    return "-" if value is None else f"{value:.4f}"


def format_percent(value: float | None) -> str:
    """A fraction as a percentage with two decimals, `95.24 %`; `-` where it is unknown."""
    return "-" if value is None else f"{100 * value:.2f} %"


def format_outputs(outputs: Iterable[float]) -> str:
    """The outputs of a regression: `0.5, 12.25`."""
    return ", ".join(f"{value:.6g}" for value in outputs)


def format_range(low: float, high: float) -> str:
    """A range of values as `-2.12 to 2.64`."""
    return f"{low:.3g} to {high:.3g}"


def format_progress(done: float | None, total: float | None, unit: object) -> str:
    """Progress as `12 MB of 170 MB` or `950 of 5k`; without the total where it is unknown."""
    format_number = format_bytes if unit == "bytes" else format_count
    return format_number(done) + (f" of {format_number(total)}" if total else "")


def format_setting(value: object) -> str:
    """The value of a setting or a metric as the cell of a table; not sanitized."""
    if isinstance(value, tuple | list):
        return ",".join(str(part) for part in value) or "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "-" if value is None or value == "" else str(value)


def format_time(when: float, now: float | None = None) -> str:
    """A time as `23:11` on the day of `now` (default: today), else as `11-21 23:11` (local time)."""
    moment = datetime.fromtimestamp(when)
    today = datetime.now() if now is None else datetime.fromtimestamp(now)
    same_day = moment.date() == today.date()
    return moment.strftime("%H:%M" if same_day else "%m-%d %H:%M")
