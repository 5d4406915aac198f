"""Frames of TFRecord files: an 8-byte length, its checksum, the payload and its checksum, all little-endian.

A checksum is a masked CRC-32C; see https://www.tensorflow.org/tutorials/load_data/tfrecord
"""

from __future__ import annotations

import re
import struct
from array import array
from collections.abc import Iterable

from google_crc32c import value as crc32c

HEADER = struct.Struct("<QI")
CHECKSUM = struct.Struct("<I")
OVERHEAD = HEADER.size + CHECKSUM.size
MAX_PAYLOAD_BYTES = 1 << 28

_LENGTH = struct.Struct("<Q")
_MASK_DELTA = 0xA282EAD8
_LOW_32_BITS = 0xFFFFFFFF
_HEADER_START = re.compile(rb"(?=[\s\S]{4}\0{4}[\s\S]{4})")
"""Where a header may be: payloads are shorter than 4 GiB."""


def masked_crc(data: bytes) -> int:
    """The checksum of `data`."""
    crc: int = crc32c(data)
    return ((crc >> 15 | crc << 17) + _MASK_DELTA) & _LOW_32_BITS


def masked_crcs(parts: Iterable[bytes]) -> array[int]:
    """The checksums of many byte strings, masked all at once: the lanes of one long integer have 64 bits each."""
    crcs = array("Q", map(crc32c, parts))
    lanes = int.from_bytes(crcs.tobytes(), "little")
    ones = int.from_bytes(array("Q", [1]) * len(crcs), "little")
    low = ones * _LOW_32_BITS
    masked = ((lanes >> 15 | lanes << 17) & low) + ones * _MASK_DELTA & low
    return array("Q", masked.to_bytes(8 * len(crcs), "little"))


def payload_length(data: bytes, position: int) -> int | None:
    """The length in the frame header at `position`; `None` if its checksum is wrong or it is absurdly long."""
    length, checksum = HEADER.unpack_from(data, position)
    valid = checksum == masked_crc(data[position : position + _LENGTH.size]) and length <= MAX_PAYLOAD_BYTES
    return length if valid else None


def stored_checksum(frame: bytes) -> int:
    """The checksum of the payload at the end of a frame."""
    checksum: int = CHECKSUM.unpack_from(frame, len(frame) - CHECKSUM.size)[0]
    return checksum


def next_header(data: bytes, position: int) -> int | None:
    """The position of the next valid frame header after a damaged one at `position`; `None` if there is none."""
    for match in _HEADER_START.finditer(data, position + 1):
        if payload_length(data, match.start()) is not None:
            return match.start()
    return None
