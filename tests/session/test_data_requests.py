"""What the session tells of a dataset that is looked at: a real process, over real pipes."""

from __future__ import annotations

import base64
import io
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from PIL import Image

from workbench.session.client import SessionClient, SessionError

pytestmark = pytest.mark.asyncio(loop_scope="module")
DIGITS = {"data": {"name": "digits"}, "model": {"name": "mlp"}, "validation": 0.1, "seed": 0}
OWN = """
import torch

def pictures():
    x = torch.rand(20, 3, 6, 6) * 2 - 1
    x[0, 0, 0, 0], x[0, 0, 0, 1] = -1, 1
    return (x, torch.arange(20) % 2), (x, torch.arange(20) % 2)

def dies():
    import os
    os._exit(7)
"""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[SessionClient]:
    """One process for all."""
    client = SessionClient(tmp_path_factory.mktemp("session") / "session.log")
    yield client
    client.close()


def picture(sample: dict[str, Any], key: str = "png") -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(sample[key])))


async def test_the_facts_of_a_dataset_and_a_batch_through_the_untrained_model(shared: SessionClient) -> None:
    facts = await shared.request("data", batch=32, **DIGITS)
    assert (facts["shape"], facts["dtype"]) == ([1, 8, 8], "uint8")
    assert (facts["batch"], facts["output"]) == ([32, 1, 8, 8], [32, 10])
    counts = {name: split["count"] for name, split in facts["splits"].items()}
    assert counts == {"train": 1295, "validation": 143, "test": 359}
    assert all(sum(s["per_class"]) == s["count"] for s in facts["splits"].values())
    assert facts["mean"][0] == pytest.approx(0.305, abs=0.01) and facts["pictures"]
    line = await shared.request("data", data={"name": "line"}, model={"name": "linear"}, batch=20)
    assert (line["batch"], line["output"], line["pictures"]) == ([20, 1], [20, 1], False)


async def test_pages_begin_with_noise_and_go_on_and_one_class_can_be_picked(shared: SessionClient) -> None:
    first = await shared.request("data_page", split="test", first=0, count=5, **DIGITS)
    assert [item["index"] for item in first["items"]] == [-1, 0, 1, 2, 3]
    assert first["items"][0]["class"] == "noise" and picture(first["items"][0]).size == (64, 64)
    assert first["total"] == 360
    last = await shared.request("data_page", split="test", first=358, count=5, **DIGITS)
    assert [item["index"] for item in last["items"]] == [357, 358]
    threes = await shared.request("data_page", split="train", label=3, count=50, **DIGITS)
    assert {item["class"] for item in threes["items"]} == {"3"} and threes["total"] == 131


async def test_one_picture_before_and_after(shared: SessionClient) -> None:
    ask = {"split": "train", "index": -1, **DIGITS}
    noise = await shared.request("data_one", **ask)
    assert noise["stored"]["shape"] == [3, 96, 96] and "after" not in noise
    flipped = await shared.request("data_one", chain=[["vflip", 1.0]], **ask)
    assert picture(flipped, "after").tobytes() == (
        picture(noise, "before").transpose(Image.Transpose.FLIP_TOP_BOTTOM).tobytes()
    )
    turned = [
        await shared.request("data_one", chain=[["rotation", 45]], draw=draw, **ask) for draw in (1, 1, 2)
    ]
    assert turned[0]["after"] == turned[1]["after"] != turned[2]["after"]
    augmented = await shared.request("data_one", augment=["crop", "flip"], draw=1, **ask)
    assert augmented["after"] != augmented["before"] and augmented["made"]["shape"] == [3, 96, 96]


async def test_values_and_a_scatter_of_what_has_no_pictures(shared: SessionClient) -> None:
    line = await shared.request("data_values", data={"name": "line"}, split="train", count=5)
    assert len(line["rows"]) == 5 and len(line["scatter"]["xs"]) == 800 and line["scatter"]["labels"] == []
    clusters = {"name": "clusters", "points": 5000}
    found = await shared.request("data_values", data=clusters, split="train", label=1)
    assert set(found["scatter"]["labels"]) == {1} and found["rows"][0]["target"] == "around 0.8"
    assert len(found["scatter"]["xs"]) <= 1000
    assert sum(found["scatter"]["ys"]) / len(found["scatter"]["ys"]) == pytest.approx(0.8, abs=0.05)


@pytest.mark.parametrize(
    ("do", "parameters", "says"),
    [
        ("data", {"data": {"name": "kmnist"}}, r"kmnist is not here: t downloads it \(21.2 MB\) and trains"),
        ("data_page", {"data": {"name": "digits"}, "split": "validation"}, "there are train, test"),
        ("data_one", {"data": {"name": "digits"}, "index": 10**6}, "there is no example 1000000"),
        ("data_one", {"data": {"name": "digits"}, "chain": [["rotate", 1]]}, "no transform 'rotate'"),
        ("data", {"data": {"name": "folder:/nowhere"}}, "no folder"),
        ("data", {}, "no dataset is chosen"),
    ],
)
async def test_what_goes_wrong_is_one_line(
    shared: SessionClient, do: str, parameters: dict[str, Any], says: str
) -> None:
    with pytest.raises(SessionError, match=says) as caught:
        await shared.request(do, **parameters)
    assert "\n" not in str(caught.value)


async def test_own_data_is_loaded_in_a_process_of_its_own(shared: SessionClient, tmp_path: Path) -> None:
    (tmp_path / "data.py").write_text(OWN)
    own = {"data": {"name": f"{tmp_path / 'data.py'}:pictures"}}
    facts = await shared.request("data", **own)
    assert facts["pictures"] and facts["dtype"] == "float32"
    page = await shared.request("data_page", count=3, **own)
    # Its pictures go from -1 to 1: they come back to the whole range.
    red = picture(page["items"][1]).split()[0]
    assert (red.getpixel((0, 0)), red.getpixel((1, 0))) == (0, 255)
    with pytest.raises(SessionError, match="exit 7"):
        await shared.request("data", data={"name": f"{tmp_path / 'data.py'}:dies"})
    assert (await shared.request("warm"))["torch"]


async def test_the_steps_from_a_stored_picture_to_a_models_input(shared: SessionClient) -> None:
    found = await shared.request("data_steps", split="test", index=0, **DIGITS)
    steps = {step["name"]: step for step in found["steps"]}
    assert steps["from_numpy"]["shares_numpy"] and steps["from_numpy"]["memory"] == "shared with NumPy"
    assert (steps["batched"]["shape"], steps["flattened"]["shape"]) == ([1, 1, 8, 8], [1, 64])
    assert steps["flattened"]["memory"] == "a view" and steps["normalised"]["low"] < 0
