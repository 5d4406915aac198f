"""Archives, images and folders of images as large, crowded and restless as they come."""

from __future__ import annotations

import json
import os
import shutil
import struct
import zipfile
import zlib
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.hostile.live_runs import SETTINGS, kill_all, start_live_run, step, until
from tests.idle_model import IDLE_MODEL
from workbench.cli.main import run
from workbench.core.errors import UserError
from workbench.core.progress import Progress
from workbench.core.settings_schema import Choice
from workbench.datasets.image_folder_facts import folder_facts
from workbench.datasets.image_folder_scan import scan_folder
from workbench.datasets.loader import load
from workbench.io.archives import unpack
from workbench.runs.run_folder import RunFolder

MANY = 300


def draw(path: Path, color: tuple[int, int, int]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (8, 8), color).save(path)


def test_a_real_zip_bomb_is_refused(tmp_path: Path) -> None:
    """150 MB of zeros in 150 kB."""
    archive = tmp_path / "bomb.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as file:
        file.writestr("zeros", bytes(150_000_000))
    assert archive.stat().st_size < 1_000_000
    with pytest.raises(UserError, match=r"bomb\.zip was rejected: unpacked it exceeds"):
        unpack(archive, tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["bomb.zip"]


def test_a_real_png_of_400_megapixels_is_refused(
    tmp_path: Path, digits_run: RunFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    """A whole file, which a decoder would turn into 400 MB."""
    side, path = 20_000, tmp_path / "huge.png"
    rows = zlib.compress(bytes((1 + side // 8) * side), 1)
    chunks = ((b"IHDR", struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)), (b"IDAT", rows), (b"IEND", b""))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    ))  # fmt: skip
    assert run(["classify", str(path), "--run", digits_run.id, "--json"]) == 2
    (result,) = json.loads(capsys.readouterr().out)["results"]
    assert "huge.png" in result["error"] and "too large" in result["error"] and "\n" not in result["error"]


@pytest.fixture(scope="module")
def crowded(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """A run on 300 classes of two images each, two of which differ only by case; trained once."""
    root = tmp_path_factory.mktemp("crowded")
    for number in range(MANY - 2):
        for shade in (0, 1):
            draw(root / "data" / f"class {number:03}" / f"{shade}.png", (number % 256, shade, number // 256))
    for name in ("Same", "same"):
        for shade in (0, 1):
            draw(root / "data" / name / f"{shade}.png", (200, 200, shade))
    capture = root / "document.json"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WORKBENCH_HOME", str(root / "home"))
        settings = ("train.epochs=1", "train.batch_size=4096", "train.threads=1", "train.validation=0")
        options = [part for setting in settings for part in ("--set", setting)]
        command = f"train --dataset folder:{root / 'data'} --model mlp --detach".split()
        assert run([*command, *options]) == 0
        assert run(["watch", "last"]) == 0
        with capture.open("w") as file, pytest.MonkeyPatch.context() as output:
            output.setattr("sys.stdout", file)
            assert run(["show", "last", "--json"]) == 0
    document: dict[str, Any] = json.loads(capture.read_text())
    assert document["status"] == "finished", document["reason"]
    return document


def test_300_classes(crowded: dict[str, Any]) -> None:
    assert len(crowded["per_class"]) == MANY
    assert sum(row["support"] for row in crowded["per_class"]) == MANY


def test_fewer_images_than_a_batch_are_one_batch(crowded: dict[str, Any]) -> None:
    assert crowded["steps_total"] == crowded["step"] == 1


def test_names_that_differ_only_by_case_stay_apart(crowded: dict[str, Any]) -> None:
    names = [row["class"] for row in crowded["per_class"]]
    assert "Same" in names and "same" in names


def test_the_same_image_in_two_classes_is_loaded(crowded: dict[str, Any], tmp_path: Path) -> None:
    rows = {row["class"]: row for row in crowded["per_class"]}
    assert rows["Same"]["support"] == rows["same"]["support"] == 1


def test_50_000_files_are_listed_in_one_pass(
    tmp_path: Path, reads_at_most: Callable[[int], AbstractContextManager[None]]
) -> None:
    """40 classes of 1,000 and one of 10,000 images; only their names and sizes are read."""
    draw(tmp_path / "one.png", (1, 2, 3))
    for number, count in enumerate([10_000, *[1000] * 40]):
        folder = tmp_path / "root" / f"{number:02}"
        folder.mkdir(parents=True)
        for name in range(count):
            os.link(tmp_path / "one.png", folder / f"{name}.png")
    with reads_at_most(1_000_000):
        assert folder_facts(f"folder:{tmp_path / 'root'}", {}) is not None
        (counts,) = scan_folder(tmp_path / "root").counts().values()
    assert counts == [10_000, *[1000] * 40]


@pytest.mark.parametrize("change", ["deleted", "truncated", "replaced"])
def test_images_that_vanish_or_change_while_a_folder_is_read(tmp_path: Path, change: str) -> None:
    root = tmp_path / "pets"
    for name in ("cat", "dog"):
        for number in range(80):
            draw(root / name / f"{number:02}.png", (number, 9, 9))
    last = [root / name / f"{number}.png" for name in ("cat", "dog") for number in range(70, 80)]

    def disturb(progress: Progress) -> None:
        for path in last if progress.done == 1 else ():
            if change == "deleted":
                path.unlink()
            elif change == "truncated":
                path.write_bytes(path.read_bytes()[:20])
            else:
                draw(path, (1, 2, 3))

    data = load(Choice(f"folder:{root}", {}), size=8, progress=disturb)
    skipped = {Path(path).name for path, _ in data.skipped_files}
    used = len(data.train) + len(data.test) + len(data.validation or ())
    assert used + len(data.skipped_files) == 160
    assert skipped <= {path.name for path in last}
    if change != "replaced":
        assert skipped, "none of the last images was decoded yet"
    again = load(Choice(f"folder:{root}", {}), size=8)
    assert (again.fingerprint == data.fingerprint) is False, "the next start sees that the data has changed"


def test_a_folder_that_is_deleted_while_a_run_trains_on_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The run has its images already and goes on; a resume names the folder that has gone."""
    monkeypatch.setenv("WORKBENCH_HOME", str(tmp_path / "home"))
    for name, color in (("cat", (200, 0, 0)), ("dog", (0, 0, 200))):
        for number in range(20):
            draw(tmp_path / "pets" / name / f"{number}.png", (color[0], number, color[2]))
    data = ("--dataset", f"folder:{tmp_path / 'pets'}", "--model", IDLE_MODEL, "--set", "data.size=8")
    folder = start_live_run(tmp_path / "home", arguments=(*data, *SETTINGS))
    try:
        shutil.rmtree(tmp_path / "pets")
        before = step(folder)
        until(lambda: step(folder) > before + 50, "more steps")
        assert run(["stop", folder.id]) == 0
        capsys.readouterr()
        assert run(["resume", folder.id]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert str(tmp_path / "pets") in line and "--data PATH" in line
    finally:
        kill_all(tmp_path / "home")
