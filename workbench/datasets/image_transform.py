"""How images become the inputs of a custom dataset: found on it or declared by the user, checked and repeated later."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from workbench.core.errors import UserError
from workbench.core.settings_schema import Options
from workbench.core.text import one_line
from workbench.core.user_code import describe_user_code_error, load_object, user_code_file
from workbench.datasets.input_record import (
    IMAGE_CHANNELS,
    InputKind,
    InputRecord,
    StepArgument,
    TransformStep,
    is_image_shape,
    unknown_input_message,
)

ImageFunction = Callable[[Image.Image], Any]
"""An image (RGB or L) → an input: a tensor or an array."""

PREPROCESS = "preprocess"
"""The attribute of a user's function that makes an input of an image."""
_WRAPPED = ("dataset", "subset", "base_dataset")
"""Attributes of datasets that wrap another one (torch's `Subset` has `dataset`)."""
_ARGUMENTS: Mapping[str, Sequence[str]] = {
    "Resize": ("size", "interpolation", "max_size", "antialias"),
    "CenterCrop": ("size",),
    "Grayscale": ("num_output_channels",),
    "ToTensor": (),
    "PILToTensor": (),
    "ToImage": (),
    "ToPureTensor": (),
    "ConvertImageDtype": ("dtype",),
    "ToDtype": ("dtype", "scale"),
    "Normalize": ("mean", "std"),
    "ImageClassification": ("crop_size", "resize_size", "mean", "std", "interpolation", "antialias"),
}
"""torchvision's transforms that always return the same, and the attributes that are their arguments."""
_PRESET = "ImageClassification"
_CHECKED_SAMPLES = 500
_AFFINE_TOLERANCE = 1e-5
_PIXEL_TOLERANCE = 0.02
_GRAYS = (0, 51, 128, 255)


def wrapped_datasets(dataset: Any) -> Iterator[Any]:
    """A torch Dataset, then those that it wraps, the outermost first."""
    seen: set[int] = set()
    while dataset is not None and id(dataset) not in seen:
        seen.add(id(dataset))
        yield dataset
        several = getattr(dataset, "datasets", None)
        first = several[0] if isinstance(several, (list, tuple)) and several else None
        dataset = next(
            (inner for name in _WRAPPED if (inner := getattr(dataset, name, None)) is not None), first
        )


def find_transforms(dataset: Any) -> list[Any]:
    """The transforms that a torch Dataset applies to its images, the first one first, also of datasets it wraps."""
    chain: list[Any] = []
    for one in wrapped_datasets(dataset):
        found = getattr(one, "transform", None)
        if found is None:
            joint = getattr(one, "transforms", None)
            found = getattr(joint, "transform", joint)
        if callable(found):
            chain.insert(0, found)
    return chain


def record_input(
    train: Tensor,
    test: Tensor,
    declared: Any,
    found: Sequence[Any],
    code: str,
    *,
    is_declared: bool,
    is_loadable: bool,
) -> tuple[InputRecord, list[str]]:
    """The record of raw inputs, and notices for the user.

    `declared`: the user's `preprocess` where `is_declared`, and whether `code` still has it in another process
    (`is_loadable`). `found`: the transforms of the test dataset. Raises `UserError` where `declared` can't have made
    the inputs.
    """
    shape = tuple(train.shape[1:])
    if train.dtype == torch.uint8 and not is_declared:
        return InputRecord(code=code), []
    low, high = range_of(train)
    record = InputRecord(
        kind=InputKind.VALUES, dtype=str(train.dtype).removeprefix("torch."), low=low, high=high, code=code
    )
    if (is_declared and declared is None) or not is_image_shape(shape):
        return record, []
    if is_declared:
        return _declared_record(record, declared, shape, test, is_loadable)
    found_record, problem = _found_record(record, found, shape, test)
    if found_record is not None:
        return found_record, []
    record = _replace(record, kind=InputKind.UNKNOWN, reason=problem)
    return record, [f"images can't be classified later: {unknown_input_message(record)}"]


def default_input(inputs: Tensor) -> InputRecord:
    """The record of inputs that a loader gave without one: float images are of an unknown kind."""
    if inputs.dtype == torch.uint8:
        return InputRecord()
    low, high = range_of(inputs)
    kind = InputKind.UNKNOWN if is_image_shape(inputs.shape[1:]) else InputKind.VALUES
    return InputRecord(kind=kind, dtype="float32", low=low, high=high)


def tell_input(record: InputRecord, shape: Sequence[int]) -> InputRecord:
    """A record of a known kind: of an unknown one, with the `preprocess` that the user has added since the training.

    Imports the user's file. Raises `UserError` where there still is none, or where it can't have made the inputs.
    """
    if record.kind is not InputKind.UNKNOWN:
        return record
    if not record.code:
        raise UserError(unknown_input_message(record))
    function = load_object(record.code)
    if not hasattr(function, PREPROCESS):
        raise UserError(unknown_input_message(record))
    declared = getattr(function, PREPROCESS)
    if declared is None:
        return _replace(record, kind=InputKind.VALUES)
    return _declared_record(_replace(record, reason=""), declared, shape, None, True)[0]


def image_function(record: InputRecord) -> ImageFunction:
    """The function that `record` describes, of the kinds `transforms` and `code`. Raises `UserError`."""
    if record.kind is InputKind.TRANSFORMS:
        return compose_transforms([_build(step) for step in record.steps])
    declared: ImageFunction | None = getattr(load_object(record.code), PREPROCESS, None)
    if not callable(declared):
        raise UserError(unknown_input_message(record))
    return declared


def apply_function(function: ImageFunction, image: Image.Image, code: str) -> Tensor:
    """An input [C, H, W], uint8 or float32, of an image. Raises `UserError` where the function fails."""
    try:
        values = as_input(function(image))
    except (Exception, SystemExit) as error:
        where = describe_user_code_error(error, user_code_file(code)) if code else one_line(error)
        raise UserError(
            f"{PREPROCESS} fails on an image of {image.size[0]}×{image.size[1]}: {where}"
        ) from None
    return values if values.dtype == torch.uint8 else values.detach().to(torch.float32)


def as_input(value: Any) -> Tensor:
    """What a function returned for an image, as a tensor [C, H, W]: also of [H, W], [H, W, C] and a batch of one."""
    values = torch.as_tensor(np.array(value) if isinstance(value, Image.Image) else value)
    if values.ndim == 4 and len(values) == 1:
        values = values[0]
    if values.ndim == 2:
        return values.unsqueeze(0)
    if values.ndim == 3 and values.shape[0] not in IMAGE_CHANNELS and values.shape[2] in IMAGE_CHANNELS:
        return values.permute(2, 0, 1).contiguous()
    return values


def resizes_itself(function: ImageFunction, shape: Sequence[int], mode: str) -> bool:
    """Whether a function gives inputs of `shape` for images of any size and shape."""
    return makes_shape(function, (2 * shape[2] + 3, 2 * shape[1] + 6), shape, mode)


def makes_shape(function: ImageFunction, size: tuple[int, int], shape: Sequence[int], mode: str) -> bool:
    """Whether a function gives inputs of `shape` for images of `size` (width, height)."""
    try:
        return tuple(as_input(function(Image.new(mode, size))).shape) == tuple(shape)
    except (Exception, SystemExit):
        return False


def scale_pixels(pixels: Tensor, scale: Sequence[float], offset: Sequence[float]) -> Tensor:
    """float32 inputs [N, C, H, W] of pixels [N, C, H, W]."""
    factor, shift = (torch.tensor(v, dtype=torch.float32, device=pixels.device).view(1, -1, 1, 1)
                     for v in (scale, offset))  # fmt: skip
    return pixels.float() * factor + shift


def to_pixels(inputs: Tensor, record: InputRecord) -> Tensor | None:
    """uint8 pixels [C, H, W] of an input, the inverse of `scale_pixels`; `None` where it is not known."""
    if inputs.dtype == torch.uint8:
        return inputs
    if not record.scale:
        return None
    return _unscale(inputs[None], record.scale, record.offset)[0].round().clamp(0, 255).to(torch.uint8)


def input_mode(record: InputRecord, channels: int) -> str:
    """The mode of the images that inputs are made of: `L` or `RGB`."""
    has_grayscale = any(step.name == "Grayscale" for step in record.steps)
    return "L" if channels == 1 and not has_grayscale else "RGB"


def describe_step(step: TransformStep) -> str:
    """`Normalize(mean=[0.5], std=[0.5])`."""
    return f"{step.name}({', '.join(f'{k}={v}' for k, v in step.arguments.items() if v is not None)})"


def _declared_record(
    record: InputRecord, declared: Any, shape: Sequence[int], test: Tensor | None, is_loadable: bool
) -> tuple[InputRecord, list[str]]:
    """The record of inputs that `declared` makes, and notices. Without `test`, the recorded range is checked."""
    name = f"{record.code.rpartition(':')[2]}.{PREPROCESS}"
    if not callable(declared):
        raise UserError(f"{name} must be a function or a transform, not {type(declared).__name__}")
    steps = recorded_steps([declared])
    record = _replace(
        record, kind=InputKind.CODE if steps is None else InputKind.TRANSFORMS, steps=steps or ()
    )
    mode = input_mode(record, shape[0])
    probe = apply_function(declared, Image.new(mode, (shape[2], shape[1])), record.code)
    if tuple(probe.shape) != tuple(shape):
        raise UserError(
            f"{name} makes inputs of shape {list(probe.shape)} of an image of {shape[2]}×{shape[1]}, "
            f"but the inputs of the dataset have the shape {list(shape)}"
        )
    if str(probe.dtype).removeprefix("torch.") != record.dtype:
        raise UserError(f"{name} returns {probe.dtype}, but the inputs of the dataset are {record.dtype}")
    record = _with_affine(record, declared, shape)
    low, high = range_of(test) if test is not None else (record.low or 0.0, record.high or 0.0)
    if problem := _range_problem(record, low, high):
        raise UserError(f"{name} can't have made these inputs: {problem}")
    if record.kind is InputKind.CODE and not is_loadable:
        record = _replace(record, kind=InputKind.UNKNOWN, reason="preprocess is no attribute of the function")
        return record, [f"images can't be classified later: {unknown_input_message(record)}"]
    problem = _rounding_problem(record, test) if test is not None else ""
    return record, [f"{name}: {problem}"] if problem else []


def _found_record(
    record: InputRecord, found: Sequence[Any], shape: Sequence[int], test: Tensor
) -> tuple[InputRecord | None, str]:
    """The record of transforms found on a dataset; or `None` and why they don't describe it."""
    if not found:
        return None, ""
    steps = recorded_steps(found)
    if steps is None:
        names = ", ".join(type(part).__name__ for part in flatten_transforms(found))
        return None, f"its transform is {names}, which can't be recorded"
    record = _replace(record, kind=InputKind.TRANSFORMS, steps=steps)
    record = _with_affine(record, compose_transforms(list(flatten_transforms(found))), shape)
    if not record.scale:
        return None, f"its transform, {describe_steps(steps)}, does not give these inputs"
    if problem := _range_problem(record, *range_of(test)) or _rounding_problem(record, test):
        return None, f"its transform is {describe_steps(steps)}, but {problem}"
    return record, ""


def describe_steps(steps: Sequence[TransformStep]) -> str:
    """The names of transforms."""
    return ", ".join(step.name for step in steps)


def recorded_steps(functions: Sequence[Any]) -> tuple[TransformStep, ...] | None:
    """The record of `functions`; `None` if one of them is not among `_ARGUMENTS`, or has other arguments."""
    steps = []
    for part in flatten_transforms(functions):
        kind = type(part)
        if not kind.__module__.startswith("torchvision.transforms") or kind.__name__ not in _ARGUMENTS:
            return None
        try:
            arguments = {name: _to_json(getattr(part, name)) for name in _ARGUMENTS[kind.__name__]}
        except (AttributeError, TypeError):
            return None
        steps.append(TransformStep(name=kind.__name__, v2=".v2" in kind.__module__, arguments=arguments))
    return tuple(steps)


def flatten_transforms(functions: Sequence[Any]) -> Iterator[Any]:
    """The single transforms of `Compose` and `nn.Sequential`."""
    for function in functions:
        inner = (
            list(function) if isinstance(function, nn.Sequential) else getattr(function, "transforms", None)
        )
        if isinstance(inner, (list, tuple, nn.ModuleList)):
            yield from flatten_transforms(list(inner))
        else:
            yield function


def _to_json(value: Any) -> StepArgument:
    """A JSON value for an argument. Raises `TypeError` if there is none."""
    if isinstance(value, Tensor):
        value = value.tolist()
    if isinstance(value, (list, tuple)):
        if any(isinstance(item, bool) or not isinstance(item, (int, float)) for item in value):
            raise TypeError("not a list of numbers")
        return tuple(value)
    if isinstance(value, torch.dtype):
        return str(value).removeprefix("torch.")
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    name = getattr(value, "value", None)
    if isinstance(name, str):  # torchvision's InterpolationMode
        return name
    raise TypeError(f"no JSON form of {type(value).__name__}")


def _build(step: TransformStep) -> ImageFunction:
    if step.name not in _ARGUMENTS:
        raise UserError(f"the transform '{step.name}' in the checkpoint is not known")
    transforms = importlib.import_module("torchvision.transforms")
    arguments: Options = dict(step.arguments)
    if "interpolation" in arguments:
        arguments["interpolation"] = transforms.InterpolationMode(arguments["interpolation"])
    if "dtype" in arguments:
        arguments["dtype"] = getattr(torch, arguments["dtype"])
    if step.name == _PRESET:
        module = importlib.import_module("torchvision.transforms._presets")
        arguments |= {key: arguments[key][0] for key in ("crop_size", "resize_size")}
    else:
        module = importlib.import_module("torchvision.transforms.v2") if step.v2 else transforms
    function: ImageFunction = getattr(module, step.name)(**arguments)
    return function


def compose_transforms(functions: Sequence[ImageFunction]) -> ImageFunction:
    """One function that applies `functions` one after the other."""

    def compose(image: Image.Image) -> Any:
        value: Any = image
        for function in functions:
            value = function(value)
        return value

    return compose


def _with_affine(record: InputRecord, function: ImageFunction, shape: Sequence[int]) -> InputRecord:
    """`record` with `scale` and `offset` where the function scales pixels, apart from cropping and resizing images.

    User code may also do anything else with an image, so that it must only scale the pixels of a random image of the
    input's size. A function that does nothing else with images of any size is of the kind `affine`, which needs
    neither the user's code nor torchvision.
    """
    mode = input_mode(record, shape[0])
    try:
        affine = _measured_affine(function, mode, shape)
        exact = affine is not None and _scales_noise(function, mode, shape, *affine)
    except (Exception, SystemExit):
        return record
    if affine is None or record.dtype == "uint8" or (record.kind is InputKind.CODE and not exact):
        return record
    record = _replace(record, scale=affine[0], offset=affine[1])
    if not exact or resizes_itself(function, shape, mode):
        return record
    return _replace(record, kind=InputKind.AFFINE)


def _measured_affine(
    function: ImageFunction, mode: str, shape: Sequence[int]
) -> tuple[tuple[float, ...], tuple[float, ...]] | None:
    """Scale and offset of each channel, from images of one gray; `None` where a function does not only scale them."""
    outputs = []
    for level in _GRAYS:
        color = level if mode == "L" else (level, level, level)
        values = as_input(function(Image.new(mode, (shape[2], shape[1]), color))).double()
        if tuple(values.shape) != tuple(shape):
            return None
        outputs.append(values)
    offset = outputs[0].mean((1, 2))
    scale = (outputs[-1].mean((1, 2)) - offset) / 255
    tolerance = _AFFINE_TOLERANCE * max(1.0, *(float(values.abs().max()) for values in outputs))
    for level, values in zip(_GRAYS, outputs, strict=True):
        if not bool(((values - (level * scale + offset)[:, None, None]).abs() <= tolerance).all()):
            return None
    return (tuple(scale.tolist()), tuple(offset.tolist())) if bool((scale != 0).all()) else None


def _scales_noise(
    function: ImageFunction, mode: str, shape: Sequence[int], scale: Sequence[float], offset: Sequence[float]
) -> bool:
    """Whether the pixels of a random image of the input's size are only scaled."""
    if mode == "RGB" and shape[0] == 1:
        return False
    noise = np.random.default_rng(0).integers(0, 256, (shape[1], shape[2], shape[0]), dtype=np.uint8)
    values = as_input(function(Image.fromarray(noise[..., 0] if mode == "L" else noise))).float()
    expected = scale_pixels(torch.from_numpy(noise).permute(2, 0, 1)[None], scale, offset)[0]
    tolerance = _AFFINE_TOLERANCE * max(1.0, float(expected.abs().max()))
    return values.shape == expected.shape and bool(((values - expected).abs() <= tolerance).all())


def _range_problem(record: InputRecord, low: float, high: float) -> str:
    """Why inputs from `low` to `high` are not scaled pixels as `record` says; empty if they may be."""
    if not record.scale:
        return ""
    edges = torch.tensor([[0.0], [255.0]]) * torch.tensor(record.scale) + torch.tensor(record.offset)
    lowest, highest = float(edges.min()), float(edges.max())
    slack = (highest - lowest) / 255 / 2
    if low >= lowest - slack and high <= highest + slack:
        return ""
    return (
        f"it makes values from {lowest:.4g} to {highest:.4g} of images, "
        f"and the inputs range from {low:.4g} to {high:.4g}"
    )


def _rounding_problem(record: InputRecord, inputs: Tensor) -> str:
    """Why `inputs` are not scaled 8-bit pixels; empty if they are, or if images are resized as floats."""
    if not record.scale or record.kind is InputKind.CODE or _resizes_floats(record.steps):
        return ""
    pixels = _unscale(_sampled(inputs), record.scale, record.offset)
    share = float(((pixels - pixels.round()).abs() > _PIXEL_TOLERANCE).float().mean())
    return f"{100 * share:.0f} % of the input values are not those of 8-bit pixels" if share > 0.01 else ""


def _resizes_floats(steps: Sequence[TransformStep]) -> bool:
    """Whether images are resized after their conversion to a tensor."""
    names = [step.name for step in steps]
    return "Resize" in names and names.index("Resize") > 0


def _unscale(inputs: Tensor, scale: Sequence[float], offset: Sequence[float]) -> Tensor:
    factor, shift = (torch.tensor(v, dtype=torch.float64).view(1, -1, 1, 1) for v in (scale, offset))
    return (inputs.double() - shift) / factor


def _sampled(inputs: Tensor) -> Tensor:
    return inputs[:: max(1, len(inputs) // _CHECKED_SAMPLES)]


def range_of(inputs: Tensor) -> tuple[float, float]:
    """The lowest and the highest value; zeros of nothing."""
    return (float(inputs.min()), float(inputs.max())) if inputs.numel() else (0.0, 0.0)


def _replace(record: InputRecord, **changes: Any) -> InputRecord:
    return InputRecord(**{**{name: getattr(record, name) for name in record.__struct_fields__}, **changes})
