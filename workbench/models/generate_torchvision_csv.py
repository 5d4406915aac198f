"""Generates the catalog's table of torchvision's architectures, `torchvision.csv`, and `torchvision_shapes.json.xz`.

`python -m workbench.models.generate_torchvision_csv` rewrites both for the installed version of torchvision.
"""

from __future__ import annotations

import csv
import importlib
import lzma
import re
from pathlib import Path
from typing import Any

import msgspec

from workbench.core.settings_schema import Choice
from workbench.models import catalog
from workbench.models.factory import OnMeta, build_shapes
from workbench.models.weights_check import SHAPES, Architecture
from workbench.models.weights_file import head_names

TABLE = Path(__file__).with_name("torchvision.csv")
COLUMNS = ("name", "title", "input_size", "resize_size", "min_size", "parameters", "weights_file",
           "weights_bytes", "accuracy", "interpolation")  # fmt: skip

MEASURED_COLUMNS = ("body_parameters", "class_parameters")
"""The parameters of a model that is trained here, without those of its head, and those of the head for each class."""


def measured_parameters(name: str) -> dict[str, str]:
    """The measured columns of an architecture, which is built without memory for its weights."""
    models = importlib.import_module("torchvision").models
    extra = {"init_weights": False, "aux_logits": False} if name in {"googlenet", "inception_v3"} else {}
    with OnMeta():
        one, two = (
            sum(p.numel() for p in models.get_model(name, num_classes=count, **extra).parameters())
            for count in (1, 2)
        )
    return dict(zip(MEASURED_COLUMNS, (str(2 * one - two), str(two - one)), strict=True))


def registry_rows() -> list[dict[str, str]]:
    """A row of strings for every classification architecture of the installed torchvision, by name."""
    models = importlib.import_module("torchvision").models
    return [
        _row(name, models.get_model_weights(name).DEFAULT, models.get_model_builder(name))
        for name in models.list_models(module=models)
    ]


def _row(name: str, weights: Any, builder: Any) -> dict[str, str]:
    transforms, meta = weights.transforms(), weights.meta
    values = (
        name,
        _title(builder.__doc__ or name),
        transforms.crop_size[0],
        transforms.resize_size[0],
        meta["min_size"][0],
        meta["num_params"],
        weights.url.rpartition("/")[2],
        round(meta["_file_size"] * 2**20),
        meta["_metrics"]["ImageNet-1K"]["acc@1"],
        transforms.interpolation.value,
    )
    return dict(zip(COLUMNS, map(str, values), strict=True))


def _title(documentation: str) -> str:
    """The first sentence of a builder's docstring, without markup."""
    paragraph = " ".join(documentation.strip().split("\n\n")[0].split())
    plain = re.sub(r"\s*<https?:[^>]*>`_*", "", paragraph).replace("`", "").replace("_ ", " ")
    plain = re.sub(r"^Constructs an? | (model )?(architecture|model)(?= from| with|$)| paper$", "", plain)
    return re.split(r"\.(?:\s|$)", plain.replace("from the ", "from "))[0].removesuffix(" paper").strip()


def write_table(path: Path = TABLE) -> None:
    """Write the table for the installed torchvision."""
    rows = [row | measured_parameters(row["name"]) for row in registry_rows()]
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, [*COLUMNS, *MEASURED_COLUMNS], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def architecture_shapes(name: str) -> Architecture:
    """The head of an architecture, and the shapes of its tensors as built for ImageNet, without batch counters."""
    size = catalog.find(name).input_size or 224
    choice = Choice(name, {"pretrained": True})
    module = build_shapes(choice, shape=(3, size, size), outputs=1000, task="classification").module
    shapes = {key: tuple(tensor.shape) for key, tensor in module.state_dict().items()}
    kept = {key: shape for key, shape in shapes.items() if not key.endswith("num_batches_tracked")}
    return Architecture(head_names(module), kept)


def write_shapes(path: Path = SHAPES) -> None:
    """Write the shapes of the tensors of every architecture."""
    names = [row["name"] for row in registry_rows()]
    content = msgspec.json.encode({name: architecture_shapes(name) for name in names})
    path.write_bytes(lzma.compress(content, preset=9))


if __name__ == "__main__":
    write_table()
    write_shapes()
