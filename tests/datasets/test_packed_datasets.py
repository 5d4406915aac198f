"""Images in tar archives (WebDataset) and in Parquet files (Hugging Face)."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import tarfile
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest
from PIL import Image

from workbench.core.errors import UserError
from workbench.core.progress import Cancelled
from workbench.core.settings_schema import Choice
from workbench.datasets import catalog
from workbench.datasets.dataset import Dataset
from workbench.datasets.file_sources import expand_shards
from workbench.datasets.fold_choice import FoldChoice
from workbench.datasets.loader import load
from workbench.datasets.unpacked_images import POLL_SECONDS, ImageFolderWriter, UnpackedImage, unpack_images


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORKBENCH_HOME", str(tmp_path / "home"))


def png(number: int) -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (8, 8), (number, 7, 20)).save(stream, "PNG")
    return stream.getvalue()


def shard(path: Path, files: Mapping[str, bytes], mode: str = "w") -> Path:
    with tarfile.open(path, mode) as archive:  # type: ignore[call-overload]
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return path


def samples(first: int, count: int, folder: str = "") -> dict[str, bytes]:
    """Images whose red is their number, with their parity as class."""
    return {
        f"{folder}{number:03}.{extension}": content
        for number in range(first, first + count)
        for extension, content in (("png", png(number)), ("cls", str(number % 2).encode()))
    }


def loaded(name: str, fold: FoldChoice | None = None, validation: float = 0.0, **options: object) -> Dataset:
    return load(Choice(name, options), size=8, fold=fold, validation=validation)


def check_pixels(data: Dataset) -> None:
    """Every image has the class of its number."""
    for split in data.splits.values():
        for i in range(len(split)):
            number = int(split.sample(i)[0, 0, 0])
            assert data.classes[int(split.targets[i])] == str(number % 2)


@pytest.mark.parametrize("mode", ["w", "w:gz"])
def test_shards_are_read_and_divided(tmp_path: Path, mode: str) -> None:
    for number in range(3):
        shard(tmp_path / f"pets-{number:04}.tar", samples(10 * number, 10, "a/"), mode)
    data = loaded(f"tar:{tmp_path}/pets-{{0000..0002}}.tar")
    assert (len(data.train), len(data.test), data.classes) == (24, 6, ("0", "1"))
    check_pixels(data)
    assert data.source == f"{tmp_path}/pets-{{0000..0002}}.tar"
    assert loaded(f"tar:{tmp_path}/pets-*.tar").fingerprint == data.fingerprint
    folds = [loaded(f"tar:{tmp_path}/pets-*.tar", FoldChoice(count=3, held_out=n, seed=0)) for n in (1, 2, 3)]
    assert len({name for fold in folds for name in fold.test.names}) == 30


def test_images_are_taken_out_once(tmp_path: Path) -> None:
    path = shard(tmp_path / "pets.tar", samples(0, 10))
    first = loaded(str(path))
    unpacked = tmp_path / "home" / "cache" / "unpacked"
    written = sorted((file, file.stat().st_ino) for file in unpacked.rglob("*"))
    assert loaded(str(path)).fingerprint == first.fingerprint
    assert sorted((file, file.stat().st_ino) for file in unpacked.rglob("*")) == written
    for file in sorted(unpacked.rglob("*"), reverse=True):
        file.unlink() if file.is_file() else file.rmdir()
    assert loaded(str(path)).fingerprint == first.fingerprint
    assert len(list((tmp_path / "home").rglob("*.u8"))) == 2  # decoded images are still known


def test_shards_called_like_splits_are_splits(tmp_path: Path) -> None:
    for name, count in (("train-000", 8), ("train-001", 8), ("val-000", 6), ("test-000", 4)):
        shard(tmp_path / f"{name}.tar", samples(0, count))
    data = loaded(f"tar:{tmp_path}/*.tar")
    assert [len(split) for split in data.splits.values()] == [16, 6, 4]


def test_classes_and_groups_in_json(tmp_path: Path) -> None:
    files = {}
    for number in range(20):
        values = {"label": str(number % 2), "kind": "xy"[number % 2], "patient": f"p{number // 4}"}
        files |= {f"{number:03}.png": png(number), f"{number:03}.json": json.dumps(values).encode()}
    path = shard(tmp_path / "pets.tar", files)
    check_pixels(loaded(str(path)))
    data = loaded(str(path), label="kind", group="patient", validation=0.2)
    assert data.classes == ("x", "y")
    people = [set(split.groups.tolist()) for split in data.splits.values() if split.groups is not None]
    assert sum(map(len, people)) == len(set.union(*people)) == 5


def test_samples_without_image_or_class_are_counted(tmp_path: Path) -> None:
    files = samples(0, 8) | {"100.png": png(1), "101.cls": b"1", "102.png": b"no image", "102.cls": b"1"}
    data = loaded(str(shard(tmp_path / "pets.tar", files)))
    reasons = sorted(reason for _, reason in data.skipped_files)
    assert reasons == ["no class", "no image", "not an image in a supported format"]
    assert len(data.train) + len(data.test) == 8


@pytest.mark.parametrize(
    ("name", "message"),
    [("../a.png", "outside the folder"), ("/a.png", "outside the folder")],
)
def test_an_archive_that_would_leave_its_folder_is_refused(tmp_path: Path, name: str, message: str) -> None:
    path = shard(tmp_path / "pets.tar", {name: png(0), **samples(0, 4)})
    with pytest.raises(UserError, match=message):
        loaded(str(path))
    assert not list((tmp_path / "home" / "cache" / "unpacked").iterdir())


def test_links_and_damage_in_an_archive_are_one_line(tmp_path: Path) -> None:
    path = shard(tmp_path / "pets.tar", samples(0, 4))
    content = path.read_bytes()
    with tarfile.open(path, "a") as archive:
        entry = tarfile.TarInfo("200.png")
        entry.type, entry.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(entry)
    with pytest.raises(UserError, match="a link or a device"):
        loaded(str(path))
    path.write_bytes(content[:3000])
    with pytest.raises(UserError, match="damaged or no tar archive"):
        loaded(str(path))
    path.write_bytes(b"text")
    with pytest.raises(UserError, match="damaged or no tar archive"):
        loaded(str(path))


def test_patterns_of_shards(tmp_path: Path) -> None:
    for number in (0, 1, 2, 10):
        (tmp_path / f"a-{number:03}.tar").touch()
    assert [path.name for path in expand_shards(tmp_path / "a-{001..010}.tar")] == [
        "a-001.tar",
        "a-002.tar",
        "a-010.tar",
    ]
    assert len(expand_shards(tmp_path / "a-*.tar")) == 4
    assert expand_shards(tmp_path / "{b..c}.tar") == []
    with pytest.raises(UserError, match="more than 100,000 files"):
        expand_shards(tmp_path / "a-{0..999999}{0..999999}.tar")
    assert not catalog.describe(f"tar:{tmp_path}/b-*.tar").here
    assert catalog.describe(f"tar:{tmp_path}/a-*.tar").here


def test_a_load_can_be_cancelled(tmp_path: Path) -> None:
    path = shard(tmp_path / "pets.tar", samples(0, 8))
    with pytest.raises(Cancelled):
        load(Choice(f"tar:{path}"), size=8, cancelled=lambda: True)
    assert not list((tmp_path / "home" / "cache" / "unpacked").iterdir())


# Parquet


def table(path: Path, numbers: range, names: tuple[str, ...] = (), **columns: list[Any]) -> Path:
    rows = {
        "image": [{"bytes": png(number), "path": f"{number}.png"} for number in numbers],
        "label": [number % 2 for number in numbers],
        **columns,
    }
    content = pyarrow.Table.from_pydict(rows)
    if names:
        features = {"label": {"names": list(names), "_type": "ClassLabel"}}
        metadata = {b"huggingface": json.dumps({"info": {"features": features}}).encode()}
        content = content.replace_schema_metadata(metadata)
    path.parent.mkdir(parents=True, exist_ok=True)
    pyarrow.parquet.write_table(content, path)
    return path


def test_the_layout_of_hugging_face(tmp_path: Path) -> None:
    table(tmp_path / "data" / "train-00000-of-00002.parquet", range(20), ("even", "odd"))
    table(tmp_path / "data" / "train-00001-of-00002.parquet", range(20, 30), ("even", "odd"))
    table(tmp_path / "data" / "test-00000-of-00001.parquet", range(8), ("even", "odd"))
    data = loaded(f"parquet:{tmp_path}")
    assert data.classes == ("even", "odd")
    assert (len(data.train), len(data.test)) == (30, 8)
    for split in (data.train, data.test):
        assert [int(split.sample(i)[0, 0, 0]) % 2 for i in range(len(split))] == split.targets.tolist()


def test_one_parquet_file_is_divided_by_groups(tmp_path: Path) -> None:
    path = table(tmp_path / "pets.parquet", range(20), patient=[f"p{number // 4}" for number in range(20)])
    assert catalog.find(str(path)).name == f"parquet:{path}"
    data = loaded(str(path), group="patient")
    check_pixels(data)
    people = [set(split.groups.tolist()) for split in data.splits.values() if split.groups is not None]
    assert sum(map(len, people)) == len(set.union(*people)) == 5


def test_columns_of_parquet_are_named_by_settings(tmp_path: Path) -> None:
    path = table(tmp_path / "pets.parquet", range(20), kind=["ab"[number // 10] for number in range(20)])
    assert loaded(str(path), label="kind").classes == ("a", "b")
    with pytest.raises(UserError, match=r"data\.label: .* has no column 'kinds' \(did you mean 'kind'\?\)"):
        loaded(str(path), label="kinds")


def test_rows_without_image_or_class_are_counted(tmp_path: Path) -> None:
    path = table(tmp_path / "pets.parquet", range(12), ("0", "1"))
    rows = pyarrow.parquet.read_table(path).to_pylist()
    rows[0]["image"], rows[1]["label"], rows[2]["label"] = None, -1, 7
    schema = pyarrow.parquet.read_schema(path)
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows, schema=schema), path)
    data = loaded(str(path))
    assert sorted(reason for _, reason in data.skipped_files) == ["no class", "no class", "no image"]
    check_pixels(data)


def test_other_parquet_files_are_one_line(tmp_path: Path) -> None:
    path = tmp_path / "pets.parquet"
    path.write_bytes(b"PAR1 no table")
    with pytest.raises(UserError, match="can't be read"):
        loaded(str(path))
    pyarrow.parquet.write_table(pyarrow.Table.from_pydict({"a": [1, 2], "b": [3, 4]}), path)
    with pytest.raises(UserError, match="which column has the images"):
        loaded(str(path))


def test_without_pyarrow_the_way_to_install_it_is_named() -> None:
    code = "import sys; sys.modules['pyarrow'] = None; import workbench.datasets.parquet_images"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "parquet:PATH needs pyarrow" in result.stderr
    assert "[parquet]" in result.stderr


def test_two_loads_at_once_unpack_once(tmp_path: Path) -> None:
    """As the processes of one run: none removes what another has unpacked."""
    source = shard(tmp_path / "one.tar", samples(0, 4))
    calls: list[int] = []

    def write(writer: ImageFolderWriter) -> tuple[str, ...]:
        calls.append(1)
        time.sleep(2 * POLL_SECONDS)
        writer.add(UnpackedImage(path="a.png", label="cat", size=3), b"abc")
        return ("cat",)

    with ThreadPoolExecutor(3) as pool:
        found = [*pool.map(lambda _: unpack_images([source], "settings", write), range(3))]
    assert calls == [1]
    assert all((folder / "a.png").read_bytes() == b"abc" for folder, *_ in found)
    assert sorted(path.name for path in found[0][0].parent.iterdir()) == [found[0][0].name]
