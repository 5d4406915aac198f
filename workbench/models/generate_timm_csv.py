"""Generates the catalog's table of timm's pretrained models, `timm.csv`.

`python -m workbench.models.generate_timm_csv results-imagenet.csv` rewrites it for the installed version of timm. The
file is that of timm's own repository (`results/`), which publishes the accuracies; parameters and multiplications are
counted here.
"""

from __future__ import annotations

import csv
import importlib
import math
import sys
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch.utils.flop_counter import FlopCounterMode

TABLE = Path(__file__).with_name("timm.csv")
COLUMNS = ("name", "input_size", "resize_size", "interpolation", "fixed_size", "body_parameters", "class_parameters",
           "classes", "gmacs", "accuracy", "source")  # fmt: skip


class Architecture(NamedTuple):
    """What all weights of an architecture have in common."""

    body_parameters: int
    class_parameters: int
    """Parameters of the head for each class."""


@cache
def _architecture(name: str) -> Architecture:
    one, two = (sum(p.numel() for p in _on_meta(name, classes).parameters()) for classes in (1, 2))
    return Architecture(2 * one - two, two - one)


def _on_meta(name: str, classes: int) -> Any:
    with torch.device("meta"):
        return (
            importlib.import_module("timm").create_model(name, pretrained=False, num_classes=classes).eval()
        )


@cache
def _gmacs(name: str, size: int) -> str:
    """Billions of multiplications for one image; empty where they can't be counted without memory for weights."""
    module = _on_meta(name, 1000)
    try:
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            module(torch.zeros(1, 3, size, size, device="meta"))
    except Exception:
        return ""
    return f"{counter.get_total_flops() / 2e9:.3g}"


def _row(name: str, config: Any, published: Mapping[str, Mapping[str, str]]) -> dict[str, str]:
    architecture = _architecture(config.architecture)
    source = config.hf_hub_id or config.url
    values = (
        f"timm:{name}",
        config.input_size[-1],
        math.floor(config.input_size[-1] / config.crop_pct),
        config.interpolation,
        int(config.fixed_input_size),
        architecture.body_parameters,
        architecture.class_parameters,
        config.num_classes if _subset(config) else 0,
        _gmacs(config.architecture, config.input_size[-1]),
        published.get(name, {}).get("top1", ""),
        "" if source == f"timm/{name}" else source,
    )
    return dict(zip(COLUMNS, map(str, values), strict=True))


def _subset(config: Any) -> str | None:
    """The part of ImageNet whose classes the weights predict; `None` for features and embeddings."""
    subset: str | None = importlib.import_module("timm.data").infer_imagenet_subset(config.to_dict())
    return subset


def write_table(results: Path, path: Path = TABLE) -> None:
    """Write the table for the installed timm, with the published accuracies in `results`.

    The weights that timm takes by default for an architecture stand before its others.
    """
    with results.open(newline="", encoding="utf-8") as file:
        published = {row["model"]: row for row in csv.DictReader(file)}
    models = importlib.import_module("timm.models")
    names = [
        name for name in models.list_models(pretrained=True)
        if models.get_pretrained_cfg(name).input_size[0] == 3
    ]  # fmt: skip
    first = {model: models.get_pretrained_cfg(model).tag for model in models.list_models()}
    names.sort(
        key=lambda name: (
            name.partition(".")[0],
            name.partition(".")[2] != first[name.partition(".")[0]],
            name,
        )
    )
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        for name in names:
            writer.writerow(_row(name, models.get_pretrained_cfg(name), published))
            file.flush()


if __name__ == "__main__":
    write_table(Path(sys.argv[1]))
