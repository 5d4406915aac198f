"""JSON as training scripts write it, with NaN and infinities as bare words."""

from __future__ import annotations

import json

import msgspec

_decoder = msgspec.json.Decoder()


def decode_json(data: bytes | str) -> object:
    """The content of a JSON text. Raises `ValueError`."""
    try:
        return _decoder.decode(data)
    except (msgspec.MsgspecError, RecursionError, UnicodeError):
        try:
            return json.loads(data)
        except RecursionError:
            raise ValueError("nested too deep") from None
