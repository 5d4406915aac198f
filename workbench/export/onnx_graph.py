"""Exports the best weights as an ONNX graph that takes raw images, and compares its answers with ours."""

from __future__ import annotations

import importlib
import json
import logging
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import onnx
import onnxscript  # needed by torch's exporter; imported here so that a missing package is reported like onnx
import torch
from torch import Tensor, nn
from torch.nn import functional

from workbench.core.errors import UserError
from workbench.datasets.image_transform import scale_pixels
from workbench.datasets.input_record import InputKind, InputRecord, is_image_shape
from workbench.inference.run_checkpoint import image_input, load_run_model
from workbench.models.outputs import probabilities
from workbench.models.preprocessing import Preprocessing
from workbench.runs.run_folder import RunFolder

OPSET = 18
TOLERANCE = 1e-4
"""The largest difference between answers of the graph and ours, relative to the largest answer (at least 1)."""
_COMPARED = 4
"""Random inputs whose answers are compared."""


class DeployedModel(nn.Module):
    """A module from raw inputs (images: 0 to 255) to probabilities, including the preprocessing."""

    def __init__(
        self, module: nn.Module, preprocessing: Preprocessing, record: InputRecord, classifies: bool
    ) -> None:
        super().__init__()
        self.module = module
        self._preprocessing, self._record, self._classifies = preprocessing, record, classifies

    def forward(self, inputs: Tensor) -> Tensor:
        """float32 [N, outputs] from raw inputs [N, ...] (uint8 for images, else float32)."""
        record = self._record
        raw = scale_pixels(inputs, record.scale, record.offset) if record.scale else inputs
        outputs: Tensor = self.module(self._preprocessing(raw, torch.device("cpu")))
        return probabilities(self.module, outputs) if self._classifies else outputs


class ExportablePreprocessing(Preprocessing):
    """Resizes by products with constant matrices: ONNX weighs the borders of antialiased images otherwise."""

    def _resize(self, x: Tensor) -> Tensor:
        assert self.size is not None
        rows, columns = (resize_matrix(x.shape[2 + axis], self.size[axis]) for axis in (0, 1))
        return rows @ x @ columns.T


def resize_matrix(before: int, after: int) -> Tensor:
    """float32 [after, before]: the weights by which torch resizes a line (bilinear, antialiased)."""
    identity = torch.eye(before)[None, None]
    resized = functional.interpolate(
        identity, (after, before), mode="bilinear", align_corners=False, antialias=True
    )
    return resized[0, 0]


def write(folder: RunFolder, target: Path) -> None:
    """Write a graph with a dynamic batch dimension, with classes, task and input in its metadata.

    Raises `UserError` where it is not known how images become inputs, or the answers of the graph differ from ours.
    """
    model = load_run_model(folder.path)
    spec, record = model.spec, image_input(model)
    preprocessing = ExportablePreprocessing.from_dict(spec.preprocessing.to_dict())
    deployed = DeployedModel(model.module, preprocessing, record, spec.task == "classification").eval()
    takes_pixels = is_image_shape(spec.shape) and record.is_affine and record.kind is not InputKind.VALUES
    examples = _examples(spec.shape, takes_pixels, record)
    logging.getLogger(onnxscript.__name__).setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            deployed, (examples[:2],), target, opset_version=OPSET, dynamo=True, external_data=False, verbose=False,
            input_names=["inputs"], output_names=["outputs"], dynamic_shapes={"inputs": {0: torch.export.Dim("n")}},
        )  # fmt: skip
    graph = onnx.load(target)
    metadata = {
        "classes": json.dumps(spec.classes),
        "task": spec.task,
        "input": json.dumps(msgspec.to_builtins(record)),
    }
    onnx.helper.set_model_props(graph, metadata)
    onnx.save(graph, target)
    ours = DeployedModel(model.module, spec.preprocessing, record, spec.task == "classification").eval()
    with torch.inference_mode():
        expected = ours(examples).numpy()
    try:
        check_answers(_run_graph(target)(examples.numpy()), expected)
    except UserError:
        target.unlink(missing_ok=True)
        raise


def _examples(shape: tuple[int, ...], takes_pixels: bool, record: InputRecord) -> Tensor:
    """Random raw inputs [4, *shape] in the range of the training inputs."""
    generator = torch.Generator().manual_seed(0)
    if takes_pixels:
        return torch.randint(0, 256, (_COMPARED, *shape), generator=generator, dtype=torch.uint8)
    low, high = (record.low or 0.0, record.high or 0.0) if record.high != record.low else (0.0, 1.0)
    return torch.rand(_COMPARED, *shape, generator=generator) * (high - low) + low


def _run_graph(target: Path) -> Callable[[np.ndarray], np.ndarray]:
    """A function that runs the graph: by onnxruntime if it is installed, else by onnx's own slower evaluator."""
    try:
        runtime: Any = importlib.import_module("onnxruntime")
    except ImportError:
        session: Any = importlib.import_module("onnx.reference").ReferenceEvaluator(str(target))
    else:
        session = runtime.InferenceSession(str(target), providers=["CPUExecutionProvider"])

    def run(inputs: np.ndarray) -> np.ndarray:
        outputs: np.ndarray = session.run(None, {"inputs": inputs})[0]
        return outputs

    return run


def check_answers(answers: np.ndarray, expected: np.ndarray) -> None:
    """Raise `UserError` where the answers of the graph differ from ours."""
    difference = float(np.abs(answers - expected).max()) if answers.shape == expected.shape else np.inf
    if not difference <= TOLERANCE * max(1.0, float(np.abs(expected).max())):
        raise UserError(
            f"the ONNX graph answers otherwise than the run (largest difference {difference:.2g}), so nothing was "
            "written; export --format pytorch keeps the weights"
        )
