"""The settings `train.NAME`: how a model is trained."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from workbench.datasets.augmentation_options import AugmentationOptions

Augmentation = Literal[
    "resized-crop", "crop", "translate", "flip", "altflip", "vflip", "rotate", "colour", "erase", "grayscale", "blur",
    "trivial-augment", "rand-augment", "mixup", "cutmix",
]  # fmt: skip


class TrainingSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a model is trained. Every field is a setting `train.NAME`; the descriptions are shown as its help."""

    epochs: Annotated[int, Meta(ge=1, le=1_000_000, description="passes over the training data")] = 10
    hours: Annotated[
        float,
        Meta(
            ge=0,
            le=100_000,
            description="time limit in hours, instead of epochs: before its first step the run times a few and sets "
            "train.epochs to what fits, and with it the schedule; 0 is off",
        ),
    ] = 0.0
    batch_size: Annotated[int, Meta(ge=1, le=1_000_000, description="samples per step")] = 64
    batch_per_process: Annotated[
        int,
        Meta(
            ge=0,
            le=1_000_000,
            description="samples per step of each of several processes, instead of batch_size, which they share; the "
            "learning rate stays as it is set; 0 is off",
        ),
    ] = 0
    optimizer: Annotated[
        Literal["sgd", "adam", "adamw", "rmsprop", "nadam", "radam", "adagrad", "muon"],
        Meta(
            description="optimizer; muon is for the matrices of dense layers and attention outside the head, with a "
            "rate like that of adamw, which it uses for all other parameters"
        ),
    ] = "adam"
    lr: Annotated[float, Meta(gt=0, le=1000, description="learning rate; with a schedule its maximum")] = 1e-3
    momentum: Annotated[
        float, Meta(ge=0, lt=1, description="momentum (sgd, rmsprop; muon: 0 is its usual 0.95)")
    ] = 0.0
    nesterov: Annotated[bool, Meta(description="Nesterov momentum (sgd)")] = False
    weight_decay: Annotated[
        float, Meta(ge=0, le=10, description="weight decay (L2 penalty; decoupled in adamw)")
    ] = 0.0
    decay_all: Annotated[
        bool, Meta(description="weight decay also for biases and the scales of norms, which it leaves out")
    ] = False
    head_lr: Annotated[
        float,
        Meta(
            ge=0,
            le=1000,
            description="learning rate of the head (the last layer), which follows the schedule too; 0 is that of all",
        ),
    ] = 0.0
    layer_decay: Annotated[
        float,
        Meta(
            gt=0,
            le=1,
            description="layer-wise learning rate decay: factor from each stage of the network to the one before it "
            "(such as 0.7); the head keeps the full rate; 1 is off",
        ),
    ] = 1.0
    norm_bias_lr_scale: Annotated[
        float,
        Meta(gt=0, le=1000, description="learning rate multiplier for the biases of normalization layers"),
    ] = 1.0
    lookahead: Annotated[
        int, Meta(ge=0, description="Lookahead: synchronize with the slow weights every k steps; 0 is off")
    ] = 0
    ema: Annotated[
        float,
        Meta(
            ge=0,
            lt=1,
            description="exponential moving average of the weights (decay, such as 0.999), which is evaluated, "
            "exported and used for predictions instead of the raw weights; 0 is off",
        ),
    ] = 0.0
    swa: Annotated[
        float,
        Meta(
            ge=0,
            lt=1,
            description="stochastic weight averaging: share of the epochs (such as 0.75) after which the weights at "
            "the end of each epoch are averaged; the mean is evaluated and used, with batch norm statistics computed "
            "for it by a pass over the training data; 0 is off",
        ),
    ] = 0.0
    swa_lr: Annotated[
        float,
        Meta(
            ge=0, le=1000, description="learning rate of the epochs that swa averages; 0 follows the schedule"
        ),
    ] = 0.0
    schedule: Annotated[
        Literal["constant", "step", "cosine", "one-cycle", "triangular", "restarts"],
        Meta(description="learning rate schedule; restarts is cosine with warm restarts (SGDR)"),
    ] = "constant"
    restart_every: Annotated[
        float, Meta(gt=0, le=1_000_000, description="restarts schedule: epochs of the first cycle")
    ] = 10.0
    restart_factor: Annotated[
        int,
        Meta(ge=1, le=100, description="restarts schedule: factor from the length of a cycle to the next"),
    ] = 1
    warmup: Annotated[float, Meta(ge=0, le=1000, description="epochs of linear learning rate warm-up")] = 0.0
    step_every: Annotated[int, Meta(ge=1, description="step schedule: epochs between decays")] = 10
    step_factor: Annotated[
        float, Meta(gt=0, le=1, description="step schedule: factor of each decay (gamma)")
    ] = 0.1
    label_smoothing: Annotated[
        float,
        Meta(ge=0, lt=1, description="label smoothing: part of the target spread evenly over all classes"),
    ] = 0.0
    class_weights: Annotated[
        Literal["none", "balanced"],
        Meta(description="loss weights of the classes; balanced is inverse to class frequency"),
    ] = "none"
    balanced_sampling: Annotated[bool, Meta(description="sample all classes equally often in each epoch")] = (
        False
    )
    augment: Annotated[
        tuple[Augmentation, ...],
        Meta(
            description="augmentations: resized-crop (random-resized crop of the stored image), crop (shift, black "
            "edges), translate (by up to 2 pixels, reflected edges), flip (horizontal), altflip (flip, alternating "
            "between epochs), vflip, rotate, colour (color jitter), erase (random erasing), grayscale (a fifth of the "
            "images), blur (half of them), trivial-augment (TrivialAugmentWide), rand-augment, mixup, cutmix (the "
            "training accuracy then counts the class with the larger share)"
        ),
    ] = ()
    crop_scale: Annotated[
        float, Meta(ge=0.01, le=1, description="resized-crop: least part of the area of an image")
    ] = 0.08
    crop_ratio: Annotated[
        float, Meta(ge=1, le=10, description="resized-crop: greatest ratio of the sides, either way")
    ] = 1.333
    rotate_degrees: Annotated[float, Meta(ge=0, le=180, description="rotate: greatest angle")] = 15.0
    jitter: Annotated[
        float,
        Meta(ge=0, le=1, description="colour: brightness, contrast and saturation change by up to this part"),
    ] = 0.4
    jitter_hue: Annotated[
        float, Meta(ge=0, le=0.5, description="colour: the hue is shifted by up to this part of the circle")
    ] = 0.0
    erase_chance: Annotated[float, Meta(ge=0, le=1, description="erase: part of the images")] = 0.5
    rand_ops: Annotated[int, Meta(ge=1, le=14, description="rand-augment: operations for each image")] = 2
    rand_magnitude: Annotated[int, Meta(ge=0, le=30, description="rand-augment: magnitude")] = 9
    resize: Annotated[
        str,
        Meta(
            max_length=200,
            pattern=r"^([0-9]{1,4}@[0-9]*\.?[0-9]+(,[0-9]{1,4}@[0-9]*\.?[0-9]+)*)?\Z",
            description="progressive resizing: sides of training images, each with the part of the training after "
            "which it is used (128@0,192@0.5,224@0.8)",
        ),
    ] = ""
    normalize: Annotated[
        Literal["auto", "half", "none"],
        Meta(
            description="image normalization: auto uses the mean and standard deviation of the dataset (or of the "
            "pretrained weights), half uses 0.5 and 0.5, none keeps values from 0 to 1"
        ),
    ] = "auto"
    precision: Annotated[
        Literal["auto", "fp32", "bf16", "fp16"],
        Meta(description="compute dtype of forward and backward passes (autocast)"),
    ] = "auto"
    deterministic: Annotated[
        bool,
        Meta(
            description="use deterministic algorithms on a GPU, where its kernels have them: reproducible, but slower "
            "(on a CPU runs are reproducible with the same number of threads)"
        ),
    ] = False
    compile: Annotated[
        bool,
        Meta(
            description="compile the model with torch.compile: slower start, possibly faster steps; on a CPU it needs "
            "a C++ compiler. Where compilation fails, the run continues in eager mode and reports it"
        ),
    ] = False
    cuda_graph: Annotated[
        Literal["auto", "yes", "no"],
        Meta(
            description="capture the training step as a CUDA graph and replay it; auto does so for models of up to "
            "30 million parameters. Where capture fails, steps run in eager mode and the run reports it"
        ),
    ] = "auto"
    max_grad_norm: Annotated[
        float, Meta(ge=0, description="gradient clipping: maximum norm of all gradients; 0 is off")
    ] = 0.0
    log_grad_norm: Annotated[
        bool,
        Meta(
            description="record the norm of all gradients also without clipping, which computes it anyway; "
            "it makes the steps of small models slower"
        ),
    ] = False
    patience: Annotated[
        int,
        Meta(
            ge=0, description="early stopping: epochs without improvement of the monitored metric; 0 is off"
        ),
    ] = 0
    validation: Annotated[
        float, Meta(ge=0, le=0.9, description="fraction of the training data held out for validation")
    ] = 0.1
    folds: Annotated[
        int,
        Meta(
            ge=0,
            le=1000,
            description="cross-validation: folds that the data is divided into, stratified by class, without "
            "dividing a group; a run tests on one of them; 0 is off",
        ),
    ] = 0
    fold: Annotated[
        int,
        Meta(ge=0, le=1000, description="the fold that is held out, from 1; 0: a run for each of them"),
    ] = 0
    fold_seed: Annotated[
        int,
        Meta(ge=0, le=2**63 - 1, description="seed of the folds, independent of the seed of the experiment"),
    ] = 0
    monitor: Annotated[
        Literal["accuracy", "balanced_accuracy", "macro_f1", "loss"],
        Meta(description="metric that selects the best epoch"),
    ] = "accuracy"
    tta: Annotated[
        Literal["none", "mirror", "translate"],
        Meta(
            description="test-time augmentation: also report the accuracy of predictions averaged over each image and "
            "its mirror image (mirror), with both shifted by one pixel in two directions (translate)"
        ),
    ] = "none"
    freeze_epochs: Annotated[
        int,
        Meta(ge=0, description="first epochs in which only the head is trained and the backbone is frozen"),
    ] = 0
    unfreeze_every: Annotated[
        int,
        Meta(
            ge=0,
            description="gradual unfreezing, after freeze_epochs: every n epochs one more stage of the network is "
            "trained, from the head on; 0 is all at once",
        ),
    ] = 0
    drop_path: Annotated[
        Literal["auto"] | Annotated[float, Meta(ge=0, lt=1)],
        Meta(
            description="drop path (stochastic depth) of the models that have it: probability of the last block, in "
            "proportion before; auto is the model's own"
        ),
    ] = "auto"
    threads: Annotated[
        Literal["auto"] | Annotated[int, Meta(ge=1, le=1024)], Meta(description="CPU threads")
    ] = "auto"
    processes: Annotated[
        int,
        Meta(
            ge=1,
            le=1024,
            description="processes that train together (DistributedDataParallel), each on its own GPU or its share "
            "of the CPU",
        ),
    ] = 1
    sync_batch_norm: Annotated[
        bool,
        Meta(
            description="batch norm with the statistics of all processes, not of each one's samples; GPUs only"
        ),
    ] = False
    fsdp: Annotated[
        bool,
        Meta(
            description="shard weights, gradients and optimizer state over the processes (FSDP), for models that one "
            "GPU can't hold"
        ),
    ] = False
    device: Annotated[
        str,
        Meta(
            pattern=r"^(auto|cpu|mps|cuda(:\d{1,4}(,\d{1,4})*)?|(GPU|MIG)-[0-9A-Za-z-]+(/\d+/\d+)?)\Z",
            description="auto, cpu, mps, cuda (any GPU), cuda:N (CUDA's number), cuda:0,1 (a process on each) or the "
            "start of a UUID (GPU-…, MIG-…); the command workbench devices lists them",
        ),
    ] = "auto"
    log_every: Annotated[
        Literal["auto"] | Annotated[int, Meta(ge=1)],
        Meta(description="steps between rows of metrics; auto writes fewer than 10,000 rows per run"),
    ] = "auto"
    checkpoint_seconds: Annotated[
        float, Meta(ge=0.01, le=1_000_000, description="seconds between checkpoints within an epoch")
    ] = 60.0
    disk_full_timeout: Annotated[
        float,
        Meta(
            ge=0,
            le=100_000_000,
            description="seconds to wait for free space on a full disk before the run stops",
        ),
    ] = 43_200.0
    on_nan: Annotated[
        Literal["stop", "rollback"],
        Meta(
            description="when the loss becomes NaN or infinite: stop, or roll back to the last good checkpoint and "
            "halve the learning rate"
        ),
    ] = "stop"
    micro_batch: Annotated[
        int, Meta(ge=0, description="gradient accumulation: samples per forward pass; 0 is the whole batch")
    ] = 0
    auto_micro_batch: Annotated[
        bool, Meta(description="on out of memory, continue with a smaller micro_batch")
    ] = False
    activation_checkpointing: Annotated[
        bool,
        Meta(description="keep only the inputs of each block for the backward pass: less memory, more time"),
    ] = False
    evaluation_batch: Annotated[
        int, Meta(ge=0, description="samples per batch of evaluation; 0 chooses automatically")
    ] = 0
    keep_checkpoint_every: Annotated[
        int,
        Meta(ge=0, description="keep a checkpoint every n epochs; 0 keeps only the best and the last two"),
    ] = 0

    @property
    def augmentation_options(self) -> AugmentationOptions:
        """The settings of `augment`."""
        names = AugmentationOptions.__struct_fields__
        return AugmentationOptions(**{name: getattr(self, name) for name in names})
