"""Names of datasets and models that are in a Python file of the user: `./file.py:Name`."""

from __future__ import annotations

_MARK = ".py:"


def is_user_code(name: str) -> bool:
    """Whether `name` is of the form `FILE.py:NAME`."""
    return _MARK in name


def split_name(name: str) -> tuple[str, str]:
    """The file and the name in it, of a name that `is_user_code`."""
    file, _, attribute = name.rpartition(":")
    return file, attribute
