"""Readers of datasets in files of the user: tables, arrays, archives, Parquet."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np

from tests.datasets.test_packed_datasets import samples, shard
from tests.datasets.test_packed_datasets import table as parquet_table
from tests.folder_data import draw_images
from tests.fuzz.registry import Reader, reader
from workbench.core.settings_schema import Choice
from workbench.datasets.loader import load


def _reader(path: Path, kind: str, seeds: list[bytes]) -> Reader:
    return Reader(path, seeds, lambda: load(Choice(f"{kind}:{path}"), size=8 if kind != "npz" else None))


@reader("table.csv")
def _table(run: Path, place: Path) -> Reader:
    draw_images(place / "img", 12)
    rows = [(f"img/{i}.png", ("cat", "dog")[i % 2], f"p{i // 3}") for i in range(12)]
    texts = [
        mark.join(("path", "label", "patient")) + "\n" + "\n".join(mark.join(row) for row in rows)
        for mark in ",;\t"
    ]
    quoted = "\n".join(",".join(f'"{cell}"' for cell in row[:2]) for row in rows)
    seeds = [*(text.encode() for text in texts), quoted.encode(), texts[0].encode("utf-16")]
    return _reader(place / "labels.csv", "csv", seeds)


@reader("npz")
def _npz(run: Path, place: Path) -> Reader:
    images, labels = np.zeros((12, 4, 4), np.uint8), np.arange(12) % 3
    splits = {
        "x_train": images,
        "y_train": labels.astype(str),
        "x_test": images[:3],
        "y_test": labels[:3].astype(str),
    }
    seeds = []
    for save in (np.savez, np.savez_compressed):
        for arrays in ({"x": images, "y": labels}, splits):
            stream = io.BytesIO()
            save(stream, **arrays)
            seeds.append(stream.getvalue())
    return _reader(place / "digits.npz", "npz", seeds)


@reader("webdataset")
def _webdataset(run: Path, place: Path) -> Reader:
    path = place / "shard.tar"
    seeds = [shard(path, samples(0, 8), mode).read_bytes() for mode in ("w", "w:gz")]
    return _reader(path, "tar", seeds)


@reader("parquet")
def _parquet(run: Path, place: Path) -> Reader:
    path = place / "pets.parquet"
    seeds = [parquet_table(path, range(10), names).read_bytes() for names in ((), ("even", "odd"))]
    return _reader(path, "parquet", seeds)
