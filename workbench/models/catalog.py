"""The catalog of models: a constant table that is read without torch."""

from __future__ import annotations

import csv
import importlib.util
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path
from typing import Annotated, Literal, cast

import msgspec
from msgspec import Meta

from workbench.core import paths
from workbench.core.distribution import install_hint
from workbench.core.errors import UserError, did_you_mean
from workbench.core.paths import expand_user_path
from workbench.core.settings_schema import Options, Section
from workbench.core.user_code import is_user_code, split_user_code_name
from workbench.io import huggingface_cache
from workbench.io.fit_mode import CenterCrop, Interpolation

WEIGHTS_URL = "https://download.pytorch.org/models/"
"""The folder that all of torchvision's weights are downloaded from."""

TIMM_PREFIX = "timm:"
"""How the names of timm's models start here."""

ModelKind = Literal["builtin", "torchvision", "timm", "custom"]
Size = Literal["auto"] | Annotated[int, Meta(ge=1, le=4096)]


class NoOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """For models without options."""


class MlpOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Options of `mlp`."""

    widths: Annotated[
        tuple[Annotated[int, Meta(ge=1, le=1_000_000)], ...], Meta(description="units of each hidden layer")
    ] = (128,)
    dropout: Annotated[float, Meta(ge=0, lt=1, description="fraction of the units dropped in training")] = 0.2
    batch_norm: Annotated[bool, Meta(description="batch normalization after each hidden layer")] = False
    softmax: Annotated[
        bool,
        Meta(description="end in a softmax, to which the loss applies its own: as in some tutorials"),
    ] = False


class LinearOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Options of `linear`."""

    bias: Annotated[bool, Meta(description="add a learned constant to each output")] = True


class ScalarOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Options of `scalar`."""

    start: Annotated[float, Meta(ge=-1000, le=1000, description="initial value of the weight")] = 0.1


class ResnetOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Options of `resnet`."""

    depth: Annotated[
        int, Meta(ge=8, le=1202, description="layers: 8, 14, 20, 32, 44, 56, 110 … (6n + 2)")
    ] = 20
    width: Annotated[
        int, Meta(ge=1, le=1024, description="channels of the first stage; they double twice")
    ] = 16

    def __post_init__(self) -> None:
        if (self.depth - 2) % 6:
            raise ValueError("depth must be 6n + 2: 8, 14, 20, 26, 32, 44, 56, 110 …")


class CifarFastOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Options of `cifar-fast`."""

    widths: Annotated[
        tuple[Annotated[int, Meta(ge=1, le=4096)], ...],
        Meta(min_length=3, max_length=3, description="channels of the three stages"),
    ] = (64, 256, 256)


class PublishedOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Options of the models of torchvision and timm."""

    pretrained: Annotated[bool, Meta(description="start from ImageNet weights")] = True
    weights: Annotated[str, Meta(description="local file of weights to start from")] = ""
    input_size: Annotated[
        Size, Meta(description="height and width that images are resized to; auto: the published size")
    ] = "auto"


@dataclass(frozen=True)
class ModelInfo:
    """One row of the catalog."""

    name: str
    title: str
    factory: str = ""
    """`module:class` in `models.architectures`, imported on demand; empty for published and custom models."""
    tasks: tuple[str, ...] = ("classification",)
    images_only: bool = True
    kind: ModelKind = "builtin"
    input_size: int | None = None
    """Height and width it was published with; `None` if it takes any."""
    parameters: int | None = None
    """As published; for built-in models with 3×32×32 images, 10 classes and default options. `None` if unknown."""
    options: type[msgspec.Struct] | None = NoOptions
    """`None`: a custom model, whose options are not validated."""
    train: Section = field(default_factory=dict)
    """Default training settings for this model."""
    min_size: int = 1
    """The smallest height and width it accepts; smaller images are enlarged to `input_size`."""
    channels: int | None = None
    """Channels it takes; `None` if it takes any."""
    resize_size: int | None = None
    """Size of the shorter side before the center crop, in the published evaluation."""
    interpolation: Interpolation = "bilinear"
    """Of that resizing."""
    weights_file: str = ""
    """Name of the file with the published weights; empty if there are none."""
    weights_bytes: int = 0
    accuracy: float | None = None
    """Published ImageNet top-1 accuracy in percent."""
    body_parameters: int = 0
    """Parameters of published models without their head."""
    class_parameters: int = 0
    """Parameters of the head for each class, of published models."""
    classes: int = 0
    """Number of classes of the published weights; 0 for those that do not classify."""
    gmacs: float | None = None
    """Billions of multiplications for one image of the published size; `None` if unknown."""
    hub: str = ""
    """The repository on the Hugging Face Hub that has the weights; empty for those at another place."""
    weights_base: str = ""
    """The folder that the file with the weights is downloaded from; empty for torchvision's and for the Hub."""

    @property
    def published(self) -> bool:
        """Whether it is an architecture of a library, with published weights for most of them."""
        return self.kind in {"torchvision", "timm"}

    @cached_property
    def search_text(self) -> str:
        """What words are searched in, in lower case."""
        return f"{self.name} {describe_published(self)}".lower()

    def parameters_for(self, classes: int | None) -> int | None:
        """Parameters with a head for `classes` classes (`None`: unknown, as published); `None` if unknown."""
        if classes is None or not self.class_parameters:
            return self.parameters
        return self.body_parameters + classes * self.class_parameters

    def train_defaults(self, options: Section) -> Options:
        """Default training settings for this model with these options."""
        if not self.published:
            return dict(self.train)
        name = self.name.removeprefix(TIMM_PREFIX).partition(".")[0]
        return _fine_tuning(name) if options.get("pretrained", True) else _from_scratch(name)

    @property
    def weights_url(self) -> str:
        """The URL of the published weights; empty if there are none."""
        if self.hub:
            return huggingface_cache.file_url(self.hub, huggingface_cache.WEIGHTS)
        return (self.weights_base or WEIGHTS_URL) + self.weights_file if self.weights_file else ""

    def local_weights(self) -> Path | None:
        """The file with the published weights if it exists on this machine."""
        if not self.weights_file:
            return None
        path = paths.weights() / self.weights_file
        if path.is_file():
            return path
        return huggingface_cache.find_file(self.hub, huggingface_cache.WEIGHTS) if self.hub else None

    def size_for(self, options: Section, shape: tuple[int, ...] | None) -> int | None:
        """Side of the square that images of `shape` (C, H, W; `None` if it varies) are resized to; `None`: unchanged.

        The option `input_size` takes precedence. Otherwise a pretrained published model uses its published size; one
        trained from scratch the size of the images, clamped between its minimum and its published size. Built-in models
        take images unchanged unless they are smaller than `min_size`.
        """
        input_size = options.get("input_size", "auto")
        if input_size != "auto":
            return int(input_size)
        side = max(shape[1:]) if shape and len(shape) == 3 else None
        if not self.published:
            too_small = shape is not None and side is not None and min(shape[1:]) < self.min_size
            return self.input_size if too_small else None
        if side is None or options.get("pretrained", True) or self.input_size is None:
            return self.input_size
        return min(max(side, self.min_size), self.input_size)

    def load_size(self, options: Section) -> int:
        """Side of the square that images of varying size (folders of photos) are resized to for this model."""
        return self.size_for(options, None) or self.input_size or 64

    def center_crop(self, options: Section) -> CenterCrop | None:
        """How it evaluates images in the published evaluation, with the option `input_size`; `None` without one."""
        if self.input_size is None or self.resize_size is None:
            return None
        published = CenterCrop(
            side=self.input_size,
            resize=max(self.input_size, self.resize_size),
            interpolation=self.interpolation,
            enlarges=bool(options.get("pretrained", True) or options.get("weights")),
        )
        return published.scaled(self.load_size(options))


_WITHOUT_NORMALIZATION = ("alexnet", "vgg11", "vgg13", "vgg16", "vgg19", "squeezenet1_0", "squeezenet1_1")
"""Networks without normalization layers, which need a low learning rate."""
_ATTENTION_PREFIXES = (
    "vit", "swin", "maxvit", "maxxvit", "convnext", "deit", "beit", "eva", "cait", "xcit", "caformer", "convformer",
    "coat", "pit_", "pvt_", "mvit", "hiera", "flexivit", "naflexvit", "samvit", "tiny_vit", "tnt_", "twins_", "volo_",
    "mixer_", "gmixer_", "resmlp_", "gmlp_", "metaformer", "poolformer", "inception_next", "davit", "gcvit", "nest_",
    "focalnet", "crossvit", "visformer", "levit", "sequencer",
)  # fmt: skip
"""Networks with layer normalization, which need a low learning rate."""


def _fine_tuning(name: str) -> Options:
    low_lr = name in _WITHOUT_NORMALIZATION or name.startswith(_ATTENTION_PREFIXES)
    return {"optimizer": "adamw", "lr": 1e-4 if low_lr else 3e-4, "weight_decay": 0.01, "schedule": "cosine",
            "freeze_epochs": 1, "batch_size": 32}  # fmt: skip


def _from_scratch(name: str) -> Options:
    if name in _WITHOUT_NORMALIZATION:
        return {
            "optimizer": "adamw",
            "lr": 1e-4,
            "weight_decay": 0.01,
            "schedule": "cosine",
            "batch_size": 32,
        }
    rate = 3e-4 if name.startswith(_ATTENTION_PREFIXES) else 1e-3
    return {"optimizer": "adamw", "lr": rate, "weight_decay": 0.05, "schedule": "cosine", "warmup": 1.0,
            "batch_size": 32}  # fmt: skip


_BOTH = ("classification", "regression")
_ADAM = {"optimizer": "adam", "lr": 1e-3}
_BUILTIN: tuple[ModelInfo, ...] = (
    ModelInfo("mlp", "dense layers with ReLU and dropout", "mlp:Mlp", _BOTH,
              images_only=False, input_size=32, parameters=394_634, options=MlpOptions, train=_ADAM),
    ModelInfo("convnet", "CIFAR-10 tutorial: 2 conv, 3 dense layers",
              "convnet:ConvNet", _BOTH, input_size=32, min_size=16, parameters=62_006,
              train=_ADAM),
    ModelInfo("lenet", "LeNet-5 of 1998: tanh and average pooling", "lenet:LeNet", _BOTH,
              input_size=28, min_size=12, parameters=83_126, train=_ADAM),
    ModelInfo("resnet", "residual network for 32×32 (He et al. 2015)",
              "resnet:ResNet", _BOTH, input_size=64, min_size=8, parameters=272_474,
              options=ResnetOptions,
              train={"optimizer": "sgd", "lr": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 5e-4,
                     "schedule": "one-cycle"}),
    ModelInfo("cifar-fast", "airbench94: whitened patches, few steps",
              "cifar_fast:CifarFast", _BOTH, input_size=32, min_size=9, parameters=1_972_792,
              options=CifarFastOptions,
              train={"optimizer": "sgd", "lr": 1.5, "momentum": 0.85, "nesterov": True, "weight_decay": 0.0013,
                     "norm_bias_lr_scale": 64.0, "schedule": "triangular", "lookahead": 5, "batch_size": 1024,
                     "label_smoothing": 0.2}),
    ModelInfo("linear", "one dense layer: logistic or linear regression", "linear:Linear",
              _BOTH, images_only=False, input_size=32, parameters=30_730, options=LinearOptions, train=_ADAM),
    ModelInfo("scalar", "one weight and no bias: y = weight · x", "scalar:Scalar",
              ("regression",), images_only=False, parameters=1, options=ScalarOptions,
              train={"optimizer": "sgd", "lr": 0.1}),
)  # fmt: skip


@cache
def _torchvision() -> tuple[ModelInfo, ...]:
    with Path(__file__).with_name("torchvision.csv").open(newline="", encoding="utf-8") as file:
        return tuple(_row(values) for values in csv.DictReader(file))


def _row(values: Mapping[str, str]) -> ModelInfo:
    return ModelInfo(
        values["name"],
        values["title"],
        "",
        kind="torchvision",
        input_size=int(values["input_size"]),
        parameters=int(values["parameters"]),
        options=PublishedOptions,
        min_size=int(values["min_size"]),
        channels=3,
        resize_size=int(values["resize_size"]),
        weights_file=values["weights_file"],
        weights_bytes=int(values["weights_bytes"]),
        accuracy=float(values["accuracy"]),
        interpolation=cast(Interpolation, values["interpolation"]),
        body_parameters=int(values["body_parameters"]),
        class_parameters=int(values["class_parameters"]),
        classes=1000,
    )


@cache
def timm_models() -> tuple[ModelInfo, ...]:
    """The pretrained models of timm by name, the default weights of each architecture before its others.

    They are in a table of their own, as there are more than 1,800, which are read when somebody looks for them.
    """
    with Path(__file__).with_name("timm.csv").open(newline="", encoding="utf-8") as file:
        return tuple(_timm_row(values) for values in csv.DictReader(file))


def _timm_row(values: Mapping[str, str]) -> ModelInfo:
    name, size, classes = values["name"], int(values["input_size"]), int(values["classes"])
    architecture, _, tag = name.removeprefix(TIMM_PREFIX).partition(".")
    body, per_class = int(values["body_parameters"]), int(values["class_parameters"])
    source = values["source"] or f"timm/{architecture}.{tag}"
    file = source.rpartition("/")[2] if "://" in source else f"{architecture}.{tag}.safetensors"
    base = source.removesuffix(file) if "://" in source else ""
    return ModelInfo(
        name,
        f"{architecture} of timm, weights {tag}",
        kind="timm",
        input_size=size,
        parameters=body + classes * per_class,
        options=PublishedOptions,
        min_size=size if values["fixed_size"] == "1" else 32,
        channels=3,
        resize_size=int(values["resize_size"]),
        interpolation=cast(Interpolation, values["interpolation"]),
        weights_file=file,
        weights_bytes=4 * (body + classes * per_class),
        accuracy=float(values["accuracy"]) if values["accuracy"] else None,
        body_parameters=body,
        class_parameters=per_class,
        classes=classes,
        gmacs=float(values["gmacs"]) if values["gmacs"] else None,
        hub="" if base else source,
        weights_base=base,
    )


CATALOG: tuple[ModelInfo, ...] = (*_BUILTIN, *_torchvision())


class ModelDescription(msgspec.Struct, frozen=True, kw_only=True):
    """A model of the catalog, as `workbench models --json` lists it."""

    name: str
    title: str
    kind: ModelKind
    tasks: tuple[str, ...]
    input_size: int | None
    """Height and width of the published model's inputs; `None` if it takes any."""
    min_size: int
    """The smallest height and width it accepts."""
    parameters: int | None
    weights_file: str | None
    """Name of the file with the published weights; `None` if there are none."""
    weights_bytes: int
    weights_here: str | None
    """The path of that file on this machine; `None` if it is not downloaded."""
    accuracy: float | None
    """Published ImageNet top-1 accuracy, 0..1."""
    gmacs: float | None
    """Billions of multiplications for one image of the published size; `None` if unknown."""


def describe_published(info: ModelInfo) -> str:
    """A model in one line: its title; of timm's the published accuracy and the multiplications."""
    if info.kind != "timm":
        return info.title
    result = f"top-1 {info.accuracy:.1f} %" if info.accuracy else "" if info.classes else "features"
    multiplications = f"{info.gmacs:g} GMACs" if info.gmacs else ""
    return ", ".join(part for part in (result, multiplications) if part)


def describe(info: ModelInfo) -> ModelDescription:
    """A row of the catalog, with the location of its weights on this machine."""
    here = info.local_weights()
    return ModelDescription(
        name=info.name,
        title=info.title,
        kind=info.kind,
        tasks=info.tasks,
        input_size=info.input_size if info.published else None,
        min_size=info.min_size,
        parameters=info.parameters,
        weights_file=info.weights_file or None,
        weights_bytes=info.weights_bytes,
        weights_here=str(here) if here else None,
        accuracy=info.accuracy / 100 if info.accuracy else None,
        gmacs=info.gmacs,
    )


def find(name: str) -> ModelInfo:
    """The row of a model by name or `./file.py:Class` (its path made absolute). Raises `UserError`."""
    if is_user_code(name):
        file, attribute = split_user_code_name(name)
        full = f"{expand_user_path(file).absolute()}:{attribute}"
        return ModelInfo(full, f"custom model {attribute}", "", _BOTH,
                         images_only=False, kind="custom", options=None)  # fmt: skip
    if name.startswith(TIMM_PREFIX):
        return _find_timm(name)
    for info in CATALOG:
        if info.name == name:
            return info
    raise UserError(
        f"unknown model '{name}'{did_you_mean(name, [i.name for i in CATALOG])}; "
        f"'workbench models' lists them, {TIMM_PREFIX}NAME is one of timm, ./file.py:Class is a custom model"
    )


def find_by_words(words: Sequence[str], infos: Sequence[ModelInfo]) -> list[ModelInfo]:
    """Those whose name and description contain all words, ignoring case.

    Names that begin with one of the words come first, those without a published accuracy last.
    """
    lowered = [word.lower() for word in words]
    found = [info for info in infos if all(word in info.search_text for word in lowered)]
    starts = tuple(word.removeprefix(TIMM_PREFIX) for word in lowered if word not in {"timm", TIMM_PREFIX})
    return sorted(
        found,
        key=lambda info: (not info.name.removeprefix(TIMM_PREFIX).startswith(starts), not info.accuracy),
    )


def check_installed(name: str) -> None:
    """Raise `UserError` where the model `name` needs a package that is not installed."""
    if name.startswith(TIMM_PREFIX) and importlib.util.find_spec("timm") is None:
        raise UserError(f"{name} needs the package timm: {install_hint('timm')}")


def _find_timm(name: str) -> ModelInfo:
    """The row of `timm:ARCHITECTURE.WEIGHTS`, or of an architecture's default weights. Raises `UserError`."""
    for info in timm_models():
        if name in {info.name, info.name.partition(".")[0]}:
            return info
    names = {info.name.partition(".")[0] for info in timm_models()} | {info.name for info in timm_models()}
    raise UserError(
        f"unknown model '{name}'{did_you_mean(name, sorted(names))}; 'workbench models --timm' lists those of timm"
    )
