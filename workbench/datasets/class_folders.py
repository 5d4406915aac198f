"""Classes from the names of folders: names that differ only in Unicode form, case or leading zeros; natural order."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from workbench.io.image_files import FolderTree

_NUMBER = re.compile(r"-?[0-9]{1,15}(\.[0-9]+)?")


@dataclass(frozen=True)
class ClassFolders:
    """The folders of one class, by split."""

    name: str
    folders: Mapping[str, Sequence[FolderTree]]


def group_classes(by_split: Mapping[str, Sequence[FolderTree]]) -> tuple[list[ClassFolders], list[str]]:
    """The classes of folders, in order, and a remark on each group of similar names.

    Names that differ only in their Unicode form (NFC, NFD) are one class. So are names that differ in case, or that are
    the same number (`01/` and `1/`), unless one split has several of them: `a/` and `A/` may be letters. The spelling
    is that of the first split, in NFC.
    """
    by_name: dict[str, dict[str, list[FolderTree]]] = {}
    for split, folders in by_split.items():
        for folder in folders:
            name = unicodedata.normalize("NFC", folder.name)
            by_name.setdefault(name, {}).setdefault(split, []).append(folder)
    remarks = [_unicode_remark(name) for name, parts in by_name.items() if _differ_in_form(parts)]
    similar: dict[str | float, list[str]] = {}
    for name in by_name:
        number = parse_number(name)
        similar.setdefault(name.casefold() if number is None else number, []).append(name)
    merged: dict[str, dict[str, list[FolderTree]]] = {}
    for key, names in similar.items():
        used = [split for name in names for split in by_name[name]]
        if len(names) > 1 and len(set(used)) == len(used):
            merged[names[0]] = {split: folders for name in names for split, folders in by_name[name].items()}
            remarks.append(f"{_listed(names)} {_likeness(key)} and are one class")
        else:
            merged |= {name: by_name[name] for name in names}
            if len(names) > 1:
                remarks.append(f"{_listed(names)} {_likeness(key)} and are separate classes")
    return [ClassFolders(name, merged[name]) for name in natural_order(merged)], remarks


def _differ_in_form(parts: Mapping[str, Sequence[FolderTree]]) -> bool:
    return len({folder.name for folders in parts.values() for folder in folders}) > 1


def _unicode_remark(name: str) -> str:
    return f"folders called {name!r} that differ only in Unicode form (NFC, NFD) are one class"


def _likeness(key: str | float) -> str:
    return "differ only in case" if isinstance(key, str) else "are the same number"


def _listed(names: Sequence[str]) -> str:
    return " and ".join(repr(name) for name in names)


def parse_number(name: str) -> float | None:
    """The number that a name is; `None` for other names."""
    return float(name) if _NUMBER.fullmatch(name) else None


def natural_order(names: Iterable[str]) -> list[str]:
    """Sorted names; by value if all of them are numbers: `1, 2, 10`."""
    names = list(names)
    if all(_NUMBER.fullmatch(name) for name in names):
        return sorted(names, key=lambda name: (float(name), name))
    return sorted(names)


def same_names(first: Iterable[str], second: Iterable[str]) -> bool:
    """Whether two lists of classes have the same names, in any order and any Unicode form."""
    a, b = (sorted(unicodedata.normalize("NFC", name) for name in names) for names in (first, second))
    return a == b


def in_recorded_order(classes: Sequence[ClassFolders], recorded: Sequence[str]) -> list[ClassFolders] | None:
    """`classes` in the order and spelling that a run recorded; `None` if it recorded other classes."""
    by_name = {one.name: one for one in classes}
    forms = [unicodedata.normalize("NFC", name) for name in recorded]
    if len(forms) != len(by_name) or set(forms) != set(by_name):
        return None
    return [ClassFolders(name, by_name[form].folders) for name, form in zip(recorded, forms, strict=True)]
