"""The data pane in a real terminal, with grayscale and color images, at both sizes."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from PIL import Image, ImageDraw

from tests.end_to_end.terminal import Terminal
from tests.end_to_end.test_screen import SIZES


def choose_data(terminal: Terminal, typed: str) -> None:
    terminal.wait_for("digits-mlp").press("2").wait_for("f data").read(0.5)
    terminal.press("f").wait_for("enter choose").press(typed).read(0.5)
    terminal.press("enter").wait(lambda text: "enter choose" not in text, "the chosen data")


@pytest.mark.parametrize(("columns", "rows"), SIZES)
def test_grayscale_images_from_summary_to_transforms(columns: int, rows: int) -> None:
    with Terminal(columns, rows) as terminal:
        terminal.wait_for("digits-mlp").press("5").wait_for("train 1,295  validation 143  test 359 images")
        terminal.wait_for("batch [32, 1, 8, 8] uint8 ─▸ [32, 10]").wait_for("mean .305  std .376")
        terminal.wait(lambda text: "▸3" in text and len(set(terminal.backgrounds)) > 12, "a grid of samples")
        first = terminal.text
        terminal.press("\x1b[6~").wait(lambda text: text != first, "the next page")
        terminal.press("f").wait_for("all classes").press("7").read(0.3)
        terminal.press("enter").wait_for("▸ train, only 7")
        terminal.press("enter").wait_for("class 7 (index 7)").wait_for(
            "as a batch of one [1, 1, 8, 8]"
        ).press("esc")
        terminal.press("v").wait_for("rotation 45").press("\x1b[D").wait_for("rotation 40")
        before = terminal.text
        terminal.press("b").read(0.5)
        assert re.sub(r"[\s▀▄]", "", terminal.text) == re.sub(r"[\s▀▄]", "", before)  # only pixels differ
        terminal.press("esc").wait_for("▸ train, only 7")
        terminal.press("ctrl+q").wait_until_gone()


@pytest.mark.parametrize(("columns", "rows"), SIZES)
def test_color_images_of_an_image_folder(columns: int, rows: int, tmp_path: Path) -> None:
    for name, colour in (("reds", (200, 30, 20)), ("greens", (20, 180, 40))):
        folder = tmp_path / "pets" / name
        folder.mkdir(parents=True)
        for number in range(12):
            image = Image.new("RGB", (20, 20), colour)
            ImageDraw.Draw(image).ellipse((4, 4, 8 + number, 8 + number), fill=(10 * number, 60, 200))
            image.save(folder / f"{number}.png")
    with Terminal(columns, rows) as terminal:
        choose_data(terminal, f"folder:{tmp_path / 'pets'}")
        terminal.press("5").wait_for("/pets──of the experiment").wait_for("2 classes")
        terminal.wait(
            lambda text: (
                {"c81e14", "14b428"} <= set(terminal.backgrounds) and "reds" in text and "greens" in text
            ),
            "mixed samples",
        )
        terminal.press("m").wait_for("dataset of the experiment").press("test").read(0.3)
        terminal.press("enter").wait_for("▸ test")
        terminal.press("ctrl+q").wait_until_gone()


def test_showing_a_dataset_downloads_nothing(home: Path) -> None:
    with Terminal(80, 24) as terminal:
        choose_data(terminal, "kmnist")
        terminal.press("5").wait_for("kmnist is not downloaded (21.2 MB)")
        assert not (home / "data").exists()
        terminal.press("ctrl+q").wait_until_gone()
