"""The compute process, over real pipes."""

from __future__ import annotations

import asyncio
import hashlib
import io
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
import torch
from msgspec.structs import replace
from PIL import Image

from workbench.compute.client import ComputeClient, ComputeError
from workbench.compute.protocol import (
    Call,
    Classify,
    Explain,
    Failure,
    ListEvaluatedSamples,
    ListSamples,
    OpenImage,
    PredictValues,
    ProgressUpdate,
    Request,
    Result,
    SummarizeModel,
    TracePipeline,
    Warm,
    decode_server_message,
    encode,
)
from workbench.compute.protocol_records import (
    ClassCount,
    ExperimentDataset,
    ImageData,
    ImageFacts,
    ImagePath,
    PublishedClassifier,
    RecipeClassifier,
    RunClassifier,
    RunDataset,
)
from workbench.compute.protocol_responses import ImagePage, Response
from workbench.core.settings_schema import Choice
from workbench.io.atomic_files import write_json
from workbench.models import catalog, torchvision_models
from workbench.models.architectures.mlp import Mlp
from workbench.runs.reader import RunReader
from workbench.runs.run_folder import RunFolder, create_run_folder
from workbench.runs.run_report import final_evaluation

RESNET = PublishedClassifier("resnet18")


def dataset(name: str, **options: object) -> ExperimentDataset:
    return ExperimentDataset(data=Choice(name, options))


NET = """
import os, sys
from torch import nn

def Net(n):
    print("printed by user code")
    os.system("echo printed by its child")
    return nn.Sequential(nn.Flatten(), nn.Linear(64, n))

def Dies(n):
    os._exit(7)
"""


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    """A run on `digits` with one checkpoint of a small network."""
    folder = create_run_folder(tmp_path / "runs", "digits")
    model = {"name": "mlp", "widths": [8], "dropout": 0.0}
    write_json(folder.experiment, {"v": 1, "data": {"name": "digits"}, "model": model, "seed": 3,
                                   "train": {"validation": 0.1}})  # fmt: skip
    spec = {"model": model, "shape": [1, 8, 8], "classes": [str(i) for i in range(10)], "task": "classification",
            "preprocessing": {"size": None, "channels": None, "mean": [0.3], "std": [0.4]}}  # fmt: skip
    path = folder.checkpoints / "step-1.pt"
    torch.save({"model": Mlp((1, 8, 8), 10, widths=[8]).state_dict(), "spec": spec}, path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    entry = {"file": path.name, "sha256": digest, "step": 1, "epoch": 1, "position": 0, "metrics_offset": 0}
    write_json(folder.manifest, {"v": 1, "checkpoints": [entry]})
    return folder


@pytest.fixture
def net(tmp_path: Path) -> Path:
    path = tmp_path / "net.py"
    path.write_text(NET)
    return path


module_loop = pytest.mark.asyncio(loop_scope="module")


async def first_sample(client: ComputeClient, run: RunFolder) -> ImageData:
    page = await client.request(ListSamples(dataset=RunDataset(str(run.path)), per_page=1))
    return ImageData(page.items[0].png)


async def drawing(client: ComputeClient) -> asyncio.Task[ImagePage]:
    """A request that takes a minute, once it is computed."""
    started = asyncio.Event()
    request = ListSamples(dataset=dataset("shapes", train=200_000))
    task = asyncio.create_task(client.request(request, lambda _: started.set()))
    await asyncio.wait_for(started.wait(), 60)
    return task


@module_loop
async def test_an_image_is_classified_by_a_run(shared: ComputeClient, run: RunFolder, tmp_path: Path) -> None:
    Image.new("RGB", (31, 17), "red").save(tmp_path / "red.png")
    by = RunClassifier(str(run.path))
    path = tmp_path / "red.png"
    response = await shared.request(Classify(image=ImagePath(str(path)), classifier=by, top=3))
    assert response.source == ImageFacts(31, 17, "RGB")
    assert len(response.top) == 3 and response.top[0].label in "0123456789" and response.milliseconds > 0
    again = await shared.request(Classify(image=ImageData(path.read_bytes()), classifier=by, top=3))
    assert again.top == response.top


@module_loop
async def test_the_pipeline_of_an_image_by_a_run(
    shared: ComputeClient, run: RunFolder, tmp_path: Path
) -> None:
    image, by = await first_sample(shared, run), RunClassifier(str(run.path))
    response = await shared.request(TracePipeline(image=image, classifier=by))
    steps = {step.name: step for step in response.steps}
    assert (steps["original"].shape, steps["original"].dtype) == ((8, 8), "L")
    assert (steps["flattened"].shape, steps["flattened"].memory) == ((1, 64), "a view")
    classified = await shared.request(Classify(image=image, classifier=by, top=1))
    assert steps["probabilities"].high == pytest.approx(classified.top[0].probability)
    assert classified.reference is None
    alone = await shared.request(TracePipeline(image=image, classifier=None))
    assert alone.model is None and [step.name for step in alone.steps][-2:] == ["scaled", "flattened"]


@module_loop
async def test_an_explanation_includes_the_reliability_from_the_evaluation(
    shared: ComputeClient, run: RunFolder
) -> None:
    image, by = await first_sample(shared, run), RunClassifier(str(run.path))
    bare = await shared.request(Explain(image=image, classifier=by))
    top = (await shared.request(Classify(image=image, classifier=by, top=2))).top
    assert bare.second is not None and [bare.first.index, bare.second.index] == [one.index for one in top]
    assert bare.steps[0] == "original 8×8 L" and "normalized [1, 1, 8, 8]" in bare.steps[-1]
    assert bare.reliability is bare.published_accuracy is None
    label, other = top[0].index, (top[0].index + 1) % 10
    rows = [{"class": str(i), "accuracy": 0.5, "precision": 0.25, "support": 4} for i in range(10)]
    row = {"v": 1, "kind": "evaluation", "step": 1, "epoch": 1, "split": "test", "accuracy": 0.5}
    run.metrics.write_text(json.dumps(row) + "\n")
    confusion = [[label, label, 9], [other, label, 3], [label, other, 2], [label, 99, 9], [label], None]
    write_json(run.evaluations / "step-1-test.json", {**row, "per_class": rows, "confusion": confusion})
    found = (await shared.request(Explain(image=image, classifier=by))).reliability
    assert found is not None and (found.recall, found.precision, found.support) == (0.5, 0.25, 4)
    assert found.confused_with == (ClassCount(str(other), 3),)
    assert found.predicted_as == (ClassCount(str(other), 2),)


@module_loop
async def test_a_recipe_compares_with_its_published_prediction(shared: ComputeClient, tmp_path: Path) -> None:
    torch.manual_seed(0)
    torch.save(torchvision_models.build(catalog.find("squeezenet1_1"), 1000).state_dict(), tmp_path / "w.pth")
    (tmp_path / "labels.txt").write_text("\n".join(f"class {i}" for i in range(1000)))
    recipe = tmp_path / "mine.toml"
    recipe.write_text(
        'do = "classify"\n[model]\nname = "squeezenet1_1"\nlabels = "%s"\n[reference]\npublished = 0.5\n'
        'tolerance = 0.1\nsource = "A book"\n[[top]]\nindex = 1000\nprobability = 0.5\n'
        % (tmp_path / "labels.txt")
    )
    Image.new("RGB", (31, 17), "red").save(tmp_path / "red.png")
    image, by = ImagePath(str(tmp_path / "red.png")), RecipeClassifier(str(recipe), str(tmp_path / "w.pth"))
    response = await shared.request(Classify(image=image, classifier=by, top=3))
    assert response.model == "squeezenet1_1" and len(response.top) == 3
    assert response.top[0].label == f"class {response.top[0].index}"
    assert response.reference is not None
    assert (response.reference.published, response.reference.ours) == (0.5, None)
    with pytest.raises(ComputeError, match="unknown recipe"):
        await shared.request(Classify(image=image, classifier=RecipeClassifier("nonsense")))


@module_loop
async def test_samples_of_a_run_are_images_with_their_classes(shared: ComputeClient, run: RunFolder) -> None:
    dataset = RunDataset(str(run.path))
    first = await shared.request(ListSamples(dataset=dataset, per_page=5))
    second = await shared.request(ListSamples(dataset=dataset, per_page=5, page=1))
    assert [sample.index for sample in first.items + second.items] == list(range(10))
    assert first.total > 300 and second.first == 5
    assert all(sample.class_name == str(sample.label) for sample in first.items)
    image = Image.open(io.BytesIO(first.items[0].png))
    assert (image.size, image.mode) == ((8, 8), "L")
    kept = await shared.request(ListSamples(dataset=dataset, split="validation", page=10_000))
    assert kept.items == () and kept.total > 100


@module_loop
async def test_a_summary_of_a_model_for_a_dataset(shared: ComputeClient) -> None:
    response = await shared.request(SummarizeModel(data=Choice("cifar10"), model=Choice("convnet")))
    assert (response.parameters, response.input_shape, response.outputs) == (62_006, (3, 32, 32), 10)
    assert response.layers[0].output_shape == (6, 28, 28)
    values = await shared.request(SummarizeModel(data=Choice("line"), model=Choice("linear")))
    assert (values.parameters, values.outputs) == (2, 1)


@module_loop
@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (
            Classify(image=ImagePath("/nothing.png"), classifier=RunClassifier("/nowhere")),
            "is not a run folder",
        ),
        (Classify(image=ImagePath("/nothing.png"), classifier=RESNET), "/nothing.png can't be read"),
        (Classify(image=ImagePath("/\udcff.png"), classifier=RESNET), "can't be read"),
        (Classify(image=ImagePath(""), classifier=RESNET), "no image: enter a path or URL"),
        (Classify(image=ImageData(b"not a PNG"), classifier=RESNET), "is not an image"),
        (Classify(image=ImagePath(__file__), classifier=RESNET), "is not an image"),
        (SummarizeModel(data=Choice("clusters"), model=Choice("convnet")), "takes images"),
        (SummarizeModel(data=Choice("digits"), model=Choice("")), "unknown model ''"),
        (
            SummarizeModel(data=Choice("digits"), model=Choice("alexnet", {"weights": __file__})),
            "not a checkpoint of torch.save",
        ),
        (ListSamples(dataset=dataset("clusters")), "has no images"),
        (
            ListSamples(dataset=dataset("digits"), split="validation"),
            "no validation split; its splits: train, test",
        ),
    ],
)
async def test_errors_are_one_line(shared: ComputeClient, wrong: Request[Response], message: str) -> None:
    with pytest.raises(ComputeError, match=message) as caught:
        await shared.request(wrong)
    assert "\n" not in str(caught.value)


@module_loop
async def test_an_opened_image_is_scaled_down_with_its_stored_facts(
    shared: ComputeClient, tmp_path: Path
) -> None:
    path = tmp_path / "wide.tiff"
    Image.new("CMYK", (1200, 300)).save(path)
    found = await shared.request(OpenImage(path=str(path)))
    assert (found.source, found.path) == (ImageFacts(1200, 300, "CMYK"), str(path))
    assert Image.open(io.BytesIO(found.png)).size == (512, 128)
    (tmp_path / "bomb.ppm").write_bytes(b"P6 60000 60000 255\n")
    for name, message in (
        ("bomb.ppm", "is too large"),
        ("gone.png", "can't be read"),
        ("", "no image: enter a path or URL"),
    ):
        with pytest.raises(ComputeError, match=message):
            await shared.request(OpenImage(path=str(tmp_path / name) if name else ""))


@module_loop
async def test_an_image_is_opened_while_another_request_is_computed(
    shared: ComputeClient, tmp_path: Path
) -> None:
    Image.new("L", (8, 8)).save(tmp_path / "small.png")
    task = await drawing(shared)
    found = await asyncio.wait_for(shared.request(OpenImage(path=str(tmp_path / "small.png"))), 30)
    assert found.source.mode == "L" and not task.done()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


@module_loop
async def test_prediction_from_numbers(shared: ComputeClient, run: RunFolder) -> None:
    found = await shared.request(PredictValues(run=str(run.path), text=",".join(["0.5"] * 64), top=2))
    assert len(found.top) == 2 and found.values == ()
    with pytest.raises(ComputeError, match="this run takes 64 numbers"):
        await shared.request(PredictValues(run=str(run.path), text="0.5"))


@module_loop
async def test_evaluated_samples_have_the_predictions_of_the_evaluation(
    shared: ComputeClient, digits_run: RunFolder
) -> None:
    row = final_evaluation(RunReader(digits_run).read_all())
    assert row is not None and row.accuracy is not None
    every = ListEvaluatedSamples(run=str(digits_run.path), step=row.step, count=200)
    found = await shared.request(replace(every, count=3, side=16))
    assert [item.index for item in found.items] == [0, 1, 2] and found.total == 359
    wrong = await shared.request(replace(every, errors_only=True))
    assert all(item.class_name != item.predicted for item in wrong.items)
    assert wrong.total == 359 - round(row.accuracy * 359)
    of = await shared.request(replace(every, label=3))
    assert {item.class_name for item in of.items} == {"3"} and 0 < of.total < 359
    samples = await shared.request(ListSamples(dataset=RunDataset(str(digits_run.path)), per_page=3))
    assert [item.class_name for item in found.items] == [item.class_name for item in samples.items]
    with pytest.raises(ComputeError, match="the predictions of step 1 "):
        await shared.request(replace(every, step=1))


@module_loop
async def test_user_code_runs_in_a_subprocess(shared: ComputeClient, net: Path) -> None:
    response = await shared.request(SummarizeModel(data=Choice("digits"), model=Choice(f"{net}:Net")))
    assert response.parameters == 650
    with pytest.raises(ComputeError, match=r"user code ended its process \(exit code 7\)"):
        await shared.request(SummarizeModel(data=Choice("digits"), model=Choice(f"{net}:Dies")))
    assert (await shared.request(Warm())).torch == torch.__version__


@module_loop
async def test_progress_arrives_and_a_request_can_be_cancelled(shared: ComputeClient) -> None:
    task = await drawing(shared)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    # Drawing the rest would take a minute.
    await asyncio.wait_for(shared.request(Warm()), 10)


def compute_processes() -> set[psutil.Process]:
    """The compute processes that this one has started, however that was done."""
    children = psutil.Process().children(recursive=True)
    return {child for child in children if "workbench.compute.server" in child.cmdline()}


async def test_requests_fail_when_the_process_dies_and_the_next_one_restarts_it() -> None:
    client, before = ComputeClient(), compute_processes()
    try:
        task = await drawing(client)
        (server,) = compute_processes() - before
        server.send_signal(signal.SIGKILL)
        with pytest.raises(ComputeError, match="SIGKILL"):
            await asyncio.wait_for(task, 10)
        with pytest.raises(ComputeError, match="no image: enter a path or URL"):
            await client.request(OpenImage(path=""))
    finally:
        client.close()


def test_the_server_exits_with_its_stdin_and_writes_only_json(net: Path) -> None:
    command = [sys.executable, "-m", "workbench.compute.server", "--user-code"]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as server:
        assert server.stdin and server.stdout
        summary = SummarizeModel(data=Choice("digits"), model=Choice(f"{net}:Net"))
        server.stdin.write(f"not a message\n{encode(Call(9, summary))}\n".encode())
        server.stdin.flush()
        refused = decode_server_message(server.stdout.readline().decode())
        assert isinstance(refused, Failure) and refused.id is None and "\n" not in refused.error
        # Where the machine is busy, it reports progress first.
        messages = (decode_server_message(line.decode()) for line in server.stdout)
        result = next(message for message in messages if not isinstance(message, ProgressUpdate))
        assert isinstance(result, Result) and result.id == 9, result
        server.stdin.close()
        assert server.wait(10) == 0
        assert server.stdout.read() == b""


def test_the_client_imports_no_heavy_modules() -> None:
    look = "import sys, workbench.compute.client; print([m for m in ('torch', 'numpy', 'PIL') if m in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", look], capture_output=True, text=True, check=True, env=os.environ
    )
    assert done.stdout.strip() == "[]"
