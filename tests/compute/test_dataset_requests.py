"""Requests about datasets to the compute process, over real pipes."""

from __future__ import annotations

import asyncio
import io
from pathlib import Path

import msgspec
import pytest
from PIL import Image

from tests.folder_data import draw_classes
from workbench.compute.client import ComputeClient, ComputeError
from workbench.compute.protocol import (
    BrowseImages,
    BrowseValues,
    DescribeDataset,
    Request,
    SummarizeModel,
    TraceDatasetImage,
    TransformImage,
    Warm,
)
from workbench.compute.protocol_records import ExperimentDataset, RunDataset
from workbench.compute.protocol_responses import Response
from workbench.core.progress import Progress
from workbench.core.settings_schema import Choice
from workbench.datasets.augmentation_options import AugmentationOptions
from workbench.ui.data.dataset_text import fact_lines, remarks

COUNTED_CODE = """
import torch
from beside import NOTE

def make(n=20):
    with open(__file__ + ".calls", "a") as file:
        file.write("called\\n")
    print("reading", NOTE)
    if n == 0:
        raise ValueError("no data")
    if n == 1:
        input("name? ")
    x = torch.randint(0, 256, (n, 3, 6, 6), dtype=torch.uint8)
    return (x, torch.arange(n) % 2 + 1), (x, torch.arange(n) % 2 + 1)
"""

pytestmark = pytest.mark.asyncio(loop_scope="module")
DIGITS = ExperimentDataset(data=Choice("digits"), model=Choice("mlp"), validation=0.1, seed=0)
USER_CODE = """
import torch

def images():
    x = torch.rand(20, 3, 6, 6) * 2 - 1
    x[0, 0, 0, 0], x[0, 0, 0, 1] = -1, 1
    return (x, torch.arange(20) % 2), (x, torch.arange(20) % 2)

def dies():
    import os
    os._exit(7)
"""


def image(png: bytes | None) -> Image.Image:
    assert png is not None
    return Image.open(io.BytesIO(png))


def dataset(name: str, **options: object) -> ExperimentDataset:
    return ExperimentDataset(data=Choice(name, options))


async def test_a_folder_is_summarized_with_its_own_classes_and_sizes(
    shared: ComputeClient, tmp_path: Path
) -> None:
    for split in ("train", "test"):
        draw_classes(tmp_path / split, size=(24, 24), cat=20, dog=20, owl=1)
    (tmp_path / "train" / "cat" / "phone.heic").write_bytes(b"\0")
    data = Choice(f"folder:{tmp_path}")
    summary = await shared.request(SummarizeModel(data=data, model=Choice("convnet")))
    assert (summary.outputs, summary.data_shape, summary.input_shape) == (3, (3, 24, 24), (3, 24, 24))
    sized = Choice(data.name, {"size": 16})
    assert (await shared.request(SummarizeModel(data=sized, model=Choice("convnet")))).input_shape == (
        3,
        16,
        16,
    )
    overview = await shared.request(
        DescribeDataset(dataset=ExperimentDataset(data=data, model=Choice("convnet")), batch=4)
    )
    facts = overview.facts
    assert facts.skipped.count == 1 and facts.skipped.files[0].path.endswith("phone.heic")
    assert "images: 24×24, not resized" in facts.notices
    assert any(notice.startswith("imbalanced: owl has 1 of 41 training images") for notice in facts.notices)
    lines = remarks(overview)
    assert lines[-1].endswith("phone.heic: in HEIC format, which can't be read here: convert to PNG or JPEG")
    head = [line.plain for line in fact_lines(overview, "train", None, 100)]
    assert head[-3].startswith(
        f"o: {len(facts.notices)} notices, 1 skipped file  skipped: 1 file: 1 × in HEIC"
    )
    assert head[-2].startswith("imbalanced: owl") and head[-1] == "3 classes: cat, dog, owl"


async def test_the_facts_of_a_dataset_and_a_batch_through_the_untrained_model(shared: ComputeClient) -> None:
    overview = await shared.request(DescribeDataset(dataset=DIGITS, batch=32))
    facts = overview.facts
    assert (facts.input.shape, facts.input.dtype) == ((1, 8, 8), "uint8")
    assert (facts.batch, overview.output) == ((32, 1, 8, 8), (32, 10))
    counts = {name: split.count for name, split in facts.splits.items()}
    assert counts == {"train": 1295, "validation": 143, "test": 359}
    assert all(sum(split.per_class) == split.count for split in facts.splits.values())
    assert facts.mean[0] == pytest.approx(0.305, abs=0.01) and facts.has_images
    points = ExperimentDataset(data=Choice("line"), model=Choice("linear"))
    line = await shared.request(DescribeDataset(dataset=points, batch=20))
    assert (line.facts.batch, line.output, line.facts.has_images) == ((20, 1), (20, 1), False)


async def test_pages_have_samples_only_and_can_be_limited_to_a_class(shared: ComputeClient) -> None:
    first = await shared.request(BrowseImages(dataset=DIGITS, split="test", first=0, count=5))
    assert [item.index for item in first.items] == [0, 1, 2, 3, 4]
    assert image(first.items[0].png).size == (8, 8) and first.total == 359
    last = await shared.request(BrowseImages(dataset=DIGITS, split="test", first=357, count=5))
    assert [item.index for item in last.items] == [357, 358]
    threes = await shared.request(BrowseImages(dataset=DIGITS, split="train", label=3, count=50))
    assert {item.class_name for item in threes.items} == {"3"} and threes.total == 131


async def test_an_image_before_and_after_transforms(shared: ComputeClient) -> None:
    def ask(
        chain: tuple[tuple[str, float], ...] = (), draw: int = 0, augment: tuple[str, ...] = ()
    ) -> TransformImage:
        return TransformImage(dataset=DIGITS, index=-1, chain=chain, draw=draw, augment=augment)

    noise = await shared.request(ask())
    assert noise.stored.shape == (3, 96, 96) and noise.transformed is noise.result is None
    flipped = await shared.request(ask((("vflip", 1.0),)))
    upside_down = image(noise.item.png).transpose(Image.Transpose.FLIP_TOP_BOTTOM)
    assert image(flipped.transformed).tobytes() == upside_down.tobytes()
    turned = [await shared.request(ask((("rotation", 45),), draw)) for draw in (1, 1, 2)]
    assert turned[0].transformed == turned[1].transformed != turned[2].transformed
    augmented = await shared.request(ask(augment=("crop", "flip"), draw=1))
    assert augmented.transformed != augmented.item.png
    assert augmented.result is not None and augmented.result.shape == (3, 96, 96)


async def test_a_photograph_is_followed_from_its_file_and_cropped_as_in_training(
    shared: ComputeClient, tmp_path: Path
) -> None:
    """The steps say what is stored and what a center crop loses; augmentations see all that is stored."""
    draw_classes(tmp_path, size=(300, 150), cat=5, dog=5)
    model = Choice("resnet18", {"pretrained": False, "input_size": 96})
    photos = ExperimentDataset(data=Choice(f"folder:{tmp_path}"), model=model)
    trained = (await shared.request(TraceDatasetImage(dataset=photos, split="train"))).steps
    assert [(step.name, step.shape) for step in trained[:3]] == [
        ("original", (300, 150)), ("stored", (110, 110)), ("cropped", (96, 96)),
    ]  # fmt: skip
    tested = (await shared.request(TraceDatasetImage(dataset=photos, split="test"))).steps
    assert [step.name for step in tested[:2]] == ["original", "cropped"]
    assert "Resize(110), CenterCrop(96); 38 % of a 300×150 image is seen" in tested[1].code
    augment = TransformImage(dataset=photos, augment=("resized-crop",), draw=1)
    whole = msgspec.structs.replace(augment, augment_options=AugmentationOptions(crop_scale=1.0))
    results = [(await shared.request(request)).result for request in (augment, whole)]
    assert all(result is not None and result.shape == (3, 96, 96) for result in results)
    notices = (await shared.request(DescribeDataset(dataset=photos))).facts.notices
    assert any("for training stored as 110×110 and cropped" in line for line in notices)
    assert any("38 % of a 300×150 image" in line for line in notices)


async def test_values_and_a_scatter_plot_of_a_dataset_without_images(shared: ComputeClient) -> None:
    line = await shared.request(BrowseValues(dataset=dataset("line"), split="train", count=5))
    assert len(line.rows) == 5 and len(line.scatter.xs) == 800 and line.scatter.labels == ()
    found = await shared.request(
        BrowseValues(dataset=dataset("clusters", points=5000), split="train", label=1)
    )
    assert set(found.scatter.labels) == {1} and found.rows[0].target == "around 0.8"
    assert len(found.scatter.xs) <= 1000
    assert sum(found.scatter.ys) / len(found.scatter.ys) == pytest.approx(0.8, abs=0.05)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (
            DescribeDataset(dataset=dataset("kmnist")),
            r"kmnist is not downloaded \(21.2 MB\): press t",
        ),
        (BrowseImages(dataset=dataset("digits"), split="validation"), "its splits: train, test"),
        (TransformImage(dataset=dataset("digits"), index=10**6), "there is no sample 1000000"),
        (TransformImage(dataset=dataset("digits"), chain=(("rotate", 1),)), "unknown transform 'rotate'"),
        (DescribeDataset(dataset=dataset("folder:/nowhere")), "is not a folder"),
        (DescribeDataset(dataset=dataset("")), "unknown dataset ''"),
        (DescribeDataset(dataset=RunDataset("/nowhere")), "is not a run folder"),
    ],
)
async def test_errors_are_one_line(shared: ComputeClient, wrong: Request[Response], message: str) -> None:
    with pytest.raises(ComputeError, match=message) as caught:
        await shared.request(wrong)
    assert "\n" not in str(caught.value)


async def test_a_custom_dataset_is_loaded_in_a_subprocess(shared: ComputeClient, tmp_path: Path) -> None:
    (tmp_path / "data.py").write_text(USER_CODE)
    own = dataset(f"{tmp_path / 'data.py'}:images")
    facts = (await shared.request(DescribeDataset(dataset=own))).facts
    assert facts.has_images and facts.input.dtype == "float32"
    page = await shared.request(BrowseImages(dataset=own, count=3))
    # Its images go from -1 to 1: they come back to the whole range.
    red = image(page.items[0].png).split()[0]
    assert (red.getpixel((0, 0)), red.getpixel((1, 0))) == (0, 255)
    with pytest.raises(ComputeError, match="exit code 7"):
        await shared.request(DescribeDataset(dataset=dataset(f"{tmp_path / 'data.py'}:dies")))
    assert (await shared.request(Warm())).torch


async def test_the_pipeline_from_a_stored_image_to_a_models_input(shared: ComputeClient) -> None:
    found = await shared.request(TraceDatasetImage(dataset=DIGITS, split="test", index=0))
    steps = {step.name: step for step in found.steps}
    assert steps["from_numpy"].shares_numpy and steps["from_numpy"].memory == "shared with NumPy"
    assert (steps["batched"].shape, steps["flattened"].shape) == ((1, 1, 8, 8), (1, 64))
    assert steps["flattened"].memory == "a view" and steps["normalized"].low < 0


async def test_user_code_runs_once_for_all_that_is_looked_at(shared: ComputeClient, tmp_path: Path) -> None:
    code, calls = tmp_path / "data.py", tmp_path / "data.py.calls"
    code.write_text(COUNTED_CODE)
    (tmp_path / "beside.py").write_text("NOTE = 'the first time'")
    data = Choice(f"{code}:make")

    def count() -> int:
        return len(calls.read_text().splitlines())

    first = ExperimentDataset(data=data, model=Choice("mlp"))
    overview = await shared.request(DescribeDataset(dataset=first))
    assert overview.printed == ("reading the first time",) and overview.facts.classes == ("1", "2")
    assert overview.facts.notices == ("labels 1 to 2 are used as class indices 0 to 1",)
    other_split = ExperimentDataset(data=data, model=Choice("resnet18"), validation=0.2, seed=3)
    for dataset in (first, other_split):
        for request in (
            BrowseImages(dataset=dataset),
            TransformImage(dataset=dataset),
            DescribeDataset(dataset=dataset),
        ):
            await shared.request(request)
    pages = [asyncio.ensure_future(shared.request(BrowseImages(dataset=first, first=i))) for i in range(8)]
    await asyncio.sleep(0)  # each page request of the pane cancels the one before
    for page in pages[:-1]:
        page.cancel()
    await pages[-1]
    assert count() == 1
    (tmp_path / "beside.py").write_text("NOTE = 'a second time'")
    assert (await shared.request(DescribeDataset(dataset=first))).printed == ("reading a second time",)
    assert count() == 2
    with pytest.raises(
        ComputeError, match=r"ValueError: no data \(.*data\.py:\d+\); it printed last: reading a second"
    ):
        await shared.request(DescribeDataset(dataset=ExperimentDataset(data=Choice(data.name, {"n": 0}))))
    with pytest.raises(ComputeError, match="EOFError"):
        await shared.request(DescribeDataset(dataset=ExperimentDataset(data=Choice(data.name, {"n": 1}))))


async def test_slow_user_code_holds_nothing_up_and_can_be_cancelled(
    shared: ComputeClient, tmp_path: Path
) -> None:
    code, started = tmp_path / "data.py", asyncio.Event()
    code.write_text("import time\ndef make():\n    print('line 1 of 9')\n    time.sleep(600)\n")

    def progressed(progress: Progress) -> None:
        if "line 1 of 9" in progress.what:
            started.set()

    slow = asyncio.ensure_future(shared.request(DescribeDataset(dataset=dataset(f"{code}:make")), progressed))
    await asyncio.wait_for(started.wait(), 60)
    assert (await shared.request(DescribeDataset(dataset=DIGITS))).facts.has_images
    slow.cancel()
    code.write_text("def make(): return 5")
    with pytest.raises(ComputeError, match=r"must return \(train, test\)"):
        await asyncio.wait_for(shared.request(DescribeDataset(dataset=dataset(f"{code}:make"))), 60)
