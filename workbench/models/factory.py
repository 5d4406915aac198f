"""From a choice in an experiment to a module that fits the data, or one line that says why it can't."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from workbench.core.errors import BadInput
from workbench.core.progress import Cancelled, Report, never, silent
from workbench.core.settings_schema import Choice
from workbench.core.text import one_line
from workbench.core.user_code import is_user_code, where_it_failed
from workbench.datasets.dataset import Split
from workbench.models import catalog, torchvision_models
from workbench.models import user_model as own
from workbench.models.preprocessing import Preprocessing


@dataclass(frozen=True)
class BuiltModel:
    """A module and what it wants to be fed with.

    `preprocessing_size`: the square that pictures are resized to, `None`: as they are. `channels`: 3 where the
    model takes RGB only, else `None`. `head`: name prefixes of the parameters that are the head (they alone
    learn in `freeze_epochs`). `mean`, `std`: normalisation that pretrained weights ask for; empty: the dataset's.
    `notices`: warnings in words (NaN weights).
    """

    module: nn.Module
    preprocessing_size: int | None
    channels: int | None
    head: tuple[str, ...]
    pretrained: bool
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    notices: tuple[str, ...] = ()

    def preprocessing(
        self, mean: Sequence[float] = (), std: Sequence[float] = (), normalize: str = "auto"
    ) -> Preprocessing:
        """What goes in front of the module, for a dataset with this `mean` and `std`.

        `normalize` is `train.normalize`: `half` brings 0..1 to -1..1, `none` leaves it.
        """
        if normalize == "auto":
            mean, std = (self.mean, self.std) if self.mean else (mean, std)
        else:
            mean, std = {"half": ((0.5,), (0.5,)), "none": ((), ())}[normalize]
        return Preprocessing(self.preprocessing_size, self.channels, mean, std)


def build_model(
    choice: Choice,
    *,
    shape: tuple[int, ...],
    outputs: int,
    task: str,
    load: bool = True,
    progress: Report = silent,
    cancelled: Cancelled = never,
) -> BuiltModel:
    """The model of `choice` for raw inputs of `shape` (C, H, W, or anything for models that take no pictures).

    `load=False` leaves out pretrained weights, for a model that gets a checkpoint's. The caller seeds. Raises
    `BadInput` with one line when model and data can't go together or weights can't be had.
    """
    info = catalog.find(choice.name)
    if task not in info.tasks:
        raise BadInput(f"{info.name} can't learn a {task}: it does {' or '.join(info.tasks)}")
    if info.pictures_only and len(shape) != 3:
        raise BadInput(
            f"{info.name} takes pictures, the data has inputs of shape {list(shape)}: try mlp or linear"
        )
    size = info.size_for(choice.options, shape)
    if info.kind == "own":
        module = own.build(info.name, shape, outputs, choice.options)
        return BuiltModel(module, None, None, torchvision_models.last_layer(module), pretrained=False)
    if info.kind == "torchvision":
        return _torchvision(info, choice, outputs, size, torchvision_models.Door(load, progress, cancelled))
    prepared = Preprocessing(size).output_shape(shape)
    module_name, _, function = info.factory.partition(":")
    architecture = importlib.import_module(f"workbench.models.architectures.{module_name}")
    module = getattr(architecture, function)(prepared, outputs, **_given(choice))
    head = ("head",) if hasattr(module, "head") else ()
    return BuiltModel(module, size, None, head, pretrained=False)


def _given(choice: Choice) -> dict[str, object]:
    return {key: tuple(value) if isinstance(value, list) else value for key, value in choice.options.items()}


def _torchvision(
    info: catalog.ModelInfo, choice: Choice, outputs: int, size: int | None, door: torchvision_models.Door
) -> BuiltModel:
    module, pretrained, notices = torchvision_models.make(info, outputs, choice.options, size, door)
    mean, std = torchvision_models.normalisation(info.name) if pretrained else ((), ())
    return BuiltModel(module, size, 3, torchvision_models.last_layer(module), pretrained, mean, std, notices)


def build_shapes(choice: Choice, *, shape: tuple[int, ...], outputs: int, task: str) -> BuiltModel:
    """`build_model` without values ("meta"): shapes and numbers of parameters only, in no time and no memory."""
    with _OnMeta():
        built = build_model(choice, shape=shape, outputs=outputs, task=task, load=False)
    built.module.to("meta")
    return built


class _OnMeta(torch.overrides.TorchFunctionMode):
    """Takes away the memory of new parameters only; some builders compute with other tensors on their way."""

    def __torch_function__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        kwargs = dict(kwargs or {})
        if func is torch.empty and kwargs.get("device") is None:
            kwargs["device"] = "meta"
        return func(*args, **kwargs)


BEGIN_FROM = 5000


def begin_from(module: nn.Module, preprocessing: Preprocessing, data: Split) -> None:
    """Let a module that has a method `begin_from(inputs)` set itself up from training data, before the first step.

    It gets at most 5,000 evenly spaced examples as the model takes them, float32 on the CPU.
    """
    begin = getattr(module, "begin_from", None)
    if callable(begin):
        chosen = torch.linspace(0, len(data) - 1, min(len(data), BEGIN_FROM)).long()
        begin(preprocessing(data.examples(chosen)))


def check_forward(
    built: BuiltModel,
    preprocessing: Preprocessing,
    example_inputs: Tensor,
    outputs: int,
    name: str = "the model",
) -> None:
    """Run a few raw examples through the model; `BadInput` in one line when that fails or gives wrong outputs.

    `example_inputs`: raw, [N, ...]; two are enough. Nothing that learns or counts changes; random states are
    left as they were.
    """
    module, training = built.module, built.module.training
    device = next((p.device for p in module.parameters()), torch.device("cpu"))
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        module.eval()
        try:
            result = module(preprocessing(example_inputs, device))
        except Exception as error:
            raise BadInput(_why_not(name, preprocessing, example_inputs, error)) from None
        finally:
            module.train(training)
    _check_outputs(result, len(example_inputs), outputs, name)


def _why_not(name: str, preprocessing: Preprocessing, inputs: Tensor, error: Exception) -> str:
    shape = list(preprocessing.output_shape(inputs.shape[1:]))
    own = Path(name.rpartition(":")[0])
    reason = where_it_failed(error, own) if is_user_code(name) else one_line(error)
    return f"{name} can't take inputs of shape {shape}: {reason}; choose another model or size"


def _check_outputs(result: object, count: int, outputs: int, name: str) -> None:
    if not isinstance(result, Tensor):
        raise BadInput(f"{name} must return a tensor [batch, {outputs}], not {type(result).__name__}")
    good = result.shape == (count, outputs) or (outputs == 1 and result.shape == (count,))
    if not good:
        raise BadInput(
            f"{name} returns {list(result.shape)} for a batch of {count}; the data needs [{count}, {outputs}]: "
            "make its last layer fit the classes"
        )
