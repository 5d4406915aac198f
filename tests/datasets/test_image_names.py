"""Folders whose images have their class in the name of the file: `data.pattern`."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pytest
from PIL import Image

from workbench.config.data_summary import DataSummary, summarize_data
from workbench.core.errors import UserError
from workbench.core.settings_schema import Choice
from workbench.datasets.fold_choice import FoldChoice
from workbench.datasets.image_name_scan import parse_pattern
from workbench.datasets.loader import load


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORKBENCH_HOME", str(tmp_path / "home"))


def draw(folder: Path, names: Iterable[str]) -> Path:
    for number, name in enumerate(names):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8), (number, 7, 20)).save(folder / name)
    return folder


def pets(folder: Path, form: str = "{}_{:02}.png") -> Path:
    return draw(folder, [form.format(("cat", "dog")[i % 2], i) for i in range(20)])


def summary(root: Path, pattern: str) -> DataSummary:
    found = summarize_data(Choice(f"folder:{root}", {"pattern": pattern}), Choice("mlp"))
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("form", "pattern"),
    [
        ("{}_{:02}.png", "{label}_*.png"),
        ("{}_{:02}.png", "^([a-z]+)_"),
        ("{}_{:02}.png", r"(?P<label>\w+?)_\d+\.png$"),
        ("{}.{}.jpg", "{label}.*.jpg"),
        ("img-{1:02}-{0}.png", "*-{label}.png"),
        ("sub/{}_{}.png", "{label}_*"),
        ("{} ({}).png", "{label} (*).png"),
        ("{1:02}-{0}.png", r"^(?P<group>\d\d)-(\w+)"),
        ("{}/{}.png", "^([^/]+)/"),
    ],
)
def test_the_class_is_in_the_name(tmp_path: Path, form: str, pattern: str) -> None:
    root = pets(tmp_path / "pets", form)
    facts = summary(root, pattern).facts
    assert facts.classes == ("cat", "dog")
    assert facts.totals == {"train": 16, "test": 4}
    data = load(Choice(f"folder:{root}", {"pattern": pattern}), size=8)
    for i, name in enumerate(data.train.names):
        assert data.classes[int(data.train.targets[i])] in name


def test_folders_called_like_splits_are_splits(tmp_path: Path) -> None:
    names = [f"{split}/{('cat', 'dog')[i % 2]}.{i}.jpg" for split in ("train", "test") for i in range(6)]
    root = draw(tmp_path / "pets", [*names, "test1/1.jpg", "train/other.png"])
    facts = summary(root, "{label}.*.jpg").facts
    assert facts.totals == {"train": 6, "test": 6}
    assert facts.folders == {"train": "train", "test": "test"}
    assert facts.skipped.count == 2


def test_groups_in_names_are_not_divided(tmp_path: Path) -> None:
    names = [f"p{i // 4}-{('cat', 'dog')[i % 2]}-{i}.png" for i in range(40)]
    root = draw(tmp_path / "pets", names)
    choice = Choice(f"folder:{root}", {"pattern": "{group}-{label}-*"})
    assert "test 8 (drawn by groups)" in summary(root, "{group}-{label}-*").lines[1]
    for fold in (None, FoldChoice(count=4, held_out=2, seed=0)):
        data = load(choice, size=8, validation=0.2, fold=fold)
        people = [{name.partition("-")[0] for name in split.names} for split in data.splits.values()]
        assert sum(map(len, people)) == len(set.union(*people)) == 10
    divided = draw(tmp_path / "divided", [f"{split}/p1-{name}-{i}.png" for split in ("train", "test")
                                          for name in ("cat", "dog") for i in range(2)])  # fmt: skip
    with pytest.raises(
        UserError, match=r"1 group is in more than one split \(first: p1 is in test and train\)"
    ):
        summary(divided, "{group}-{label}-*")


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("*.png", "does not say where the class is"),
        ("([a-z]+", "is no regular expression"),
        ("{group}_*", "does not say where the class is"),
        ("{label}_*.bmp", "matches no image in"),
        ("({})", "matches no image in"),
        ("([a-z]).*", "has only one class|only one image|classification needs"),
    ],
)
def test_a_pattern_that_does_not_fit_is_one_line(tmp_path: Path, pattern: str, message: str) -> None:
    root = draw(tmp_path / "pets", [f"cat_{i}.png" for i in range(4)])
    with pytest.raises(UserError, match=message):
        summary(root, pattern)


def test_a_placeholder_stands_for_a_part_of_a_name() -> None:
    assert parse_pattern("{label}_*.jpg").search("pets/cat_01.jpg")["label"] == "cat"  # type: ignore[index]
    assert parse_pattern("?{label}.jpg").search("xcat.jpg")["label"] == "cat"  # type: ignore[index]
    assert parse_pattern("{label}.jpg").search("cat.jpg.png") is None
