"""Exports the best weights as an ONNX graph that takes raw images."""

from __future__ import annotations

import json
import logging
import warnings
from pathlib import Path

import onnx
import onnxscript  # needed by torch's exporter; imported here so that a missing package is reported like onnx
import torch
from torch import Tensor, nn

from workbench.inference.run_checkpoint import build_from_spec, load_run_checkpoint
from workbench.io.torch_files import load_into
from workbench.models.outputs import probabilities
from workbench.models.preprocessing import Preprocessing
from workbench.runs.run_folder import RunFolder
from workbench.worker.checkpoint_content import ModelSpec

OPSET = 18


class DeployedModel(nn.Module):
    """A module from raw inputs (images: 0 to 255) to probabilities, including the preprocessing."""

    def __init__(self, module: nn.Module, preprocessing: Preprocessing, classifies: bool) -> None:
        super().__init__()
        self.module = module
        self._preprocessing, self._classifies = preprocessing, classifies

    def forward(self, inputs: Tensor) -> Tensor:
        """float32 [N, outputs] from raw inputs [N, ...] (uint8 for images, else float32)."""
        outputs: Tensor = self.module(self._preprocessing(inputs, torch.device("cpu")))
        return probabilities(self.module, outputs) if self._classifies else outputs


def write(folder: RunFolder, target: Path) -> None:
    """Write a graph with a dynamic batch dimension, and classes and task in its metadata."""
    content, _ = load_run_checkpoint(folder.path)
    spec = ModelSpec.from_json(content["spec"])
    module = build_from_spec(spec)
    load_into(module, content["model"], f"{folder.id}'s checkpoint")
    deployed = DeployedModel(module, spec.preprocessing, spec.task == "classification").eval()
    example = torch.zeros(2, *spec.shape, dtype=torch.uint8 if len(spec.shape) == 3 else torch.float32)
    logging.getLogger(onnxscript.__name__).setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            deployed, (example,), target, opset_version=OPSET, dynamo=True, external_data=False, verbose=False,
            input_names=["inputs"], output_names=["outputs"], dynamic_shapes={"inputs": {0: torch.export.Dim("n")}},
        )  # fmt: skip
    graph = onnx.load(target)
    onnx.helper.set_model_props(graph, {"classes": json.dumps(spec.classes), "task": spec.task})
    onnx.save(graph, target)
