"""Parsing JSON and TOML that anybody may have written."""

from __future__ import annotations

import json
import tomllib
from typing import Any

_TOO_DEEP = "brackets are nested too deep"


def parse_json(text: str | bytes) -> Any:
    """The value in a JSON text; integers that need more than 64 bits become floats. Raises `ValueError`."""
    try:
        return json.loads(text, parse_int=_parse_integer)
    except RecursionError:
        raise ValueError(_TOO_DEEP) from None


def fits_64_bits(value: int) -> bool:
    """Whether an integer is a signed or unsigned one of 64 bits; those that are written are."""
    return -(2**63) <= value < 2**64


def _parse_integer(digits: str) -> int | float:
    if len(digits) <= 20 and fits_64_bits(value := int(digits)):  # `int` refuses thousands of digits
        return value
    return float(digits)  # infinite beyond 1e308


def parse_toml(text: str) -> Any:
    """The tables in a TOML text. Raises `ValueError`, with the line where the syntax is wrong."""
    try:
        return tomllib.loads(text)
    except RecursionError:
        raise ValueError(_TOO_DEEP) from None
