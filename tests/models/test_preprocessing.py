from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from workbench.models.preprocessing import Preprocessing


def noise(*shape: int) -> torch.Tensor:
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def test_images_are_scaled_and_normalized_channel_by_channel() -> None:
    raw = noise(4, 3, 8, 8)
    mean, std = (0.1, 0.2, 0.3), (0.4, 0.5, 0.6)
    done = Preprocessing(mean=mean, std=std)(raw)
    wanted = (raw.double() / 255 - torch.tensor(mean).view(1, 3, 1, 1)) / torch.tensor(std).view(1, 3, 1, 1)
    assert done.dtype == torch.float32
    torch.testing.assert_close(done, wanted.float())


def test_resizing_agrees_with_pillows_antialiased_bilinear() -> None:
    raw = noise(1, 1, 40, 40)
    image = Image.fromarray(raw[0, 0].numpy()).convert("F").resize((13, 13), Image.Resampling.BILINEAR)
    done = Preprocessing(size=13)(raw)[0, 0] * 255
    np.testing.assert_allclose(done.numpy(), np.asarray(image), atol=0.5)


def test_grayscale_is_repeated_and_color_becomes_luma() -> None:
    grayscale = noise(2, 1, 4, 4)
    rgb = Preprocessing(channels=3)(grayscale)
    assert rgb.shape == (2, 3, 4, 4) and torch.equal(rgb[:, 0], rgb[:, 2])
    red = torch.tensor([255, 0, 0], dtype=torch.uint8).view(1, 3, 1, 1)
    assert Preprocessing(channels=1)(red).item() == pytest.approx(0.299)
    white = torch.full((1, 3, 1, 1), 255, dtype=torch.uint8)
    assert Preprocessing(channels=1, mean=(0.5, 0.5, 0.5), std=(0.5,) * 3)(white).item() == pytest.approx(1.0)


def test_the_mean_of_grayscale_images_serves_repeated_ones() -> None:
    done = Preprocessing(channels=3, mean=(0.5,), std=(0.25,))(
        torch.full((1, 1, 2, 2), 255, dtype=torch.uint8)
    )
    torch.testing.assert_close(done, torch.full((1, 3, 2, 2), 2.0))


def test_floats_keep_their_scale() -> None:
    points = torch.randn(5, 2)
    assert Preprocessing(size=8, channels=3, mean=(0.5,), std=(0.1,))(points) is points
    images = torch.full((1, 1, 4, 4), 7.0)
    done = Preprocessing(size=8, channels=3, mean=(0.5,), std=(0.1,))(images)
    torch.testing.assert_close(done, torch.full((1, 3, 8, 8), 7.0))


def test_preprocessing_survives_encoding() -> None:
    preprocessing = Preprocessing((20, 30), 3, (0.1, 0.2, 0.3), (1.0, 2.0, 3.0))
    again = Preprocessing.from_dict(preprocessing.to_dict())
    assert again == preprocessing and again != Preprocessing(20)
    assert again.output_shape((1, 8, 8)) == (3, 20, 30)
    assert again.output_shape((2,)) == (2,)
