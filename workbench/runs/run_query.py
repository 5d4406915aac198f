"""Expressions that select runs: `model=resnet lr<0.01 acc>0.9 tag:baseline !status:failed started<2d has:val/f1`.

An expression is a list of conditions that all have to hold; `or` separates alternatives, `!` negates, parentheses
group. A condition is a word (found in name, id, status, dataset, model, device, group or tags), or a key, an operator
and a value. Keys are those of `FIELDS`, settings (`lr` for `train.lr`) and metrics (`val/f1`).

- `:` and `=`: a text contains the value, or matches it where it has `*` or `?`; a number equals it.
- `==` and `!=`: a text is, or is not, exactly the value.
- `<`, `<=`, `>`, `>=`: numbers; of `started`, the time since then (`2d`, `90m`).
- `has:KEY`: the run has that setting or metric.
"""

from __future__ import annotations

import math
import operator
import re
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cache, lru_cache
from typing import NamedTuple

from workbench.core.errors import UserError, did_you_mean
from workbench.core.settings_schema import SettingValue
from workbench.core.text import sanitize
from workbench.runs.scores import Score
from workbench.runs.store import RunSummary

Predicate = Callable[[RunSummary], bool]
FieldValue = SettingValue | tuple[str, ...]

UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
"""Seconds by the unit of a time."""


def _score_of(scores: Iterable[Score | None], metric: str) -> float | None:
    return next((score.value for score in scores if score is not None and score.metric == metric), None)


def _figure(metric: str) -> Callable[[RunSummary], FieldValue]:
    """The test result of a metric, else its best value on validation data."""

    def get(row: RunSummary) -> FieldValue:
        tested = (row.test or {}).get(metric)
        return _score_of((row.test_score, row.best_score, row.logged), metric) if tested is None else tested

    return get


def _value(score: Score | None) -> float | None:
    return None if score is None else score.value


FIELDS: dict[str, Callable[[RunSummary], FieldValue]] = {
    "name": lambda row: row.name,
    "id": lambda row: row.id,
    "status": lambda row: (str(row.status), *((str(row.phase),) if row.phase else ())),
    "data": lambda row: row.dataset,
    "model": lambda row: row.model,
    "device": lambda row: row.device,
    "host": lambda row: row.host,
    "group": lambda row: row.group,
    "tag": lambda row: row.tags,
    "notes": lambda row: row.notes,
    "command": lambda row: row.command,
    "format": lambda row: row.format,
    "reason": lambda row: row.reason,
    "started": lambda row: time.time() - row.created if row.created else None,
    "epoch": lambda row: row.epoch,
    "epochs": lambda row: row.epochs_total,
    "step": lambda row: row.step,
    "eta": lambda row: row.eta,
    "duration": lambda row: row.seconds or None,
    "acc": _figure("accuracy"),
    "loss": _figure("loss"),
    "test": lambda row: _value(row.test_score),
    "val": lambda row: _value(row.best_score),
}
"""What the list of runs shows, by key; times are seconds."""
ALIASES = {"dataset": "data", "tags": "tag", "accuracy": "acc", "age": "started", "best": "val"}
TIMES = {"started", "eta", "duration"}
HAS = "has"

_TOKEN = re.compile(
    r"""\s*(?:
        (?P<parenthesis>[()]) | (?P<negation>!(?!=)) |
        (?P<key>[^\s()!<>=:"']+?)\s*(?P<operator><=|>=|!=|==|[<>=:])\s*(?P<value>"[^"]*"|'[^']*'|[^\s()]*) |
        (?P<word>"[^"]*"|'[^']*'|[^\s()]+)
    )""",
    re.VERBOSE,
)
_COMPARISONS: dict[str, Callable[[float, float], bool]] = {
    "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge,
}  # fmt: skip


class _Token(NamedTuple):
    text: str
    kind: str
    key: str = ""
    operator: str = ""
    value: str = ""


@dataclass(frozen=True)
class RunQuery:
    """A parsed expression."""

    text: str
    matches: Predicate
    keys: tuple[str, ...]
    """The keys of its conditions, as typed."""

    def select(self, rows: Sequence[RunSummary]) -> list[RunSummary]:
        """The runs that match, in the same order. Raises `UserError` for a key that no run has."""
        for key in self.keys:
            if (
                rows
                and all(value is None for value in map(getter(key), rows))
                and key.lower() not in FIELDS | ALIASES
            ):
                raise UserError(f"no run has '{key}'{did_you_mean(key, known_keys(rows))}")
        return [row for row in rows if self.matches(row)]


def parse_query(text: str) -> RunQuery:
    """The expression `text`; an empty one matches every run. Raises `UserError` in one line."""
    tokens = list(_tokens(text))
    parser = _Parser(tokens)
    predicate = parser.alternatives() if tokens else _always
    if parser.rest:
        raise UserError(f"'{text}': nothing opens the parenthesis before '{parser.rest[0].text}'")
    return RunQuery(text, predicate, tuple(parser.keys))


def filter_runs(text: str, rows: Sequence[RunSummary]) -> list[RunSummary]:
    """The runs that match an expression, in the same order. Raises `UserError`, for a key too that no run has."""
    return parse_query(text).select(rows)


def known_keys(rows: Iterable[RunSummary]) -> list[str]:
    """The keys that can stand in an expression over these runs."""
    found = dict.fromkeys([*FIELDS, *ALIASES, HAS])
    for names in {(*row.settings, *row.metrics) for row in rows}:
        found |= dict.fromkeys(names)
        found |= dict.fromkeys(_last_part(name) for name in names)
    return list(found)


def complete_query(text: str, rows: Sequence[RunSummary]) -> list[str]:
    """What `text` can be completed to: keys of its last word, or values of its last condition that runs have."""
    begin = max(text.rfind(" "), text.rfind("("), text.rfind("!")) + 1
    word = text[begin:]
    condition = re.fullmatch(r"([^<>=:]+)(<=|>=|!=|==|[<>=:])(.*)", word)
    if condition is None:
        keys = [f"{key}:" if key in {HAS, "tag", "status"} else key for key in known_keys(rows)]
        return [text[:begin] + key for key in keys if word and key.startswith(word) and key != word]
    key, comparison, begun = condition.groups()
    values = known_keys(rows) if key == HAS else _values(rows, key)
    lead = text[:begin] + key + comparison
    return [lead + value for value in values if value.startswith(begun) and value != begun]


def _values(rows: Sequence[RunSummary], key: str) -> list[str]:
    found: dict[str, None] = {}
    for value in map(getter(key), rows):
        for item in value if isinstance(value, tuple | list) else [value]:
            if isinstance(item, str) and item:
                found[f'"{item}"' if re.search(r"[\s()]", item) else item] = None
    return sorted(found)


def _tokens(text: str) -> Iterator[_Token]:
    position = 0
    while position < len(text.rstrip()):
        match = _TOKEN.match(text, position)
        assert match is not None, "every text is a sequence of tokens"
        position = match.end()
        kind = str(match.lastgroup)
        if kind == "value":
            parts = match.group("key", "operator", "value")
            yield _Token(match[0].strip(), "condition", *parts)
        else:
            yield _Token(match[kind], kind)


def _unquoted(text: str) -> str:
    return text[1:-1] if len(text) > 1 and text[0] == text[-1] and text[0] in "\"'" else text


class _Parser:
    """Recursive descent: alternatives of conditions that may be negated or in parentheses."""

    def __init__(self, tokens: list[_Token]) -> None:
        self.rest = tokens
        self.keys: list[str] = []

    def alternatives(self) -> Predicate:
        found = [self._all()]
        while self.rest and self._is_word("or"):
            self.rest.pop(0)
            found.append(self._all())
        return found[0] if len(found) == 1 else lambda row: any(one(row) for one in found)

    def _all(self) -> Predicate:
        found: list[Predicate] = []
        while self.rest and not self._is_word("or") and self.rest[0].text != ")":
            if self._is_word("and") and found:
                self.rest.pop(0)
            else:
                found.append(self._one())
        if not found:
            raise UserError("a condition is missing before or after 'or', '!' or in '()'")
        return found[0] if len(found) == 1 else lambda row: all(one(row) for one in found)

    def _one(self) -> Predicate:
        token = self.rest.pop(0)
        if token.kind == "negation":
            if not self.rest or self.rest[0].text == ")":
                raise UserError("'!' needs a condition after it")
            inner = self._one()
            return lambda row: not inner(row)
        if token.text == "(":
            inner = self.alternatives()
            if not self.rest:
                raise UserError("a closing parenthesis is missing")
            self.rest.pop(0)
            return inner
        if token.kind == "condition" and not _is_word_with_colon(token):
            return self._condition(token)
        return _contains_word(_unquoted(token.text).lower())

    def _condition(self, token: _Token) -> Predicate:
        key, value = token.key.lower(), _unquoted(token.value)
        if not token.value:
            raise UserError(f"'{token.text}' needs a value")
        if key == HAS:
            get = getter(value)
            return lambda row: get(row) is not None
        self.keys.append(token.key)
        if token.operator in _COMPARISONS:
            return _compares(token.key, _COMPARISONS[token.operator], _number(token.key, value))
        same = _equals if token.operator in {"==", "!="} else _contains
        positive = same(token.key, value)
        return (lambda row: not positive(row)) if token.operator == "!=" else positive

    def _is_word(self, word: str) -> bool:
        return self.rest[0].kind == "word" and self.rest[0].text.lower() == word


def _is_word_with_colon(token: _Token) -> bool:
    """`folder:/data/photos`, `./data.py:make` and `12:30` are words: names that runs have, and no keys."""
    return token.operator == ":" and (token.value.startswith(("/", ".", "~")) or not token.key[0].isalpha())


def _number(key: str, value: str) -> float:
    """A number, a percentage or a time in seconds. Raises `UserError`."""
    is_time = ALIASES.get(key.lower(), key.lower()) in TIMES
    factor = (UNITS if is_time else {"%": 0.01}).get(value[-1:].lower())
    try:
        if factor is not None:
            return float(value[:-1]) * factor
        if not is_time:
            return float(value)
    except ValueError:
        pass
    wanted = "a time, such as 2d, 3h or 90m" if is_time else "a number"
    raise UserError(f"'{key}' is compared with {wanted}, not '{value}'")


def _always(_row: RunSummary) -> bool:
    return True


def _contains_word(word: str) -> Predicate:
    def contains(row: RunSummary) -> bool:
        fields = (
            row.name,
            row.id,
            row.status,
            row.dataset,
            row.model,
            row.device,
            row.group,
            row.command,
            row.format,
            *row.logs,
            *row.tags,
        )
        return any(word in field.lower() for field in fields)

    return contains


def _compares(key: str, comparison: Callable[[float, float], bool], limit: float) -> Predicate:
    get = getter(key)

    def compares(row: RunSummary) -> bool:
        value = get(row)
        return isinstance(value, int | float) and not isinstance(value, bool) and comparison(value, limit)

    return compares


def _equals(key: str, wanted: str) -> Predicate:
    get = getter(key)
    return lambda row: any(_same(item, wanted) for item in _items(get(row)))


def _contains(key: str, wanted: str) -> Predicate:
    get, pattern = getter(key), _plain(wanted)
    is_pattern = any(character in pattern for character in "*?")

    def contains(row: RunSummary) -> bool:
        for item in _items(get(row)):
            if isinstance(item, str):
                text = _plain(item)
                if fnmatchcase(text, pattern) if is_pattern else pattern in text:
                    return True
            elif _same(item, wanted):
                return True
        return False

    return contains


def _items(value: FieldValue) -> Sequence[FieldValue]:
    return value if isinstance(value, tuple | list) else () if value is None else (value,)


def _same(value: FieldValue, wanted: str) -> bool:
    if isinstance(value, bool):
        return wanted.lower() in ({"yes", "true", "1"} if value else {"no", "false", "0"})
    if isinstance(value, int | float):
        try:
            return math.isclose(value, float(wanted), rel_tol=1e-9)
        except ValueError:
            return False
    return _plain(str(value)) == _plain(wanted)


@lru_cache(10_000)
def _plain(value: str) -> str:
    """A text for comparisons, which control characters and upper case do not count in: nobody can type the former."""
    return sanitize(value).lower()


def getter(key: str) -> Callable[[RunSummary], FieldValue]:
    """The value of a field, a setting or a metric of a run; `None` where it has none of this name."""

    def get(row: RunSummary) -> FieldValue:
        setting = setting_value(row, key)
        metric = metric_name(row, key) if setting is None else None
        return setting if metric is None else row.metrics[metric]

    return FIELDS.get(ALIASES.get(key.lower(), key.lower())) or get


def setting_value(row: RunSummary, key: str) -> SettingValue:
    """The value of a setting of a run by its full or its short name; `None` without it."""
    name = _full_name(key, tuple(row.settings))
    return None if name is None else row.settings[name]


def metric_name(row: RunSummary, key: str) -> str | None:
    """The full name of a metric of a run: `validation/loss` for `val/loss`; `None` without it."""
    names = tuple(row.metrics)
    return _full_name(key, names) or _full_name(re.sub("^val/", "validation/", key), names)


@cache
def _full_name(key: str, names: tuple[str, ...]) -> str | None:
    """The name that `key` is, or is the end of: `lr` of `train.lr`; the first one of several."""
    lower = key.lower()
    exact = next((name for name in names if name.lower() == lower), None)
    return exact or next((name for name in names if _last_part(name).lower() == lower), None)


def _last_part(name: str) -> str:
    return re.split(r"[./]", name)[-1]
