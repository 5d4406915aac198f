"""Images that a table lists, with their classes, splits, groups and folds."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from workbench.config.data_summary import DataSummary, summarize_data
from workbench.core.errors import UserError
from workbench.core.progress import Cancelled
from workbench.core.settings_schema import Choice
from workbench.datasets import catalog
from workbench.datasets.dataset import Dataset
from workbench.datasets.dataset_scan import dataset_scan
from workbench.datasets.drawing import grouped_split
from workbench.datasets.file_options import CsvOptions
from workbench.datasets.fold_choice import FoldChoice
from workbench.datasets.image_table_scan import scan_table
from workbench.datasets.loader import load


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORKBENCH_HOME", str(tmp_path / "home"))


def draw(folder: Path, names: Iterable[str]) -> None:
    for number, name in enumerate(names):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8), (number, 7, 20)).save(folder / name)


def numbered(count: int) -> list[str]:
    return [f"img/{i:02}.png" for i in range(count)]


def table(folder: Path, text: str, name: str = "labels.csv", count: int = 20) -> Path:
    """A table beside `count` images `img/NN.png`; `{rows}` is a row for each, alternately of `cat` and `dog`."""
    draw(folder, numbered(count))
    path = folder / name
    rows = "\n".join(f"{name},{'dog' if i % 2 else 'cat'}" for i, name in enumerate(numbered(count)))
    path.write_bytes(text.replace("{rows}", rows).encode())
    return path


def loaded(path: Path, validation: float = 0.0, **options: object) -> Dataset:
    return load(Choice(f"csv:{path}", options), size=8, validation=validation)


def summary(path: Path, **options: object) -> DataSummary:
    found = summarize_data(Choice(f"csv:{path}", options), Choice("mlp"))
    assert found is not None
    return found


def test_a_table_gives_the_same_samples_as_its_rows(tmp_path: Path) -> None:
    data = loaded(table(tmp_path, "path,label\n{rows}\n"))
    assert data.classes == ("cat", "dog")
    assert (len(data.train), len(data.test)) == (16, 4)
    for split in (data.train, data.test):
        for i, name in enumerate(split.names):
            number = int(name[4:6])
            assert split.sample(i)[0, 0, 0] == number
            assert split.targets[i] == number % 2
    assert sorted(data.train.names + data.test.names) == numbered(20)


@pytest.mark.parametrize(
    "text",
    [
        "path,label\n{rows}",
        "\ufeffpath,label\r\n{rows}\r\n",
        "Image Path,Class Name\n{rows}",
        "{rows}",
        '"path","label"\n{rows}\n\n\n',
        "label,file\n" + "\n".join(f"{'dog' if i % 2 else 'cat'},./img/{i:02}.png" for i in range(20)),
        "path;label\n" + "\n".join(f"img/{i:02}.png;{'dog' if i % 2 else 'cat'}" for i in range(20)),
        "path\tlabel\n" + "\n".join(f"img/{i:02}.png\t{'dog' if i % 2 else 'cat'}" for i in range(20)),
        "a,b\n{rows}",
        'path,label\n' + "\n".join(f'"img/{i:02}.png"," {"dog" if i % 2 else "cat"} "' for i in range(20)),
        "path,label\n" + "\n".join(f"img\\{i:02}.png,{'dog' if i % 2 else 'cat'}" for i in range(20)),
    ],
    ids=["plain", "bom-crlf", "words", "no-header", "quoted", "other-order", "semicolon", "tab", "other-names",
         "spaces", "backslash"],
)  # fmt: skip
def test_tables_as_people_write_them(tmp_path: Path, text: str) -> None:
    facts = summary(table(tmp_path, text)).facts
    assert facts.classes == ("cat", "dog")
    assert facts.totals == {"train": 16, "test": 4}
    assert not facts.skipped.count


def test_utf_16_and_absolute_paths(tmp_path: Path) -> None:
    path = table(tmp_path / "images", "")
    rows = [f"{tmp_path}/images/img/{i:02}.png\tKlasse {'äö'[i % 2]}" for i in range(20)]
    other = tmp_path / "elsewhere" / "labels.tsv"
    other.parent.mkdir()
    other.write_text("\n".join(["bild\tklasse", *rows]), encoding="utf-16")
    assert summary(other).facts.classes == ("Klasse ä", "Klasse ö")
    assert len(loaded(other).train) == 16
    assert path.exists()


def test_columns_are_named_by_name_or_number(tmp_path: Path) -> None:
    rows = "\n".join(f"{i},img/{i:02}.png,x,{'ab'[i % 2]},{i // 2}" for i in range(20))
    path = table(tmp_path, f"id,where,label,kind,who\n{rows}")
    assert summary(path, label="kind").facts.columns == {"image": "where", "label": "kind"}
    facts = summary(path, image="2", label="KIND", group="who").facts
    assert facts.columns == {"image": "where", "label": "kind", "group": "who"}
    assert facts.groups == 10
    with pytest.raises(UserError, match=r"only one class \('x'\) in column 'label'"):
        summary(path)
    with pytest.raises(
        UserError, match=r"no column 'kinds' \(did you mean 'kind'\?\); its columns are id, where"
    ):
        summary(path, label="kinds")
    with pytest.raises(UserError, match=r"data\.image and data.label are both where"):
        summary(path, label="where", image="where")


def test_without_a_header_columns_have_numbers(tmp_path: Path) -> None:
    path = table(tmp_path, "\n".join(f"{i % 2},x{i},img/{i:02}.png" for i in range(20)))
    with pytest.raises(UserError, match=r"which column has the classes.*3 columns without names"):
        summary(path)
    assert summary(path, label="1").facts.columns == {"image": "column 3", "label": "column 1"}


def test_numbers_are_classes_in_their_order(tmp_path: Path) -> None:
    labels = ["10", "2", "1.0", "01"]
    rows = "\n".join(f"img/{i:02}.png,{labels[i % 4]}" for i in range(20))
    assert summary(table(tmp_path, f"path,label\n{rows}")).facts.classes == ("1", "2", "10")


def test_splits_of_the_table_are_used(tmp_path: Path) -> None:
    words = ["Training"] * 12 + ["val"] * 4 + ["TEST"] * 4
    rows = "\n".join(f"img/{i:02}.png,{'ab'[i % 2]},{words[i]}" for i in range(20))
    path = table(tmp_path, f"path,label,split\n{rows}")
    data = loaded(path)
    assert data.validation is not None
    assert [len(split) for split in data.splits.values()] == [12, 4, 4]
    assert data.test.names == tuple(numbered(20)[16:])
    assert (
        "splits: train 12 (split Training), validation 4 (split val), test 4 (split TEST)"
        in summary(path).lines
    )
    assert summary(path, split="none").facts.totals == {"train": 16, "test": 4}


def test_a_split_column_of_other_things_is_not_used_unless_it_is_named(tmp_path: Path) -> None:
    rows = "\n".join(f"img/{i:02}.png,{'ab'[i % 2]},{'xy'[i % 2]}" for i in range(20))
    path = table(tmp_path, f"path,label,set\n{rows}")
    assert "column set is not of splits: it has 'x', 'y'" in summary(path).facts.remarks
    with pytest.raises(UserError, match=r"data\.split: column 'set' of .* has 'x', 'y'"):
        summary(path, split="set")


def test_rows_that_cannot_be_used_are_counted_with_their_reason(tmp_path: Path) -> None:
    (tmp_path / "empty.png").touch()
    path = table(
        tmp_path,
        "path,label\n{rows}\nimg/00.png,dog\nimg/01.png,dog\nnone.png,cat\nempty.png,cat\n,cat\nimg/05.png,\n./img/03.png,dog\n",
    )
    facts = summary(path).facts
    found = [(Path(one.path).name, one.reason) for one in facts.skipped.files]
    assert sum(facts.totals.values()) == 19
    assert found == [
        ("labels.csv, line 26", "no path"),
        ("labels.csv, line 27", "no class"),
        ("00.png", "in 2 classes: 'cat', 'dog'"),
        ("01.png (again in line 23)", "listed more than once, used once"),
        ("03.png (again in line 28)", "listed more than once, used once"),
        ("none.png", "missing"),
        ("empty.png", "empty"),
    ]
    data = loaded(path)
    assert any(line.startswith("skipped: 7 files") for line in data.notices)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "labels.csv has no rows"),
        (b"path,label\n", "no rows below the names"),
        (b"path,label\nimg/00.png,caf\xe9\n", "line 2: not UTF-8"),
        (b'path,label\nimg/00.png,"cat\n', "line 2: unexpected end of data"),
        (b"path,label\nimg/00.png,c\0t\n", "NUL"),
        (b"path\nimg/00.png\n", "no column of classes"),
        (b"path,label\nnone.png,cat\ngone.png,dog\n", r"none of the 2 rows of .* \(first: .*none.png: missing\)"),
        (b"path,label\nimg/00.png,cat\nimg/01.png,cat\n", "only one class"),
        (b"path,label\nimg/00.png,cat\nimg/01.png,dog\n", "'cat' in .* has only one image"),
        (b"path,label,split\nimg/00.png,cat,test\nimg/01.png,dog,test\n", "has no row of train"),
        (b"path,label,split\nimg/00.png,cat,train\nimg/01.png,dog,test\n", "'dog' .* no training images"),
        (b"a,b,c\n1,2,3\n", "no column has the paths of images; its columns are a, b, c"),
    ],
)  # fmt: skip
def test_a_table_that_cannot_be_trained_on_is_one_line(tmp_path: Path, content: bytes, message: str) -> None:
    path = table(tmp_path, "")
    path.write_bytes(content)
    with pytest.raises(UserError, match=message) as raised:
        summary(path)
    assert "\n" not in str(raised.value)


def test_a_column_of_ids_is_not_taken_for_classes(tmp_path: Path) -> None:
    rows = "\n".join(f"img/{i:03}.png,id{i},{i % 2}" for i in range(210))
    draw(tmp_path, [f"img/{i:03}.png" for i in range(210)])
    path = tmp_path / "labels.csv"
    path.write_text(f"path,label,kind\n{rows}")
    with pytest.raises(UserError, match="has 210 different values in 210 rows, which are no classes"):
        summary(path)


def test_images_of_kaggle_are_in_the_folder_of_the_table_s_name_without_extension(tmp_path: Path) -> None:
    draw(tmp_path, [f"train/{i}.jpg" for i in range(20)] + ["test/0.jpg", "test/1.jpg"])
    path = tmp_path / "train.csv"
    path.write_text("id,breed\n" + "\n".join(f"{i},{'ab'[i % 2]}" for i in range(20)))
    found = summary(path).facts
    assert found.totals == {"train": 16, "test": 4}
    assert found.remarks == ("images are in train/ beside train.csv",)
    assert loaded(path).train.names[0].startswith("train/")


def grouped(folder: Path) -> Path:
    rows = "\n".join(f"img/{i:02}.png,{'ab'[i % 2]},p{i // 4}" for i in range(40))
    return table(folder, f"path,label,patient\n{rows}", count=40)


def test_a_group_is_in_one_split_only(tmp_path: Path) -> None:
    path = grouped(tmp_path)
    for seed in range(5):
        data = load(Choice(f"csv:{path}", {"seed": seed}), size=8, validation=0.25, seed=seed)
        found = [set(split.groups.tolist()) for split in data.splits.values() if split.groups is not None]
        assert len(found) == 3
        assert sum(map(len, found)) == 10
        assert len(set.union(*found)) == 10
    assert summary(path).facts.totals["test"] == len(loaded(path).test)


def test_a_group_in_two_splits_of_the_table_is_refused(tmp_path: Path) -> None:
    rows = "\n".join(
        f"img/{i:02}.png,{'ab'[i % 2]},p{i // 4},{'test' if i > 13 else 'train'}" for i in range(20)
    )
    path = table(tmp_path, f"path,label,patient,split\n{rows}")
    with pytest.raises(
        UserError,
        match=r"1 group of column 'patient' is in more than one split \(first: p3 is in test and tr",
    ):
        summary(path)  # fmt: skip
    assert summary(path, group="none").facts.totals == {"train": 14, "test": 6}


def test_groups_are_part_of_what_identifies_the_data(tmp_path: Path) -> None:
    path = grouped(tmp_path)
    with_groups, without = loaded(path).fingerprint, loaded(path, group="none").fingerprint
    assert with_groups != without
    assert loaded(path).fingerprint == with_groups


@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 8)), min_size=2, max_size=60),
    st.floats(0.05, 0.5),
    st.integers(0, 5),
)
def test_a_drawn_split_divides_no_group_and_leaves_every_class(
    samples: list[tuple[int, int]], fraction: float, seed: int
) -> None:
    labels, groups = [label for label, _ in samples], [group for _, group in samples]
    first, second = grouped_split(labels, groups, fraction, seed, "test")
    assert sorted(first + second) == list(range(len(samples)))
    assert not {groups[i] for i in first} & {groups[i] for i in second}
    assert {labels[i] for i in first} == set(labels)
    may_go = [g for g in set(groups) if {y for y, x in samples if x != g} == set(labels)]
    assert bool(second) is bool(may_go)
    largest = max(groups.count(group) for group in groups)
    assert len(second) <= fraction * len(samples) + 2 * largest


def test_a_table_is_read_again_when_it_has_changed(tmp_path: Path) -> None:
    path = table(tmp_path, "path,label\n{rows}\n")
    first = dataset_scan(f"csv:{path}", {})
    assert dataset_scan(f"csv:{path}", {}) is first
    path.write_text(path.read_text().replace("cat", "cow"))
    changed = dataset_scan(f"csv:{path}", {})
    assert changed is not None
    assert changed.classes == ("cow", "dog")


def test_the_order_of_classes_of_a_run_is_kept(tmp_path: Path) -> None:
    path = table(tmp_path, "path,label\n{rows}\n")
    assert scan_table(path, CsvOptions(), recorded_classes=("dog", "cat")).classes == ("dog", "cat")
    with pytest.raises(Cancelled):
        scan_table(path, CsvOptions(), cancelled=lambda: True)


def test_a_path_that_ends_like_a_table_is_one(tmp_path: Path) -> None:
    assert catalog.find(f"{tmp_path}/labels.csv").name == f"csv:{tmp_path}/labels.csv"
    assert catalog.find("labels.tsv").name == f"csv:{Path.cwd()}/labels.tsv"
    with pytest.raises(UserError, match=r"csv: needs a path, for example csv:\./labels\.csv"):
        catalog.find("csv:")


def test_decoded_images_are_shared_with_another_table_of_the_same_images(tmp_path: Path) -> None:
    path = table(tmp_path, "path,label\n{rows}\n")
    loaded(path)
    decoded = sorted((tmp_path / "home").rglob("*.u8"))
    assert torch.equal(loaded(path).train.targets, loaded(path).train.targets)
    assert sorted((tmp_path / "home").rglob("*.u8")) == decoded


def test_large_groups_leave_no_validation_split_but_a_test_split(tmp_path: Path) -> None:
    rows = "\n".join(f"img/{i:02}.png,{'ab'[i % 2]},p{i // 10}" for i in range(30))
    path = table(tmp_path, f"path,label,patient\n{rows}", count=30)
    data = loaded(path, validation=0.1)
    assert [len(split) for split in data.splits.values()] == [20, 10]
    assert data.notices[-1] == "no validation split: each group is too large for 10 % of the training data"


def folded(folder: Path, folds: list[str], splits: list[str] | None = None) -> Path:
    """A table of 20 images with a column of folds, and perhaps one of splits."""
    rows = [
        f"{name},{'dog' if i % 2 else 'cat'},{folds[i]}{f',{splits[i]}' if splits else ''}"
        for i, name in enumerate(numbered(20))
    ]
    return table(folder, f"path,label,fold{',split' if splits else ''}\n" + "\n".join(rows))


def test_folds_are_part_of_what_identifies_the_data(tmp_path: Path) -> None:
    choice = FoldChoice(count=2, held_out=1, seed=0)
    found = [
        load(Choice(f"csv:{folded(tmp_path / name, folds)}", {}), size=8, fold=choice).fingerprint
        for name, folds in (("a", ["1", "2"] * 10), ("b", ["1", "2"] * 10), ("c", ["2", "1"] * 10))
    ]
    assert found[0] == found[1] != found[2]


def test_a_test_split_of_the_table_is_none_of_its_folds(tmp_path: Path) -> None:
    splits = ["train"] * 16 + ["test"] * 4
    path = folded(tmp_path, ["1", "1", "2", "2"] * 4 + ["-1"] * 4, splits)
    data = load(Choice(f"csv:{path}", {}), size=8, fold=FoldChoice(count=2, held_out=2, seed=0))
    assert [len(data.train), len(data.test)] == [8, 8]
