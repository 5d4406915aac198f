"""Each step between an image and its answer, and the commands that show them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch
from PIL import Image, ImageOps

from tests.file_server import serving
from workbench.cli.main import run
from workbench.core import paths
from workbench.core.progress import Progress
from workbench.inference.classifier import Classifier
from workbench.inference.image_pipeline import open_source
from workbench.inference.pipeline_steps import classifier_steps
from workbench.inference.results import PipelineStep
from workbench.models.preprocessing import Preprocessing
from workbench.runs.run_folder import RunFolder

MakeRun = Callable[..., RunFolder]
MEAN, DEVIATION = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]


def photo(folder: Path, kind: str) -> Path:
    """An image of 400×300 that is stored in one of the ways that go wrong."""
    values = np.random.default_rng(0).integers(0, 256, (30, 40, 3), dtype=np.uint8)
    image = Image.fromarray(values).resize((400, 300))
    path = folder / {"CMYK": "photo.jpg", "turned": "photo.jpg"}.get(kind, "photo.png")
    if kind == "turned":
        exif = Image.Exif()
        exif[0x0112] = 6
        image.save(path, exif=exif, quality=95)
    elif kind == "transparent":
        image.quantize(16).save(path, transparency=3)
    else:
        image.convert(kind).save(path)
    return path


@pytest.mark.parametrize("kind", ["RGB", "L", "P", "CMYK", "RGBA", "transparent", "turned"])
def test_the_prediction_equals_that_of_the_tutorial(
    published: tuple[Path, torch.nn.Module], tmp_path: Path, kind: str
) -> None:
    transforms = pytest.importorskip("torchvision.transforms")
    weights, module = published
    path = photo(tmp_path, kind)
    transform = transforms.Compose([
        transforms.Resize(256), transforms.CenterCrop(224), transforms.ToTensor(),
        transforms.Normalize(mean=MEAN, std=DEVIATION),
    ])  # fmt: skip
    image = ImageOps.exif_transpose(Image.open(path))
    if kind == "transparent":  # the only difference: the tutorial shows what is below transparent pixels
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image.convert("RGBA"))
    image = image.convert("RGB")
    with torch.no_grad():
        wanted = torch.nn.functional.softmax(module(torch.unsqueeze(transform(image), 0)), dim=1)[0]
    classifier = Classifier.from_published("squeezenet1_1", weights, device="cpu")
    steps, found = classifier_steps(classifier, open_source(str(path)))
    torch.testing.assert_close(found, wanted, atol=1e-5, rtol=0)
    torch.testing.assert_close(found, classifier.classify([open_source(str(path))])[0], atol=1e-7, rtol=0)
    first = {"transparent": "P", "turned": "RGB"}.get(kind, kind)
    assert steps[0].dtype == first and steps[0].shape == ((300, 400) if kind == "turned" else (400, 300))
    assert ("RGB" in [step.name for step in steps]) is (first != "RGB")


def by_name(steps: list[PipelineStep]) -> dict[str, PipelineStep]:
    return {step.name: step for step in steps}


def test_each_step_is_described(published: tuple[Path, torch.nn.Module], tmp_path: Path) -> None:
    classifier = Classifier.from_published("squeezenet1_1", published[0], device="cpu")
    steps, probabilities = classifier_steps(classifier, open_source(str(photo(tmp_path, "RGB"))))
    assert [step.name for step in steps] == [
        "original", "resized", "cropped", "array", "from_numpy", "to tensor", "normalized", "batched", "flattened",
        "logits", "probabilities",
    ]  # fmt: skip
    of = by_name(steps)
    assert of["resized"].shape == (341, 256) and of["cropped"].shape == (224, 224)
    assert (of["array"].kind, of["array"].shape, of["array"].dtype) == ("array", (224, 224, 3), "uint8")
    assert of["from_numpy"].memory == "shared with NumPy" and of["from_numpy"].shares_numpy
    tensor = of["to tensor"]
    assert (tensor.shape, tensor.dtype, tensor.memory) == ((3, 224, 224), "float32", "its own")
    assert 0 <= tensor.low < tensor.high <= 1 and not tensor.shares_numpy
    assert of["normalized"].low < -1 and of["normalized"].high > 1
    assert (of["batched"].shape, of["batched"].memory) == ((1, 3, 224, 224), "a view")
    assert (of["flattened"].shape, of["flattened"].memory) == ((1, 150_528), "a view")
    assert of["logits"].shape == of["probabilities"].shape == (1, 1000)
    assert of["probabilities"].high == pytest.approx(float(probabilities.max()))
    assert {step.device for step in steps} == {"cpu"}
    assert json.loads(msgspec.json.encode(steps))[0]["shape"] == [400, 300]


def test_the_preprocessing_of_a_run_is_shown(make_run: MakeRun, tmp_path: Path) -> None:
    about = Preprocessing(size=32, mean=(0.5,), std=(0.25,)).to_dict()
    folder = make_run(shape=(1, 12, 12), preprocessing=about, model={"name": "convnet"})
    classifier = Classifier.from_run(folder.path, device="cpu")
    image = open_source(str(photo(tmp_path, "RGB")))
    steps, found = classifier_steps(classifier, image)
    torch.testing.assert_close(found, classifier.classify([image])[0])
    assert [(step.name, step.shape) for step in steps] == [
        ("original", (400, 300)), ("L", (400, 300)), ("fitted", (12, 12)), ("array", (12, 12)),
        ("from_numpy", (12, 12)), ("to tensor", (1, 12, 12)), ("batched", (1, 1, 12, 12)),
        ("scaled", (1, 1, 12, 12)), ("resized", (1, 1, 32, 32)), ("normalized", (1, 1, 32, 32)),
        ("flattened", (1, 1024)), ("logits", (1, 3)), ("probabilities", (1, 3)),
    ]  # fmt: skip
    assert by_name(steps)["scaled"].high <= 1 < by_name(steps)["batched"].high


def test_at_80_columns_no_shape_is_cut_and_only_the_longest_code(
    published: tuple[Path, torch.nn.Module],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    image = str(photo(tmp_path, "RGB"))
    monkeypatch.setenv("COLUMNS", "80")
    command = ["classify", image, "--model", "squeezenet1_1", "--weights", str(published[0]), "--steps"]
    assert run([*command, "--device", "cpu"]) == 0
    output = capsys.readouterr().out
    assert output.count("[1, 3, 224, 224]") == 1 and "[3, 224, 224]" in output
    assert "torch.from_numpy(array)" in output and "softmax(logits, 1)" in output
    assert "  all steps on cpu\n" in output and "device" not in output
    assert "…" not in output.replace("Image.open(…)", "")
    assert all(len(line) <= 80 for line in output.splitlines() if image not in line)


@pytest.fixture
def mine(published: tuple[Path, torch.nn.Module], tmp_path: Path) -> Path:
    """A recipe whose published probability is the one that our random network predicts for the photo."""
    classifier = Classifier.from_published("squeezenet1_1", published[0], device="cpu")
    top = classifier.predict_image(open_source(str(photo(tmp_path, "RGB"))), 1)[0]
    path = tmp_path / "mine.toml"
    path.write_text(
        f'do = "classify"\n[model]\nname = "squeezenet1_1"\nweights = "{published[0]}"\n'
        f'[reference]\npublished = {top.probability:.6f}\ntolerance = 0.0001\nsource = "A book"\n'
        f'[[top]]\nindex = {top.index}\nlabel = "it"\nprobability = {top.probability:.6f}\nlogit = {top.logit}\n'
        "[[top]]\nprobability = 0.001\n"
    )
    return path


def test_a_recipe_prints_its_published_figures_beside_ours(
    mine: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    image = str(tmp_path / "photo.png")
    assert run(["classify", image, "--recipe", str(mine), "--top", "2"]) == 0
    output = capsys.readouterr().out
    assert "(within ±0.0001; A book)" in output and "(unnamed)" in output and output.count(" logit ") == 3
    assert run(["classify", image, "--recipe", str(mine), "--json", "--steps", "--top", "2"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["reference"]["within"] is True and document["reference"]["source"] == "A book"
    [result] = document["results"]
    assert set(result["top"][0]) == {"index", "label", "probability"} and len(result["top"]) == 2
    assert [step["name"] for step in result["steps"]][-1] == "probabilities"
    mine.write_text(mine.read_text().replace("index = ", "index = 1", 1))
    assert run(["classify", image, "--recipe", str(mine)]) == 0
    assert "for another photo or other weights" in capsys.readouterr().out


def test_custom_labels(
    published: tuple[Path, torch.nn.Module], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    image, labels = str(photo(tmp_path, "RGB")), tmp_path / "labels.txt"
    command = ["classify", image, "--model", "squeezenet1_1", "--weights", str(published[0]),
               "--labels", str(labels), "--json"]  # fmt: skip
    labels.write_text("{" + ",\n".join(f"{i}: 'class {i}, also'" for i in range(1000)) + "}")
    assert run(command) == 0
    top = json.loads(capsys.readouterr().out)["results"][0]["top"]
    assert all(row["label"] == f"class {row['index']}, also" for row in top)
    labels.write_text("\n".join(f"{i}: 'class {i}'," for i in range(999)))
    assert run(command) == 2
    output = capsys.readouterr().err
    assert "999 labels" in output and output.count("\n") == 1
    assert run(["classify", image, "--model", "alexnet", "--labels", str(labels)]) == 2
    assert "got 999 labels, but alexnet has 1,000 classes" in capsys.readouterr().err
    assert run(["classify", image, "--run", "x", "--labels", str(labels)]) == 2


@pytest.fixture
def address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setenv("no_proxy", "*")
    with serving(tmp_path) as address:
        yield address


def test_a_url_is_downloaded_once_with_progress(make_run: MakeRun, tmp_path: Path, address: str) -> None:
    photo(tmp_path, "RGB").rename(tmp_path / "no-ending")
    updates: list[Progress] = []
    classifier = Classifier.from_run(make_run().path, device="cpu")
    url = f"{address}/no-ending?size=large"
    first = next(classifier.predict([url], 1, updates.append))
    assert first.error is None
    assert "downloading no-ending" in {progress.what for progress in updates if progress.unit == "bytes"}
    assert len([path for path in paths.download_cache().iterdir() if path.suffix == ""]) == 1
    (tmp_path / "no-ending").unlink()
    assert next(classifier.predict([url], 1)).top == first.top
    gone = next(classifier.predict([f"{address}/gone"], 1))
    assert gone.error is not None and "404" in gone.error
