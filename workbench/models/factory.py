"""Builds the model of an experiment for the shape and the classes of its data."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from workbench.core.errors import UserError
from workbench.core.paths import expand_user_path
from workbench.core.progress import CancelCheck, ProgressCallback, ignore_progress, never_cancelled
from workbench.core.settings_schema import Choice
from workbench.core.text import one_line, plural
from workbench.core.user_code import describe_user_code_error, is_user_code
from workbench.datasets.dataset import Split
from workbench.models import catalog, published, user_model
from workbench.models.loaded_weights import LoadedWeights
from workbench.models.module_state import trial_mode
from workbench.models.preprocessing import Preprocessing
from workbench.models.pretrained_weights import WeightsLoading, WeightsRequest
from workbench.models.weights_file import head_names, load_weights_file
from workbench.system.memory import is_out_of_memory


@dataclass(frozen=True)
class BuiltModel:
    """A module and the preprocessing that it expects.

    `preprocessing_size`: side of the square that images are resized to; `None`: unchanged. `channels`: 3 if the model
    takes RGB only, else `None`. `head`: name prefixes of the parameters of the head, which alone are trained during
    `freeze_epochs`. `mean`, `std`: the normalization that pretrained weights require; empty: that of the dataset.
    `notices`: what the user should know (weights that were left out). `weights`: the pretrained weights
    that were loaded.
    """

    module: nn.Module
    preprocessing_size: int | None
    channels: int | None
    head: tuple[str, ...]
    pretrained: bool
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    notices: tuple[str, ...] = ()
    weights: LoadedWeights | None = None

    def preprocessing(
        self, mean: Sequence[float] = (), std: Sequence[float] = (), normalize: str = "auto"
    ) -> Preprocessing:
        """The preprocessing of this model for a dataset with this `mean` and `std`.

        `normalize` is `train.normalize`: `half` maps 0..1 to -1..1, `none` leaves 0..1.
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
    progress: ProgressCallback = ignore_progress,
    cancelled: CancelCheck = never_cancelled,
) -> BuiltModel:
    """Build the model `choice` for raw inputs of `shape` (C, H, W, or any shape for models that take other data).

    `load=False` skips pretrained weights, for a model that is loaded from a checkpoint. The caller sets the random
    seed. Raises `UserError` with one line if the model does not fit the data or weights are not available.
    """
    info = catalog.find(choice.name)
    if task not in info.tasks:
        raise UserError(f"{info.name} does not support {task}, only {' and '.join(info.tasks)}")
    if info.images_only and len(shape) != 3:
        raise UserError(
            f"{info.name} takes images, but the inputs of the data have the shape {list(shape)}: try mlp or linear"
            f"{', or make images of one channel of them (x[:, None])' if len(shape) == 2 else ''}"
        )
    size = info.size_for(choice.options, shape)
    if info.kind == "custom":
        return _custom(choice, shape, outputs, load=load)
    if info.published:
        return _published(info, choice, outputs, size, WeightsLoading(load, progress, cancelled))
    input_shape = Preprocessing(size).output_shape(shape)
    module_name, _, function = info.factory.partition(":")
    architecture = importlib.import_module(f"workbench.models.architectures.{module_name}")
    module = getattr(architecture, function)(input_shape, outputs, **_keyword_arguments(choice))
    head = ("head",) if hasattr(module, "head") else ()
    return BuiltModel(module, size, None, head, pretrained=False)


def _custom(choice: Choice, shape: tuple[int, ...], outputs: int, *, load: bool) -> BuiltModel:
    module, file = user_model.build(choice.name, shape, outputs, choice.options)
    weights = load_weights_file(module, expand_user_path(file)) if file and load else None
    return BuiltModel(
        module,
        None,
        None,
        head_names(module),
        pretrained=bool(file),
        notices=(weights.describe(),) if weights else (),
        weights=weights,
    )


def _keyword_arguments(choice: Choice) -> dict[str, object]:
    return {key: tuple(value) if isinstance(value, list) else value for key, value in choice.options.items()}


def _published(
    info: catalog.ModelInfo, choice: Choice, outputs: int, size: int | None, loading: WeightsLoading
) -> BuiltModel:
    library, file = published.library(info), str(choice.options.get("weights", ""))
    pretrained = bool(choice.options.get("pretrained", True) or file)
    if pretrained and loading.enabled:
        request = WeightsRequest(file, loading=loading)
        module, weights = library.build_pretrained(info, outputs, size, request)
        notices = (weights.describe(),) if file else ()
    else:
        module, weights, notices = library.build(info, outputs, size=size, pretrained=pretrained), None, ()
    mean, std = library.normalization(info) if pretrained else ((), ())
    return BuiltModel(
        module, size, info.channels, library.head_of(info, module), pretrained, mean, std, notices, weights
    )


def build_shapes(choice: Choice, *, shape: tuple[int, ...], outputs: int, task: str) -> BuiltModel:
    """Like `build_model`, but on the meta device: shapes and parameter counts only, without memory or time."""
    with OnMeta():
        built = build_model(choice, shape=shape, outputs=outputs, task=task, load=False)
    built.module.to("meta")
    return built


class OnMeta(torch.overrides.TorchFunctionMode):
    """Puts new parameters on the meta device, but no other tensors: some builders compute with those."""

    def __torch_function__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        kwargs = dict(kwargs or {})
        if func is torch.empty and kwargs.get("device") is None:
            kwargs["device"] = "meta"
        return func(*args, **kwargs)


INIT_SAMPLES = 5000


def data_dependent_init(module: nn.Module, preprocessing: Preprocessing, data: Split) -> None:
    """Call the method `begin_from(inputs)` of a module, if it has one, to initialize it from training data.

    `inputs` are at most 5,000 evenly spaced, preprocessed samples, float32 on the CPU.
    """
    initialize = getattr(module, "begin_from", None)
    if callable(initialize):
        indices = torch.linspace(0, len(data) - 1, min(len(data), INIT_SAMPLES)).long()
        initialize(preprocessing(data.centers(indices)))


def check_forward(
    built: BuiltModel,
    preprocessing: Preprocessing,
    example_inputs: Tensor,
    outputs: int,
    name: str = "the model",
) -> None:
    """Run a few raw inputs through the model; raises `UserError` if that fails or the outputs have a wrong shape.

    `example_inputs`: raw, [N, ...]; two are enough. A custom model is also run on a single one, as `classify` does and
    as the last batch may be, and in training mode, where it may compute something else (auxiliary heads). Parameters,
    buffers and random states are unchanged.
    """
    result = _forward(built.module, False, preprocessing, example_inputs, name)
    _check_outputs(result, len(example_inputs), outputs, name)
    if not is_user_code(name):
        return
    result = _forward(built.module, False, preprocessing, example_inputs[:1], name)
    _check_outputs(result, 1, outputs, name)
    try:
        result = _forward(built.module, True, preprocessing, example_inputs, name)
    except (RuntimeError, MemoryError) as error:
        if is_out_of_memory(error):
            return  # training itself reports it, with a batch size that fits
        raise
    _check_outputs(result, len(example_inputs), outputs, f"{name} in training mode")


def _forward(
    module: nn.Module, training: bool, preprocessing: Preprocessing, example_inputs: Tensor, name: str
) -> object:
    """What the module returns in a mode. Raises `UserError`."""
    device = next((p.device for p in module.parameters()), torch.device("cpu"))
    with trial_mode(module, training=training), torch.no_grad():
        try:
            return module(preprocessing(example_inputs, device))
        except Exception as error:
            if is_out_of_memory(error):
                raise
            raise UserError(_forward_error(name, preprocessing, example_inputs, error)) from None


def supports_channels_last(module: nn.Module, inputs: Tensor) -> bool:
    """Whether a module computes images in the channels-last memory format, as custom code with `x.view(…)` can't.

    `inputs`: model inputs on the device of the module; other inputs than images [N, C, H, W] have no such format.
    Parameters, buffers and random states are unchanged.
    """
    if inputs.ndim != 4:
        return False
    training = module.training
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        try:
            module.eval().to(memory_format=torch.channels_last)
            module(inputs.contiguous(memory_format=torch.channels_last))
            return True
        except Exception:
            return False
        finally:
            module.train(training).to(memory_format=torch.contiguous_format)


def _forward_error(name: str, preprocessing: Preprocessing, inputs: Tensor, error: Exception) -> str:
    shape = list(preprocessing.output_shape(inputs.shape[1:]))
    file = Path(name.rpartition(":")[0])
    reason = describe_user_code_error(error, file) if is_user_code(name) else one_line(error)
    what = "a single input" if len(inputs) == 1 else "inputs"
    return f"{name} does not accept {what} of shape {shape}: {reason}; choose another model or size"


def _check_outputs(result: object, count: int, outputs: int, name: str) -> None:
    if not isinstance(result, Tensor):
        raise UserError(
            f"{name} returns {_describe(result)}: it must return a tensor [batch, {outputs}], the logits"
        )
    if not result.is_floating_point():
        raise UserError(
            f"{name} returns {str(result.dtype).removeprefix('torch.')} values: it must return the logits, floats"
        )
    valid = result.shape == (count, outputs) or (outputs == 1 and result.shape == (count,))
    if not valid:
        lost_batch = count == 1 and result.shape in {(), (outputs,)}
        mend = (
            "squeeze() also removes the dimension of the batch, use flatten(1)"
            if lost_batch
            else "change the size of its last layer"
        )
        raise UserError(
            f"{name} returns {list(result.shape)} for a batch of {count}; the data needs [{count}, {outputs}]: {mend}"
        )


def _describe(result: object) -> str:
    """`a tuple of 2 values`."""
    count = f" of {plural(len(result), 'value')}" if isinstance(result, (tuple, list, dict)) else ""
    return f"a {type(result).__name__}{count}" if result is not None else "nothing (None)"
