"""Cross-validation: every sample is held out once, stratified by class, and no group is divided."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tests.datasets.test_csv_datasets import numbered, table
from tests.folder_data import draw_classes
from workbench.config.data_summary import summarize_data
from workbench.config.training_settings import TrainingSettings
from workbench.core.errors import UserError
from workbench.core.settings_schema import Choice
from workbench.datasets.cross_validation import fold_positions, hold_out_fold
from workbench.datasets.dataset import Dataset, Split
from workbench.datasets.fold_choice import FoldChoice
from workbench.datasets.loader import load


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORKBENCH_HOME", str(tmp_path / "home"))


def fold(number: int, count: int = 5, seed: int = 0) -> FoldChoice:
    return FoldChoice(count=count, held_out=number, seed=seed)


def samples(labels: list[int], groups: list[int] | None = None) -> Split:
    """Samples whose input is their own index."""
    return Split(
        torch.arange(len(labels), dtype=torch.float32)[:, None],
        torch.tensor(labels),
        groups=None if groups is None else torch.tensor(groups),
    )


def held_out(whole: Split, count: int, seed: int = 0) -> list[list[int]]:
    """The indices that each fold holds out."""
    return [fold_positions(whole, fold(number, count, seed), "d").tolist() for number in range(1, count + 1)]


@given(
    labels=st.lists(st.integers(0, 3), min_size=10, max_size=80),
    count=st.integers(2, 6),
    seed=st.integers(0, 9),
)
@settings(deadline=None)
def test_every_sample_is_held_out_once_and_classes_are_spread(
    labels: list[int], count: int, seed: int
) -> None:
    counts = Counter(labels)
    assume(max(counts.values()) >= count)
    folds = held_out(samples(labels), count, seed)
    assert sorted(i for part in folds for i in part) == list(range(len(labels)))
    for label, number in counts.items():
        found = [sum(labels[i] == label for i in part) for part in folds]
        assert set(found) <= {number // count, -(-number // count)}
    assert all(part == sorted(part) for part in folds)


@given(
    data=st.lists(st.tuples(st.integers(0, 2), st.integers(0, 11)), min_size=20, max_size=90),
    count=st.integers(2, 4),
    seed=st.integers(0, 9),
)
@settings(deadline=None)
def test_no_group_is_on_both_sides(data: list[tuple[int, int]], count: int, seed: int) -> None:
    labels, groups = [label for label, _ in data], [group for _, group in data]
    assume(max(Counter(labels).values()) >= count and len(set(groups)) >= 2 * count)
    whole = samples(labels, groups)
    try:
        folds = held_out(whole, count, seed)
    except UserError as error:
        assert "would have no samples" in str(error)
        return
    assert sorted(i for part in folds for i in part) == list(range(len(labels)))
    for part in folds:
        inside = {groups[i] for i in part}
        assert not inside & {groups[i] for i in range(len(labels)) if i not in set(part)}
    largest = max(Counter(groups).values())
    assert max(map(len, folds)) <= len(labels) / count + 2 * largest


def test_folds_follow_from_their_seed_alone() -> None:
    whole = samples([i % 3 for i in range(60)])
    assert held_out(whole, 5, seed=1) == held_out(whole, 5, seed=1) != held_out(whole, 5, seed=2)


def test_a_held_out_fold_knows_its_positions_and_validation_is_drawn_from_the_rest() -> None:
    labels = [i % 3 for i in range(60)]
    data = Dataset("classification", ("a", "b", "c"), samples(labels), None, samples([]).take([]))
    divided = hold_out_fold(data, fold(2), "d")
    positions = divided.test.positions
    assert positions is not None
    assert divided.test.inputs[:, 0].tolist() == positions.tolist()
    both = sorted([*divided.train.inputs[:, 0].tolist(), *positions.tolist()])
    assert both == list(range(60))
    assert divided.notices == (
        "cross-validation: fold 2 of 5 is held out as the test data, 12 of 60 samples",
    )
    assert hold_out_fold(data, None, "d") is data


@pytest.mark.parametrize("name", ["digits", "line", "clusters"])
def test_the_whole_data_is_divided_where_the_test_split_is_drawn(name: str) -> None:
    count = sum(map(len, load(Choice(name)).splits.values()))
    parts = [load(Choice(name), fold=fold(number, 3), validation=0.1) for number in (1, 2, 3)]
    positions = np.concatenate([part.test.positions for part in parts])
    assert sorted(positions.tolist()) == list(range(count))
    for part in parts:
        assert sum(map(len, part.splits.values())) == count
        assert part.validation is not None
    assert len({part.fingerprint for part in parts}) == 1
    if name == "digits":
        from sklearn.datasets import load_digits

        known = load_digits().target[parts[0].test.positions]
        assert parts[0].test.targets.tolist() == known.tolist()


def test_a_test_split_of_its_own_is_not_used() -> None:
    data = load(Choice("shapes", {"train": 60, "test": 20}), fold=fold(1))
    assert (len(data.train), len(data.test)) == (48, 12)
    assert data.notices[-1].endswith("the test split of the dataset itself (20 samples) is not used")


def test_folds_of_a_folder_and_a_table_share_their_decoded_images(tmp_path: Path) -> None:
    root = draw_classes(tmp_path / "pets", cat=10, dog=15)
    path = table(tmp_path / "table", "path,label\n{rows}\n")
    for name, count in ((f"folder:{root}", 25), (f"csv:{path}", 20)):
        names: list[str] = []
        for number in range(1, 6):
            data = load(Choice(name), size=8, fold=fold(number))
            names += data.test.names
            assert set(data.train.names).isdisjoint(data.test.names)
        assert len(set(names)) == len(names) == count
    assert len(list((tmp_path / "home").rglob("*.u8"))) == 2


def test_groups_of_a_table_are_not_divided(tmp_path: Path) -> None:
    rows = "\n".join(f"img/{i:02}.png,{'ab'[i % 2]},p{i // 4}" for i in range(40))
    path = table(tmp_path, f"path,label,patient\n{rows}", count=40)
    seen: list[int] = []
    for number in range(1, 6):
        data = load(Choice(f"csv:{path}"), size=8, fold=fold(number), validation=0.2)
        groups = [set(split.groups.tolist()) for split in data.splits.values() if split.groups is not None]
        assert sum(map(len, groups)) == len(set.union(*groups)) == 10
        seen += groups[-1]
    assert sorted(seen) == list(range(1, 11))


def test_folds_of_the_table_are_used(tmp_path: Path) -> None:
    rows = "\n".join(f"img/{i:02}.png,{'ab'[i % 2]},{i // 10}" for i in range(20))
    path = table(tmp_path, f"path,label,fold\n{rows}")
    data = load(Choice(f"csv:{path}"), size=8, fold=fold(2, 2))
    assert data.test.names == tuple(numbered(20)[10:])
    with pytest.raises(UserError, match=r"train\.folds=3, but csv:.* is divided into 2 folds: set it to 2"):
        load(Choice(f"csv:{path}"), size=8, fold=fold(1, 3))
    assert len(load(Choice(f"csv:{path}", {"fold": "none"}), size=8, fold=fold(1)).test) == 4
    path.write_text(path.read_text().replace("b,1\n", "b,\n", 1))
    with pytest.raises(UserError, match=r"1 sample of csv:.* is in no fold"):
        load(Choice(f"csv:{path}"), size=8, fold=fold(1, 2))


def test_too_many_folds_are_refused() -> None:
    with pytest.raises(UserError, match=r"train\.folds=5, but d has at most 4 samples of one class"):
        held_out(samples([0, 0, 0, 0, 1, 1]), 5)
    with pytest.raises(UserError, match=r"train\.folds=5, but d has only 3 groups"):
        held_out(samples([0] * 9 + [1] * 9, [1, 2, 3] * 6), 5)


def test_the_summary_says_what_is_held_out(tmp_path: Path) -> None:
    root = draw_classes(tmp_path / "pets", cat=10, dog=15)
    found = summarize_data(
        Choice(f"folder:{root}"), Choice("mlp"), TrainingSettings(folds=5, fold=2, validation=0.0)
    )
    assert found is not None
    assert found.lines[1] == "splits: train about 20 (the folder itself), test about 5 (fold 2 of 5)"
    assert found.counts == {"train": (8, 12), "test": (2, 3)}
