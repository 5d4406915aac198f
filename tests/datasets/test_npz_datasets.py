"""Arrays in `.npz` files."""

from __future__ import annotations

import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from workbench.core.errors import UserError
from workbench.core.settings_schema import Choice
from workbench.datasets import catalog
from workbench.datasets.dataset import Dataset
from workbench.datasets.file_options import NpzOptions
from workbench.datasets.fold_choice import FoldChoice
from workbench.datasets.loader import load
from workbench.datasets.npz_arrays import npz_facts, read_shapes

PIXELS = np.arange(40 * 36, dtype=np.uint32).astype(np.uint8).reshape(40, 6, 6)
LABELS = np.arange(40) % 4


def save(folder: Path, **arrays: Any) -> Path:
    path = folder / "data.npz"
    np.savez(path, **arrays)
    return path


def loaded(path: Path, **options: object) -> Dataset:
    return load(Choice(f"npz:{path}", options))


def test_one_pair_of_arrays_is_divided(tmp_path: Path) -> None:
    data = loaded(save(tmp_path, x=PIXELS, y=LABELS), test=0.3)
    assert data.classes == ("0", "1", "2", "3")
    assert (tuple(data.train.inputs.shape), tuple(data.test.inputs.shape)) == ((28, 1, 6, 6), (12, 1, 6, 6))
    rows = {row.tobytes(): label for row, label in zip(PIXELS, LABELS, strict=True)}
    for split in (data.train, data.test):
        for i in range(len(split)):
            assert rows[split.sample(i).numpy().tobytes()] == split.targets[i]


@pytest.mark.parametrize(
    "names",
    [
        ("x_train", "y_train", "x_test", "y_test"),
        ("train_images", "train_labels", "test_images", "test_labels"),
        ("X_train", "Y_train", "X_val", "Y_val"),
    ],
)
def test_splits_of_the_file_are_used(tmp_path: Path, names: tuple[str, ...]) -> None:
    arrays = (PIXELS, LABELS.reshape(-1, 1), PIXELS[:8], LABELS[:8].reshape(-1, 1))
    path = save(tmp_path, **dict(zip(names, arrays, strict=True)))
    data = loaded(path)
    assert [len(split) for split in data.splits.values()] == [40, 8]
    about = catalog.describe(str(path))
    assert (about.train, about.test, about.shape, about.draws_test) == (40, 8, (6, 6), False)


def test_a_validation_split_and_names_of_classes(tmp_path: Path) -> None:
    parts = {f"{split}_{what}": array[:count] for split, count in (("train", 40), ("val", 8), ("test", 12))
             for what, array in (("images", np.stack([PIXELS] * 3, -1)), ("labels", LABELS))}  # fmt: skip
    data = loaded(save(tmp_path, **parts, class_names=np.array(["ant", "bee", "cat", "dog"])))
    assert data.classes == ("ant", "bee", "cat", "dog")
    assert [len(split) for split in data.splits.values()] == [40, 8, 12]
    assert data.train.shape == (3, 6, 6)


def test_arrays_are_named_by_settings(tmp_path: Path) -> None:
    path = save(tmp_path, faces=PIXELS, who=LABELS.astype(str), room=LABELS // 2)
    with pytest.raises(
        UserError, match=r"which arrays are images and labels\? It has faces \(40, 6, 6\), who \(40,\)"
    ):
        loaded(path)
    assert len(loaded(path, image="faces", label="who").train) == 32
    with pytest.raises(UserError, match=r"data\.label: .* has no array 'whom'; it has faces"):
        loaded(path, image="faces", label="whom")


def test_groups_are_not_divided(tmp_path: Path) -> None:
    path = save(tmp_path, x=PIXELS, y=LABELS, groups=np.repeat(np.array(["p", "q", "r", "s", "t"]), 8))
    data = load(Choice(f"npz:{path}"), validation=0.25)
    groups = [set(split.groups.tolist()) for split in data.splits.values() if split.groups is not None]
    assert sum(map(len, groups)) == len(set.union(*groups)) == 5
    parts = [load(Choice(f"npz:{path}"), fold=FoldChoice(count=5, held_out=n, seed=0)) for n in range(1, 6)]
    held_out = [position for part in parts for position in part.test.positions.tolist()]  # type: ignore[union-attr]
    assert sorted(held_out) == list(range(40))
    with pytest.raises(UserError, match=r"groups has \(3,\) values for 40 samples"):
        loaded(save(tmp_path, x=PIXELS, y=LABELS, groups=[1, 2, 3]))


def test_facts_are_read_from_headers(tmp_path: Path) -> None:
    path = save(tmp_path, x=PIXELS, y=LABELS)
    assert read_shapes(path) == {"x": (40, 6, 6), "y": (40,)}
    facts = npz_facts(path, NpzOptions())
    assert facts is not None
    assert facts.split_counts(0.25) == (30, 10)
    assert npz_facts(tmp_path / "none.npz", NpzOptions()) is None


def test_nothing_is_unpickled(tmp_path: Path) -> None:
    path = save(tmp_path, x=PIXELS, y=np.array([object()] * 40))
    with pytest.raises(UserError, match="y can't be read: it holds Python objects"):
        loaded(path)


@pytest.mark.parametrize("damage", ["text", "pickle", "cut", "header", "member"])
def test_a_damaged_file_is_one_line(tmp_path: Path, damage: str) -> None:
    path = save(tmp_path, x=PIXELS, y=LABELS)
    content = path.read_bytes()
    if damage == "text":
        path.write_text("no archive")
    elif damage == "pickle":
        path.write_bytes(pickle.dumps(PIXELS))
    elif damage == "cut":
        path.write_bytes(content[: len(content) // 2])
    elif damage == "header":
        path.write_bytes(content.replace(b"NUMPY\x01", b"NUMPZ\x01"))
    else:
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("x.npy", b"\x93NUMPY\x01\0\x10\0{'shape': (-4,)}")
            archive.writestr("y.npy", b"")
    with pytest.raises(UserError, match=r"data\.npz") as raised:
        loaded(path)
    assert "\n" not in str(raised.value)


def test_a_file_is_found_by_its_ending(tmp_path: Path) -> None:
    path = save(tmp_path, x=PIXELS, y=LABELS)
    assert catalog.find(str(path)).name == f"npz:{path}"


def test_arrays_are_not_mirrored_by_default(tmp_path: Path) -> None:
    assert "augment" not in catalog.find(f"npz:{save(tmp_path, x=np.zeros((4, 5)), y=[0, 1, 0, 1])}").train
