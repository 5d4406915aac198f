"""Arrays of numbers in MATLAB files of level 5, which SVHN and Flowers-102 are published in.

Read here, as `scipy.io.loadmat` crashes the process on some damaged files. The format: "MAT-File Level 5 File Format",
https://www.mathworks.com/help/pdf_doc/matlab/matfile_format.pdf.
"""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Collection
from pathlib import Path
from typing import NamedTuple

import numpy as np

from workbench.io.regular_files import open_regular_file

MAX_BYTES = 1 << 30
"""Of a decompressed array; the largest one, the images of SVHN, takes 225 MB."""
_HEADER_BYTES, _NAME_BYTES = 128, 1 << 12
"""The second: as many decompressed bytes contain the name of an array."""
_MATRIX, _COMPRESSED = 14, 15
_STORED = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
"""NumPy's types of data elements; values may be stored in a smaller type than that of their array."""
_CLASSES = {6: "f8", 7: "f4", 8: "i1", 9: "u1", 10: "i2", 11: "u2", 12: "i4", 13: "u4", 14: "i8", 15: "u8"}
"""NumPy's types of arrays by their class."""
_COMPLEX = 0x0800


class _Element(NamedTuple):
    type: int
    data: memoryview
    end: int
    """The offset of the next element."""


def read_arrays(path: Path, names: Collection[str]) -> dict[str, np.ndarray]:
    """The arrays of real numbers `names` in a file. Raises `ValueError` in one line, and `OSError`."""
    with open_regular_file(path) as file:
        content = memoryview(file.read())
    order = {b"IM": "<", b"MI": ">"}.get(bytes(content[126:_HEADER_BYTES]))
    if order is None:
        raise ValueError("it has no MATLAB header")
    found, offset = dict[str, np.ndarray](), _HEADER_BYTES
    while offset < len(content) and len(found) < len(names):
        element = _element(content, offset, order)
        offset = element.end
        matrix = _matrix(element, order, names)
        if matrix is not None:
            name, parts = _name_and_data(matrix, order)
            if name in names:
                found[name] = _array(*parts, order)
    if missing := sorted(set(names) - found.keys()):
        raise ValueError(f"it has no array '{missing[0]}'")
    return found


def _element(content: memoryview, offset: int, order: str) -> _Element:
    if offset + 8 > len(content):
        raise ValueError("it is truncated")
    kind, size = struct.unpack_from(f"{order}II", content, offset)
    if kind >> 16:  # a small element: its size and at most four bytes of data are in the tag
        kind, size, start, end = kind & 0xFFFF, kind >> 16, offset + 4, offset + 8
    else:
        start = offset + 8
        end = start + size + (0 if kind == _COMPRESSED else -size % 8)
    if start + size > len(content) or (end == offset + 8 and size > 8):
        raise ValueError("it is truncated")
    return _Element(kind, content[start : start + size], end)


def _matrix(element: _Element, order: str, names: Collection[str]) -> memoryview | None:
    """The content of an array that may have one of these names, decompressed; `None` of another element."""
    if element.type == _MATRIX:
        return element.data
    if element.type != _COMPRESSED:
        return None
    start = _decompress(element.data, _NAME_BYTES)
    kind, size = struct.unpack_from(f"{order}II", start) if len(start) >= 8 else (0, 0)
    if kind != _MATRIX or size > MAX_BYTES:
        raise ValueError("it has a compressed element that is not an array, or too large")
    wanted = any(name.encode() in bytes(start) for name in names)
    return _decompress(element.data, size + 8)[8:] if wanted else None


def _decompress(data: memoryview, limit: int) -> memoryview:
    try:
        return memoryview(zlib.decompressobj().decompress(data, limit))
    except zlib.error as error:
        raise ValueError(f"a compressed array is damaged ({error})") from None


def _name_and_data(matrix: memoryview, order: str) -> tuple[str, tuple[int, _Element, _Element]]:
    """The name of an array; and its flags, dimensions and values."""
    flags = _element(matrix, 0, order)
    shape = _element(matrix, flags.end, order)
    name = _element(matrix, shape.end, order)
    if len(flags.data) != 8:
        raise ValueError("an array has no flags")
    (bits,) = struct.unpack_from(f"{order}I", flags.data)
    return bytes(name.data).decode("latin-1"), (bits, shape, _element(matrix, name.end, order))


def _array(flags: int, shape: _Element, values: _Element, order: str) -> np.ndarray:
    kind, stored = _CLASSES.get(flags & 0xFF), _STORED.get(values.type)
    if kind is None or stored is None or flags & _COMPLEX or len(shape.data) % 4:
        raise ValueError("an array does not contain real numbers")
    sizes = np.frombuffer(shape.data, f"{order}i4").tolist()
    flat = np.frombuffer(values.data, f"{order}{stored}") if len(values.data) % int(stored[1]) == 0 else None
    if flat is None or min(sizes, default=-1) < 0 or math.prod(sizes) != len(flat):
        raise ValueError(f"an array of {len(values.data)} bytes can't have the shape {sizes}")
    return flat.astype(kind).reshape(sizes, order="F")
