from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from workbench.core.errors import UserError
from workbench.core.progress import Cancelled, Progress
from workbench.inference.classifier import Classifier
from workbench.inference.run_checkpoint import load_run_checkpoint
from workbench.io.atomic_files import read_json, write_json
from workbench.io.images import open_image
from workbench.runs.run_folder import RunFolder

MakeRun = Callable[..., RunFolder]


def save_photo(path: Path, mode: str = "RGB", size: tuple[int, int] = (40, 30), seed: int = 0) -> Path:
    values = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    Image.fromarray(values).resize(size).convert(mode).save(path)
    return path


def by_hand(run: RunFolder, pixels: torch.Tensor, file: str = "step-1.pt") -> torch.Tensor:
    """Probabilities of the run's multilayer perceptron, written out."""
    state = torch.load(run.checkpoints / file, weights_only=True)["model"]
    x = ((pixels.float() / 255 - 0.5) / 0.25).flatten()
    hidden = torch.relu(state["body.1.weight"] @ x + state["body.1.bias"])
    return torch.softmax(state["head.weight"] @ hidden + state["head.bias"], 0)


def pixels_of(image: Image.Image) -> torch.Tensor:
    return torch.from_numpy(np.array(image)).permute(2, 0, 1)


def test_a_run_predicts_by_its_model(make_run: MakeRun, tmp_path: Path) -> None:
    run = make_run()
    classifier = Classifier.from_run(run.path, device="cpu")
    image = open_image(save_photo(tmp_path / "a.png", size=(12, 12)))
    wanted = by_hand(run, pixels_of(image))
    torch.testing.assert_close(classifier.classify([image])[0], wanted)
    top = classifier.predict_image(image, 2)
    assert [p.index for p in top] == wanted.topk(2).indices.tolist()
    assert top[0].label == ["cat", "dog", "owl"][top[0].index] and top[0].probability > top[1].probability


def test_an_image_gets_the_shape_that_the_run_was_trained_on(make_run: MakeRun, tmp_path: Path) -> None:
    image = open_image(save_photo(tmp_path / "a.png", size=(40, 30)))
    middle = image.resize((12, 12), Image.Resampling.BILINEAR, box=(5, 0, 35, 30))
    run = make_run()
    found = Classifier.from_run(run.path, device="cpu").classify([image])[0]
    torch.testing.assert_close(found, by_hand(run, pixels_of(middle)))
    wide = make_run(shape=(3, 6, 24))
    stretched = image.resize((24, 6), Image.Resampling.BILINEAR)
    found = Classifier.from_run(wide.path, device="cpu").classify([image])[0]
    torch.testing.assert_close(found, by_hand(wide, pixels_of(stretched)))


@pytest.mark.parametrize("mode", ["L", "P", "CMYK", "RGBA"])
@pytest.mark.parametrize("channels", [1, 3])
def test_every_run_classifies_every_image_mode(
    make_run: MakeRun, tmp_path: Path, mode: str, channels: int
) -> None:
    path = save_photo(tmp_path / ("a.tif" if mode == "CMYK" else "a.png"), mode)
    run = make_run(shape=(channels, 12, 12))
    result = next(Classifier.from_run(run.path, device="cpu").predict([path], 3))
    assert result.error is None and sum(p.probability for p in result.top) == pytest.approx(1)


def test_the_best_or_the_last(make_run: MakeRun, tmp_path: Path) -> None:
    run = make_run(seeds=(0, 1, 2))
    assert load_run_checkpoint(run.path, "best")[0]["step"] == 1
    assert load_run_checkpoint(run.path, "last")[0]["step"] == 3


def test_a_damaged_checkpoint_is_skipped_with_a_notice(make_run: MakeRun) -> None:
    run = make_run(seeds=(0, 1, 2))
    damage(run.checkpoints / "step-1.pt")
    content, notices = load_run_checkpoint(run.path)
    assert content["step"] == 3 and "step-1.pt is corrupt" in notices[0]
    (run.checkpoints / "step-3.pt").unlink()
    assert load_run_checkpoint(run.path)[0]["step"] == 2
    damage(run.checkpoints / "step-2.pt")
    with pytest.raises(UserError, match=r"has no readable checkpoint: .*step-1\.pt is corrupt"):
        load_run_checkpoint(run.path)


def damage(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def test_runs_that_can_not_classify(make_run: MakeRun, tmp_path: Path) -> None:
    fresh = make_run(seeds=())
    with pytest.raises(UserError, match="has no checkpoint yet"):
        Classifier.from_run(fresh.path)
    points = make_run(shape=(2,))
    with pytest.raises(UserError, match="was trained on numbers, not on images"):
        Classifier.from_run(points.path)
    line = make_run(shape=(1,), task="regression", classes=[])
    with pytest.raises(UserError, match="is a regression"):
        Classifier.from_run(line.path)


def test_a_manifest_can_not_lead_elsewhere(make_run: MakeRun, tmp_path: Path) -> None:
    run = make_run()
    manifest = read_json(run.manifest) or {}
    (run.checkpoints / "step-1.pt").rename(tmp_path / "elsewhere.pt")
    manifest["checkpoints"][0]["file"] = str(tmp_path / "elsewhere.pt")
    write_json(run.manifest, manifest)
    with pytest.raises(UserError, match="no checkpoint"):
        load_run_checkpoint(run.path)


def test_a_lost_manifest_is_not_required(digits_run: RunFolder) -> None:
    digits_run.manifest.unlink()
    content, notices = load_run_checkpoint(digits_run.path)
    assert content["best"]["step"] == content["step"]
    assert "was rebuilt from 2 checkpoint files" in notices[0]


def test_a_custom_network_classifies(make_run: MakeRun, tmp_path: Path) -> None:
    net = tmp_path / "net.py"
    net.write_text(
        "from torch import nn\ndef Net(n):\n    return nn.Sequential(nn.Flatten(), nn.Linear(432, n))\n"
    )
    run = make_run(model={"name": f"{net}:Net"})
    result = next(Classifier.from_run(run.path, device="cpu").predict([save_photo(tmp_path / "a.png")]))
    assert result.error is None and len(result.top) == 3
    net.write_text(net.read_text().replace("432, n", "432, n + 1"))
    with pytest.raises(UserError, match=r"do not fit the model: shapes differ 1\.bias is 3, expected 4"):
        Classifier.from_run(run.path)


def test_many_images_are_classified_in_order_despite_a_bad_one(make_run: MakeRun, tmp_path: Path) -> None:
    paths = [str(save_photo(tmp_path / f"{i}.png", seed=i)) for i in range(70)]
    Path(paths[40]).write_bytes(Path(paths[40]).read_bytes()[:200])
    Path(paths[41]).write_text("no image")
    paths[42] = "file:///etc/passwd"
    updates: list[Progress] = []
    classifier = Classifier.from_run(make_run().path, device="cpu")
    results = list(classifier.predict(paths, 1, updates.append))
    assert [a.path for a in results] == paths
    assert [i for i, a in enumerate(results) if a.error] == [40, 41, 42]
    assert [p.done for p in updates] == [32, 64, 70] and updates[-1].total == 70
    alone = classifier.predict_image(open_image(Path(paths[69])), 1)[0]
    assert results[69].top[0].label == alone.label
    assert results[69].top[0].probability == pytest.approx(alone.probability, abs=1e-6)


def test_classifying_can_be_cancelled(make_run: MakeRun, tmp_path: Path) -> None:
    path = save_photo(tmp_path / "a.png")
    results = Classifier.from_run(make_run().path, device="cpu").predict([path] * 200, cancelled=lambda: True)
    with pytest.raises(Cancelled):
        next(results)


@pytest.mark.parametrize("mode", ["RGB", "L", "P", "CMYK", "RGBA"])
def test_a_published_model_predicts_as_in_the_tutorial(
    published: tuple[Path, torch.nn.Module], tmp_path: Path, mode: str
) -> None:
    transforms = pytest.importorskip("torchvision.transforms")
    weights, module = published
    steps = transforms.Compose([
        transforms.Resize(256), transforms.CenterCrop(224), transforms.ToTensor(),
        transforms.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
    ])  # fmt: skip
    path = save_photo(tmp_path / ("a.tif" if mode == "CMYK" else "a.png"), mode, (400, 300))
    with torch.no_grad():
        wanted = module(steps(Image.open(path).convert("RGB"))[None]).softmax(1)[0]
    classifier = Classifier.from_published("squeezenet1_1", weights, device="cpu")
    found = classifier.classify([open_image(path)])[0]
    torch.testing.assert_close(found, wanted, atol=1e-5, rtol=0)
    assert classifier.classes[258] == "Samoyed" and len(classifier.classes) == 1000


def test_many_large_images_are_classified_in_small_batches_as_if_alone(
    published: tuple[Path, torch.nn.Module], tmp_path: Path
) -> None:
    weights, _ = published
    paths = [str(save_photo(tmp_path / f"{i}.png", size=(300, 240), seed=i)) for i in range(8)]
    classifier = Classifier.from_published("squeezenet1_1", weights, device="cpu")
    together = []
    classifier.module.register_forward_pre_hook(lambda _, inputs: together.append(len(inputs[0])))
    results = [result.top[0] for result in classifier.predict(paths, 1)]
    assert together == [6, 2]
    for path, result in zip(paths, results, strict=True):
        alone = classifier.predict_image(open_image(Path(path)), 1)[0]
        assert (result.index, result.probability) == (alone.index, pytest.approx(alone.probability, abs=1e-6))


def test_a_turned_photo_is_turned_upright_first(
    published: tuple[Path, torch.nn.Module], tmp_path: Path
) -> None:
    upright = Image.open(save_photo(tmp_path / "a.png", size=(300, 200)))
    exif = Image.Exif()
    exif[0x0112] = 6
    upright.transpose(Image.Transpose.ROTATE_90).save(tmp_path / "turned.png", exif=exif)
    classifier = Classifier.from_published("squeezenet1_1", published[0], device="cpu")
    one, other = classifier.classify([upright, open_image(tmp_path / "turned.png")])
    torch.testing.assert_close(one, other)


def test_a_strip_costs_no_gigabytes(published: tuple[Path, torch.nn.Module], tmp_path: Path) -> None:
    path = save_photo(tmp_path / "strip.png", size=(20_000, 1))
    classifier = Classifier.from_published("squeezenet1_1", published[0], device="cpu")
    started = time.monotonic()
    assert next(classifier.predict([path])).error is None
    assert time.monotonic() - started < 5  # a resize of the whole would make 5 million × 256 pixels


def test_a_run_that_can_not_classify_is_one_line(published: tuple[Path, torch.nn.Module]) -> None:
    with pytest.raises(UserError, match="convnet has no published weights"):
        Classifier.from_published("convnet")
    with pytest.raises(UserError, match="do not fit the model"):
        Classifier.from_published("resnet18", published[0])
    with pytest.raises(UserError, match=r"got 2 labels, but .* has 1,000 classes"):
        Classifier.from_published("squeezenet1_1", published[0], labels=["a", "b"])
