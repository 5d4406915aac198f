"""Records in the log format of LevelDB, as W&B writes it: with the CRC-32 of zlib.

Blocks of 32 KiB hold fragments: checksum, length, type, content. A record that crosses blocks has several fragments.
https://github.com/google/leveldb/blob/main/doc/log_format.md
"""

from __future__ import annotations

import struct
import zlib
from typing import NamedTuple

BLOCK_BYTES = 1 << 15
MAX_RECORD_BYTES = 64 << 20
_HEADER = struct.Struct("<IHB")
_FULL, _FIRST, _MIDDLE, _LAST = _KINDS = 1, 2, 3, 4


class ReadResult(NamedTuple):
    """Complete records at the start of some bytes, their size, and how often damage was skipped."""

    records: list[bytes]
    size: int
    damaged: int


def read_records(data: bytes, offset: int) -> ReadResult:
    """The complete records in `data`, which is at `offset` of the file, where a record begins.

    Damage is skipped up to the next block, as nothing says where the next record begins; in the last block it may be
    a record that is being written.
    """
    records: list[bytes] = []
    parts: list[bytes] = []
    position = size = damaged = 0
    while position + _HEADER.size <= len(data):
        block_end = position + BLOCK_BYTES - (offset + position) % BLOCK_BYTES
        if block_end - position < _HEADER.size:  # zeros
            position = block_end
            continue
        checksum, length, kind = _HEADER.unpack_from(data, position)
        end = position + _HEADER.size + length
        if kind in _KINDS and len(data) < end <= block_end:
            break
        content = data[position + _HEADER.size : end]
        if (
            kind not in _KINDS
            or end > block_end
            or zlib.crc32(content, zlib.crc32(bytes([kind]))) != checksum
        ):
            if block_end > len(data):
                break
            damaged += 1
            parts.clear()
            position = size = block_end
            continue
        position = end
        if kind in {_FULL, _FIRST} or parts:  # the other parts of a damaged record are ignored
            parts.append(content)
        if kind in {_FULL, _LAST} and parts:
            records.append(b"".join(parts))
            parts.clear()
        if not parts or position - size > MAX_RECORD_BYTES:
            parts.clear()
            size = position
    return ReadResult(records, size, damaged)
