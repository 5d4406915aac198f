"""The same test images give the same answers everywhere, for every kind of data; or all refuse in one line."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import onnxruntime
import pytest
import pytest_asyncio
import torch
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor

from tests.worker.support import run_until
from workbench.cli.main import run as command
from workbench.compute.client import ComputeClient, ComputeError
from workbench.compute.protocol import Classify, ListSamples
from workbench.compute.protocol_records import ImageData, ImagePath, RunClassifier, RunDataset
from workbench.config.experiment import experiment_from_dict
from workbench.core.errors import UserError
from workbench.core.progress import ignore_progress
from workbench.datasets.dataset import Dataset
from workbench.datasets.image_transform import scale_pixels
from workbench.engine.data_placement import place_split
from workbench.engine.device import pick_precision
from workbench.engine.evaluate import evaluate
from workbench.engine.task import make_task
from workbench.export import export_run
from workbench.inference.classifier import Classifier
from workbench.inference.evaluate_run import evaluate_run, load_as_trained
from workbench.inference.run_checkpoint import build_from_spec, load_run_model
from workbench.io.atomic_files import write_json
from workbench.runs.run_folder import RunFolder, create_run_folder
from workbench.worker.checkpoint_content import ModelSpec

COUNT = 24
"""Test images."""
TOLERANCE = 1e-5

_PIXELS = """
import numpy as np, torch
from PIL import Image
{imports}

def pixels(seed, n, channels={channels}, side={side}):
    values = np.random.default_rng(seed).integers(0, 256, (n, side, side, channels), dtype=np.uint8)
    labels = np.arange(n) % 3
    values[labels == 1] //= 2
    values[labels == 2, : side // 2] //= 4
    return values, labels

def arrays(change):
    return tuple((change(torch.from_numpy(x).permute(0, 3, 1, 2)), torch.from_numpy(y))
                 for x, y in (pixels(0, 60), pixels(1, 24)))

class Items(torch.utils.data.Dataset):
    def __init__(self, seed, n, transform):
        (self.x, self.y), self.transform = pixels(seed, n), transform
    def __len__(self): return len(self.y)
    def __getitem__(self, i):
        x = self.x[i]
        return self.transform(Image.fromarray(x[..., 0] if x.shape[2] == 1 else x)), int(self.y[i])
"""
_NORMALIZE = "T.Compose([T.ToTensor(), T.Normalize((.5,) * {channels}, (.25,) * {channels})])"
SOURCES = {
    "uint8": "def make(): return arrays(lambda x: x)",
    "channels last": """
def make(): return tuple((x.permute(0, 2, 3, 1), y) for x, y in arrays(lambda x: x / 255))
make.preprocess = T.ToTensor()
""",
    "0 to 1, told": """
def make(): return arrays(lambda x: x / 255)
make.preprocess = T.ToTensor()
""",
    "0 to 255, told by a function": """
def make(): return arrays(lambda x: x.float())
def raw(image):
    return np.asarray(image, np.float32).reshape(*image.size[::-1], -1).transpose(2, 0, 1)
make.preprocess = raw
""",
    "normalized, found on the dataset": f"""
def make():
    t = {_NORMALIZE}
    return Items(0, 60, t), Items(1, 24, t)
""",
    "normalized by v2, found on a subset": """
def make():
    t = v2.Compose([v2.ToImage(), v2.ToDtype(torch.float32, scale=True),
                    v2.Normalize([.4] * {channels}, [.3] * {channels})])
    subset = torch.utils.data.Subset
    return subset(Items(0, 60, t), range(60)), subset(Items(1, 24, t), range(24))
""",
    "resized and cropped, found on the dataset": """
def make():
    t = T.Compose([T.Resize({side} + 4), T.CenterCrop({side}), T.ToTensor()])
    return Items(0, 60, t), Items(1, 24, t)
""",
    "made gray and resized, found on the dataset": """
def make():
    t = T.Compose([T.Grayscale(), T.Resize({side} - 3), T.ToTensor()])
    return Items(0, 60, t), Items(1, 24, t)
""",
    "a function of its own": """
def make():
    return Items(0, 60, squares), Items(1, 24, squares)
def squares(image):
    print("squares of an image")
    return (torch.from_numpy(np.array(image)).reshape(*image.size[::-1], -1).permute(2, 0, 1) / 255.) ** 2
make.preprocess = squares
""",
}
UNKNOWN = {
    "0 to 1": "def make(): return arrays(lambda x: x / 255)",
    "0 to 255": "def make(): return arrays(lambda x: x.float())",
    "random transforms": """
def make():
    t = T.Compose([T.RandomCrop({side}, 2), T.ToTensor()])
    return Items(0, 60, t), Items(1, 24, t)
""",
    "a lambda": """
def make():
    t = T.Compose([T.ToTensor(), T.Lambda(lambda x: x ** 2)])
    return Items(0, 60, t), Items(1, 24, t)
""",
}

CASES = [
    ("built in", 1), ("folder", 3), ("uint8", 1), ("channels last", 3), ("0 to 1, told", 1),
    ("0 to 255, told by a function", 3), ("normalized, found on the dataset", 3),
    ("normalized by v2, found on a subset", 1), ("resized and cropped, found on the dataset", 3),
    ("a function of its own", 1), ("made gray and resized, found on the dataset", 3),
]  # fmt: skip
"""The kind of data, and its channels."""
WITH_SAMPLES = {
    "built in",
    "folder",
    "0 to 255, told by a function",
    "resized and cropped, found on the dataset",
}
"""Listing samples of own data starts a process, which takes seconds."""
WITHOUT_ONNX = {"channels last", "0 to 1, told", "normalized by v2, found on a subset",
                "made gray and resized, found on the dataset"}  # fmt: skip
"""Exporting a graph takes seconds: other cases show the same."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def compute(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[ComputeClient]:
    client = ComputeClient(tmp_path_factory.mktemp("compute") / "log")
    yield client
    client.close()


Train = Callable[..., RunFolder]


@pytest.fixture
def train(tmp_path: Path, home: Path) -> Train:
    """Trains one epoch on the data of a case, in this process."""

    def run(name: str, channels: int, code: str = "", side: int = 8) -> RunFolder:
        data: dict[str, Any] = {"name": "digits"}
        model: dict[str, Any] = {"name": "mlp", "widths": [8], "dropout": 0.0}
        if name == "folder":
            data = {"name": f"folder:{image_folder(tmp_path / 'images', channels)}", "size": 8, "fit": "pad"}
            # torchvision's models take RGB; a lenet takes what there is
        elif code:
            imports = "from torchvision import transforms as T; from torchvision.transforms import v2"
            needs_torchvision = "T." in code or "v2." in code
            values = {
                "{channels}": str(channels), "{side}": str(side), "{imports}": imports if needs_torchvision else "",
            }  # fmt: skip
            text = _PIXELS + code
            for key, value in values.items():
                text = text.replace(key, value)
            (tmp_path / "data.py").write_text(text)
            data = {"name": f"{tmp_path / 'data.py'}:make"}
        content = {
            "name": "same", "seed": 1, "data": data, "model": model,
            "train": {"epochs": 1, "threads": 1, "device": "cpu", "batch_size": 16, "lr": 0.003},
        }  # fmt: skip
        folder = create_run_folder(home / "runs", "same")
        write_json(folder.experiment, experiment_from_dict(content).to_dict())
        run_until(folder, None)
        return folder

    return run


def image_folder(root: Path, channels: int) -> Path:
    """Images of 12×8 of three classes, gray or in color."""
    generator = np.random.default_rng(channels)
    for split, count in (("train", 20), ("test", COUNT // 3)):
        for label in range(3):
            (root / split / f"class {label}").mkdir(parents=True)
            for number in range(count):
                pixels = generator.integers(0, 256 // (label + 1), (8, 12, channels), np.uint8)
                image = Image.fromarray(pixels[..., 0] if channels == 1 else pixels)
                image.save(root / split / f"class {label}" / f"{number:02}.png")
    return root


def image_files(data: Dataset, tmp_path: Path, originals: bool) -> list[Path]:
    """The test images as files: those of a folder, or the pixels that custom data were made of."""
    if data.test.names:
        return [Path(data.source) / name for name in data.test.names[:COUNT]]
    if originals:
        space: dict[str, Any] = {}
        exec((tmp_path / "data.py").read_text().split("def arrays")[0], space)
        arrays = space["pixels"](1, COUNT)[0]
    else:
        arrays = data.test.inputs[:COUNT].permute(0, 2, 3, 1).numpy()
    paths = [tmp_path / f"{number}.png" for number in range(COUNT)]
    for path, pixels in zip(paths, arrays, strict=True):
        Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels).save(path)
    return paths


def evaluated(folder: RunFolder) -> tuple[Dataset, Tensor]:
    """The dataset of a run, and the probability of the true class of each test image by an evaluation."""
    experiment = experiment_from_dict(json.loads(folder.experiment.read_text()))
    data, model = load_as_trained(experiment, ignore_progress), load_run_model(folder.path)
    device = torch.device("cpu")
    placed = place_split(data.test, model.spec.preprocessing, device)
    task = make_task(data, experiment.train, device)
    precision = pick_precision("fp32", device)
    result = evaluate(model.module, placed, task, split="test", classes=data.classes, precision=precision)
    by_command = evaluate_run(folder, "test", "cpu", ignore_progress)
    assert by_command.metrics["accuracy"] == result.scores["accuracy"]
    return data, torch.from_numpy(result.records["probability"][:COUNT].copy())


def of_true_class(probabilities: Tensor, data: Dataset) -> Tensor:
    return probabilities.gather(1, data.test.targets[: len(probabilities), None])[:, 0]


def by_export(folder: RunFolder, data: Dataset, target: Path, onnx: bool) -> dict[str, Tensor]:
    """The probabilities of the test inputs by every export: raw pixels where the graph takes those."""
    model = load_run_model(folder.path)
    record, inputs = model.input, data.test.inputs[:COUNT]
    pixels = inputs
    if record.scale:
        shift, scale = (torch.tensor(v).view(1, -1, 1, 1) for v in (record.offset, record.scale))
        pixels = ((inputs - shift) / scale).round().to(torch.uint8)
        torch.testing.assert_close(scale_pixels(pixels, record.scale, record.offset), inputs)
    answers = {}
    if onnx:
        session = onnxruntime.InferenceSession(export_run(folder, "onnx", str(target / "a.onnx")))
        answers["onnx"] = torch.from_numpy(session.run(None, {"inputs": pixels.numpy()})[0])
    plain = torch.load(export_run(folder, "pytorch", str(target / "a.pt")), weights_only=True)
    safe = export_run(folder, "safetensors", str(target / "a.safetensors"))
    for name, weights, content in (
        ("pytorch", plain["model"], plain["spec"]),
        ("safetensors", load_file(safe), msgspec.to_builtins(model.spec.to_json())),
    ):
        spec = ModelSpec.from_json(content)
        module = build_from_spec(spec).eval()
        module.load_state_dict(weights)
        with torch.no_grad():
            answers[name] = module(spec.preprocessing(inputs)).softmax(1)
    return answers


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("case", CASES, ids=str)
async def test_the_same_images_give_the_same_answers(
    train: Train, compute: ComputeClient, tmp_path: Path, case: tuple[str, int],
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    name, channels = case
    folder = train(name, channels, SOURCES.get(name, ""))
    data, expected = evaluated(folder)
    paths = image_files(data, tmp_path, originals=name in SOURCES)
    answers: dict[str, Tensor] = {}
    classifier = Classifier.from_run(folder.path, device="cpu")
    answers["python"] = classifier.classify([Image.open(path) for path in paths])
    capsys.readouterr()  # what the user's code has printed in this process
    assert (
        command(["classify", *map(str, paths), "--run", "last", "--top", "3", "--json", "--device", "cpu"])
        == 0
    )
    results = json.loads(capsys.readouterr().out)["results"]
    if name == "a function of its own":
        assert command(["evaluate", "last", "--json", "--device", "cpu"]) == 0
        output = capsys.readouterr()
        assert json.loads(output.out)["split"] == "test" and "squares of an image" in output.err
    rows = [{top["index"]: top["probability"] for top in result["top"]} for result in results]
    answers["command"] = torch.tensor([[row[i] for i in range(3)] for row in rows]) if name != "built in" else (
        torch.tensor([[row.get(i, 0.0) for i in range(10)] for row in rows])
    )  # fmt: skip
    ref = RunClassifier(str(folder.path))
    photos = []
    for path in paths[:4]:
        answer = await compute.request(
            Classify(image=ImagePath(str(path)), classifier=ref, top=10, device="cpu")
        )
        photos.append([p.probability for p in sorted(answer.top, key=lambda p: p.index)])
    answers["photo pane"] = torch.tensor(photos)
    if name in WITH_SAMPLES:
        page = await compute.request(
            ListSamples(dataset=RunDataset(str(folder.path)), split="test", per_page=4)
        )
        samples = []
        for item in page.items:
            image = ImageData(item.png, str(folder.path))
            answer = await compute.request(Classify(image=image, classifier=ref, top=10, device="cpu"))
            samples.append([p.probability for p in sorted(answer.top, key=lambda p: p.index)])
        answers["samples"] = torch.tensor(samples)
    answers |= by_export(folder, data, tmp_path, name not in WITHOUT_ONNX)
    for where, probabilities in answers.items():
        found = of_true_class(probabilities, data)
        known = found > 0  # of the built-in data, classes below the third are not in the command's answer
        assert known.sum() >= len(found) // 4, where
        torch.testing.assert_close(
            found[known],
            expected[: len(found)][known],
            atol=TOLERANCE,
            rtol=0,
            msg=lambda text, w=where: f"{w}: {text}",
        )


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("name", UNKNOWN)
async def test_data_with_an_unknown_transform_is_refused_in_one_line_with_the_remedy(
    train: Train, compute: ComputeClient, tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = train(name, 3, UNKNOWN[name])
    image = tmp_path / "a.png"
    Image.new("RGB", (8, 8)).save(image)
    says = r"how an image becomes one is not known.*: set make\.preprocess to"
    for form in ("onnx", "pytorch", "safetensors"):
        with pytest.raises(UserError, match=says):
            export_run(folder, form, str(tmp_path / f"x-{form}"))
    for flags in ([], ["--steps"]):
        assert command(["classify", str(image), "--run", "last", *flags]) == 2
        assert "set make.preprocess to" in capsys.readouterr().err.splitlines()[-1]
    ref = RunClassifier(str(folder.path))
    with pytest.raises(ComputeError, match=says):
        await compute.request(Classify(image=ImagePath(str(image)), classifier=ref))
    if name == "0 to 1":
        with pytest.raises(ComputeError, match=says):
            await compute.request(ListSamples(dataset=RunDataset(str(folder.path))))
        with (tmp_path / "data.py").open("a") as file:
            file.write("\nfrom torchvision import transforms as T\nmake.preprocess = T.ToTensor()\n")
        data, expected = evaluated(folder)
        paths = image_files(data, tmp_path, originals=True)
        found = Classifier.from_run(folder.path, device="cpu").classify([Image.open(path) for path in paths])
        torch.testing.assert_close(of_true_class(found, data), expected, atol=TOLERANCE, rtol=0)
    if name == "0 to 255":
        with (tmp_path / "data.py").open("a") as file:
            file.write("\nfrom torchvision import transforms as T\nmake.preprocess = T.ToTensor()\n")
        with pytest.raises(
            UserError, match="can't have made these inputs: it makes values from 0 to 1 of images"
        ):
            Classifier.from_run(folder.path, device="cpu")
