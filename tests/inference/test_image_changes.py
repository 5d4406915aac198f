"""`classify` says what its model does not see of images, or sees otherwise: one line for each kind."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from workbench.cli.main import run
from workbench.runs.run_folder import RunFolder

MakeRun = Callable[..., RunFolder]


@pytest.fixture
def classified(
    make_run: MakeRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., list[str]]:
    """Classifies images with a run; returns the notices of `--json`, which are the lines on stderr too."""
    folder = make_run()
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
        "1 of 5 images: 16-bit values up to 4095 scaled to 0…255",
        "2 of 5 images: 33 % of a 300×100 image is seen (its center square); data.fit=pad or stretch shows all of it",
    ]
    assert classified(images[0]) == []
    assert classified(images[1]) == [
        "50 % of a 40×20 image is seen (its center square); data.fit=pad or stretch shows all of it"
    ]
