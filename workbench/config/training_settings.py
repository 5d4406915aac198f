"""How a model is trained: the settings `train.NAME`."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

Augmentation = Literal[
    "crop", "translate", "flip", "altflip", "vflip", "rotate", "colour", "erase", "mixup", "cutmix"
]


class Train(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a model is trained. Every field is a setting `train.NAME`."""

    epochs: Annotated[int, Meta(ge=1, le=1_000_000, description="passes over the training data")] = 10
    batch_size: Annotated[int, Meta(ge=1, le=1_000_000, description="examples a step")] = 64
    optimizer: Annotated[
        Literal["sgd", "adam", "adamw", "rmsprop"], Meta(description="how gradients become updates")
    ] = "adam"
    lr: Annotated[float, Meta(gt=0, le=1000, description="learning rate (its peak, with a schedule)")] = 1e-3
    momentum: Annotated[float, Meta(ge=0, lt=1, description="momentum of sgd and rmsprop")] = 0.0
    nesterov: Annotated[bool, Meta(description="Nesterov's momentum (sgd)")] = False
    weight_decay: Annotated[float, Meta(ge=0, le=10, description="pull of the weights towards zero")] = 0.0
    bias_lr: Annotated[
        float,
        Meta(
            gt=0, le=1000, description="what the rate is multiplied by for the biases of norms (64 is known)"
        ),
    ] = 1.0
    lookahead: Annotated[
        int,
        Meta(
            ge=0,
            description="steps after which the weights are drawn to an average of themselves, which is the result; "
            "0 is never",
        ),
    ] = 0
    schedule: Annotated[
        Literal["constant", "step", "cosine", "one-cycle", "triangular"],
        Meta(description="the learning rate over the run"),
    ] = "constant"
    warmup: Annotated[float, Meta(ge=0, le=1000, description="epochs of linear warm-up")] = 0.0
    step_every: Annotated[int, Meta(ge=1, description="epochs between drops of the step schedule")] = 10
    step_factor: Annotated[float, Meta(gt=0, le=1, description="what a drop multiplies the rate by")] = 0.1
    label_smoothing: Annotated[float, Meta(ge=0, lt=1, description="part of the target spread evenly")] = 0.0
    class_weights: Annotated[
        Literal["none", "balanced"], Meta(description="weigh the loss by how rare a class is")
    ] = "none"
    balanced_sampling: Annotated[bool, Meta(description="draw every class equally often")] = False
    augment: Annotated[
        tuple[Augmentation, ...],
        Meta(
            description="augmentations by name: crop, translate (2 pixels, mirrored), flip, altflip (every other "
            "epoch), vflip, rotate, colour, erase; mixup, cutmix (two pictures in one: accuracy in training is "
            "of the one that has more of it)"
        ),
    ] = ()
    normalize: Annotated[
        Literal["auto", "half", "none"],
        Meta(
            description="what pictures are normalised by: auto is the mean and deviation of the dataset (or what "
            "pretrained weights ask for), half is 0.5 and 0.5, none leaves them from 0 to 1"
        ),
    ] = "auto"
    precision: Annotated[
        Literal["auto", "fp32", "bf16", "fp16"], Meta(description="arithmetic of forward and backward")
    ] = "auto"
    exact: Annotated[
        bool,
        Meta(
            description="the same bits for the same run on a GPU too, as far as its kernels can: slower (a CPU always "
            "gives them, with the same threads)"
        ),
    ] = False
    compile: Annotated[
        bool,
        Meta(
            description="compile the model with torch.compile: a minute at the start, for steps that may be quicker; "
            "on a CPU it takes a C++ compiler. What can't be compiled is computed as it is, and the run says so"
        ),
    ] = False
    cuda_graph: Annotated[
        Literal["auto", "yes", "no"],
        Meta(
            description="record a step on a CUDA device once and play it back; auto does so with models of up to 30 "
            "million parameters. What can't be recorded is computed step by step, and the run says so"
        ),
    ] = "auto"
    clip_norm: Annotated[float, Meta(ge=0, description="largest norm of the gradient; 0 is no limit")] = 0.0
    patience: Annotated[
        int, Meta(ge=0, description="epochs without a better monitor before it stops early; 0 is never")
    ] = 0
    validation: Annotated[
        float, Meta(ge=0, le=0.9, description="part of the training data kept for validation")
    ] = 0.1
    monitor: Annotated[
        Literal["accuracy", "balanced_accuracy", "macro_f1", "loss"],
        Meta(description="what the best epoch is measured by"),
    ] = "accuracy"
    tta: Annotated[
        Literal["none", "mirror", "translate"],
        Meta(
            description="test-time augmentation: the result has a second accuracy, of the mean over each picture and "
            "its mirror image (and, with translate, both moved by a pixel two ways)"
        ),
    ] = "none"
    freeze_epochs: Annotated[
        int, Meta(ge=0, description="first epochs in which only the head learns (the rest is frozen)")
    ] = 0
    threads: Annotated[
        Literal["auto"] | Annotated[int, Meta(ge=1, le=1024)], Meta(description="CPU threads")
    ] = "auto"
    device: Annotated[
        str, Meta(pattern=r"^(auto|cpu|mps|cuda(:\d+)?)\Z", description="auto, cpu, cuda, cuda:N or mps")
    ] = "auto"
    report_every: Annotated[
        Literal["auto"] | Annotated[int, Meta(ge=1)],
        Meta(description="steps a row of the record covers; auto keeps a run under 10,000 rows"),
    ] = "auto"
    checkpoint_seconds: Annotated[
        float, Meta(ge=0.01, le=1_000_000, description="seconds between checkpoints inside an epoch")
    ] = 60.0
    wait_for_space: Annotated[
        float,
        Meta(
            ge=0, le=100_000_000, description="seconds to wait for room on a full disk before the run stops"
        ),
    ] = 43_200.0
    on_nan: Annotated[
        Literal["stop", "go_back"],
        Meta(
            description="when the loss becomes NaN or infinite: stop, or go back to the last good checkpoint with "
            "half the learning rate"
        ),
    ] = "stop"
    micro_batch: Annotated[
        int,
        Meta(
            ge=0, description="examples computed at once, their gradients added up to the batch's; 0 is all"
        ),
    ] = 0
    auto_micro_batch: Annotated[
        bool, Meta(description="when memory runs out, go on with a smaller micro_batch")
    ] = False
    evaluation_batch: Annotated[
        int, Meta(ge=0, description="examples evaluated at once; 0 is as many as are quick")
    ] = 0
    keep_every: Annotated[
        int, Meta(ge=0, description="keep a checkpoint of every so many epochs; 0 keeps best and last two")
    ] = 0
