"""`classify` says what its model does not see of images, or sees otherwise: one line for each kind."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from torchvision import transforms

from workbench.cli.main import run
from workbench.datasets.image_transform import recorded_steps
from workbench.datasets.input_record import InputKind, InputRecord, TransformStep
from workbench.inference.image_pipeline import RunTransform
from workbench.inference.seen_by_steps import seen_by_steps
from workbench.io.atomic_files import write_json
from workbench.models.preprocessing import Preprocessing
from workbench.runs.run_folder import RunFolder

MakeRun = Callable[..., RunFolder]


@pytest.fixture
def classified(
    make_run: MakeRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., list[str]]:
    """Classifies images with a run; returns the notices of `--json`, which are the lines on stderr too."""
    folder = make_run()
    write_json(folder.experiment, {"v": 1, "model": {"name": "mlp"}, "data": {"name": "folder:/pets"}})
    monkeypatch.setenv("WORKBENCH_HOME", str(tmp_path))

    def classify(*images: Path) -> list[str]:
        command = ["classify", *map(str, images), "--run", folder.id, "--device", "cpu"]
        assert run([*command, "--json"]) == 0
        output = capsys.readouterr()
        notices: list[str] = json.loads(output.out)["notices"]
        lines = [line for line in output.err.splitlines() if not line.startswith("  ")]
        assert lines == [f"workbench: {notice}" for notice in notices]
        assert run(command) == 0
        output = capsys.readouterr()
        assert all(f"workbench: {notice}\n" in output.err for notice in notices)
        assert not any(notice in output.out for notice in notices)
        return notices

    return classify


def saved(path: Path, image: Image.Image) -> Path:
    image.save(path)
    return path


def test_each_kind_of_change_is_one_line(classified: Callable[..., list[str]], tmp_path: Path) -> None:
    twelve_bits = Image.fromarray(np.full((20, 20), 4095, np.uint16))
    images = [
        saved(tmp_path / "plain.png", Image.new("RGB", (20, 20))),
        saved(tmp_path / "wide.png", Image.new("RGB", (40, 20))),
        saved(tmp_path / "strip.png", Image.new("RGBA", (300, 100))),
        saved(tmp_path / "clear.png", Image.new("RGBA", (20, 20))),
        saved(tmp_path / "deep.png", twelve_bits),
    ]
    assert classified(*images) == [
        "2 of 5 images: transparency blended with white",
        "1 of 5 images: 16-bit values up to 4095 scaled to the range 0 to 255",
        "2 of 5 images: 33 % of a 300×100 image is seen (its center square); data.fit=pad or stretch shows all of it",
    ]
    assert classified(images[0]) == []
    assert classified(images[1]) == [
        "50 % of a 40×20 image is seen (its center square); data.fit=pad or stretch shows all of it"
    ]


def step(name: str, **arguments: Any) -> TransformStep:
    return TransformStep(name=name, arguments=arguments)


@pytest.mark.parametrize(
    ("steps", "seen", "is_stretched"),
    [
        ([step("ToTensor")], 1, False),
        ([step("Resize", size=20)], 1, False),
        ([step("Resize", size=(20, 20))], 1, True),
        ([step("Resize", size=(20, 60))], 1, False),
        ([step("CenterCrop", size=100)], 1 / 3, False),
        ([step("CenterCrop", size=(200, 150))], 1 / 2, False),
        ([step("Resize", size=20), step("CenterCrop", size=(18, 18)), step("ToTensor")], 18 / 20 * 18 / 60, False),
        ([step("Resize", size=50, max_size=60), step("CenterCrop", size=20)], 1 / 3, False),
        ([step("ImageClassification", resize_size=(256,), crop_size=(224,))], 224 / 256 * 224 / 768, False),
    ],
)  # fmt: skip
def test_what_transforms_leave_of_an_image_of_300_by_100(
    steps: list[TransformStep], seen: float, is_stretched: bool
) -> None:
    assert seen_by_steps((300, 100), steps) == (pytest.approx(seen), is_stretched)


def test_transforms_of_torchvision_leave_what_is_said() -> None:
    rows, columns = np.mgrid[0:100, 0:300]
    image = Image.fromarray(np.stack([columns * 255 // 299, rows * 255 // 99, rows * 0], 2).astype(np.uint8))
    composed = transforms.Compose([transforms.Resize(50), transforms.CenterCrop(40)])
    left = np.asarray(composed(image)).astype(float)
    shares = [float(np.ptp(left[..., channel])) / 255 for channel in (0, 1)]
    steps = recorded_steps([composed])
    assert steps is not None
    assert seen_by_steps(image.size, steps)[0] == pytest.approx(shares[0] * shares[1], abs=0.02)


@pytest.mark.parametrize(
    ("record", "text"),
    [
        (InputRecord(kind=InputKind.TRANSFORMS, dtype="float32", code="data.py:make", steps=(
            step("Resize", size=20, interpolation="bilinear", max_size=None, antialias=True),
            step("CenterCrop", size=18), step("ToTensor"))),
         "27 % of a 300×100 image is seen (by the dataset's transform)"),
        (InputRecord(kind=InputKind.TRANSFORMS, dtype="float32", code="data.py:make", steps=(
            step("Resize", size=(18, 18), interpolation="bilinear", max_size=None, antialias=True), step("ToTensor"))),
         "a 300×100 image is stretched by the dataset's transform"),
        (InputRecord(code="data.py:make"), "33 % of a 300×100 image is seen (its center square)"),
    ],
)  # fmt: skip
def test_custom_datasets_say_it_without_settings_that_they_do_not_have(
    record: InputRecord, text: str
) -> None:
    transform = RunTransform((3, 18, 18), Preprocessing(), record)
    assert transform.changes(Image.new("RGB", (300, 100))).texts == (text,)
    assert transform.changes(Image.new("RGB", (18, 18))).texts == ()
