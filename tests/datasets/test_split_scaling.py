"""Splits of a custom dataset that are scaled differently, which makes a good model look bad without an error."""

from __future__ import annotations

from pathlib import Path

import pytest

from workbench.core.settings_schema import Choice
from workbench.datasets.loader import load

CODE = """
import numpy as np, torch
from PIL import Image
from torch.utils.data import Dataset, Subset
from torchvision import transforms as T
from torchvision.transforms import v2

class Pictures(Dataset):
    def __init__(self, transform):
        self.transform = transform
    def __len__(self):
        return 12
    def __getitem__(self, index):
        pixels = np.random.default_rng(index).integers(0, 256, (8, 8, 3), dtype=np.uint8)
        return self.transform(Image.fromarray(pixels)), index % 2

NORMALIZE = T.Normalize([.5, .5, .5], [.25, .25, .25])
PLAIN = T.ToTensor()
NORMALIZED = T.Compose([PLAIN, NORMALIZE])
AUGMENTED = T.Compose([T.RandomHorizontalFlip(), T.RandomCrop(8, 2), T.ColorJitter(.2), PLAIN, NORMALIZE,
                       T.RandomErasing()])
V2 = v2.Compose([v2.ToImage(), v2.ToDtype(torch.float32, scale=True), v2.Normalize([.5] * 3, [.25] * 3)])
UNSCALED = v2.Compose([v2.ToImage(), v2.ToDtype(torch.float32)])
OTHER = T.Compose([PLAIN, T.Normalize([.1] * 3, [.3] * 3)])
LAMBDA = T.Compose([PLAIN, T.Lambda(lambda x: 2 * x - 1)])

def rows(scale):
    x = torch.linspace(-1, 1, 40).view(20, 2)
    return x * scale, torch.arange(20) % 2

def pixels(function):
    x = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (12, 3, 8, 8), dtype=np.uint8))
    return function(x), torch.arange(12) % 2
"""


@pytest.mark.parametrize(
    ("train", "test", "difference"),
    [
        ("Pictures(NORMALIZED)", "Pictures(PLAIN)", "(Normalize only in train)"),
        ("Subset(Pictures(AUGMENTED), range(10))", "Pictures(PLAIN)", "(Normalize only in train)"),
        ("Pictures(PLAIN)", "Pictures(NORMALIZED)", "(Normalize only in test)"),
        ("Pictures(NORMALIZED)", "Pictures(OTHER)",
         "(Normalize(mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25)) in train, Normalize(mean=(0.1, 0.1, 0.1), "),
        ("Pictures(LAMBDA)", "Pictures(PLAIN)", "(float32 from -1 to 1 in train, float32 from 0 to 1 in test)"),
        ("pixels(lambda x: x)", "pixels(lambda x: x / 255)", "(uint8 from 0 to 255 in train, float32 from 0 to 1 in t"),
        ("pixels(lambda x: x / 255)", "pixels(lambda x: x.float())", "float32 from 0 to 255 in test)"),
        ("rows(1)", "rows(100)", "(float32 from -1 to 1 in train, float32 from -100 to 100 in test)"),
        ("Pictures(AUGMENTED)", "Pictures(NORMALIZED)", None),
        ("Pictures(AUGMENTED)", "Pictures(V2)", None),
        ("Pictures(PLAIN)", "Pictures(T.Compose([PLAIN, T.Resize(8)]))", None),
        ("pixels(lambda x: x)", "pixels(lambda x: x // 2)", None),
        ("rows(1)", "rows(3)", None),
    ],
)  # fmt: skip
def test_splits_on_different_scales_are_reported(
    train: str, test: str, difference: str | None, tmp_path: Path
) -> None:
    path = tmp_path / "data.py"
    path.write_text(f"{CODE}\ndef make():\n    return {train}, {test}\n")
    notices = [text for text in load(Choice(f"{path}:make", {})).notices if "scaled differently" in text]
    if difference is None:
        assert notices == []
    else:
        assert len(notices) == 1 and difference in notices[0], notices


def test_validation_data_is_compared_too(tmp_path: Path) -> None:
    path = tmp_path / "data.py"
    path.write_text(f"{CODE}\ndef make():\n    return rows(1), rows(50), rows(1)\n")
    assert (
        load(Choice(f"{path}:make", {}))
        .notices[0]
        .startswith("training and validation inputs are scaled differently")
    )
