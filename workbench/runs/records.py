"""The records of a run folder that have a file of their own.

Lines of `journal.jsonl` are in `journal`, those of `metrics.jsonl` and the files of evaluations in `metrics`;
`experiment.json` contains the `Experiment`. `record_codec` defines the JSON form and the handling of damaged files.
Units everywhere: times are Unix seconds, durations seconds, sizes bytes.

A key is named like its attribute, in files and in the output of `--json`. Keys that only older versions write are
renamed on read by `upgrades`. A key keeps another name (`name=` of the field) only where a rename could do harm, and
the docstring of the field says why: the word is reserved in Python, scripts read the key in the output of `--json`, or
a process of an older version may read the file at this moment (the worker of a live run, an open screen, a shared
cache).
"""

from __future__ import annotations

import msgspec

from workbench.core.progress import Progress
from workbench.datasets.input_record import InputRecord
from workbench.io.record_codec import Record
from workbench.models.layer_row import LayerRow
from workbench.models.loaded_weights import LoadedWeights
from workbench.runs import upgrades
from workbench.runs.enums import Cause, Ending, Outcome, Phase, RequestKind
from workbench.system.processes import ProcessId

# launch.json


class Launch(ProcessId, frozen=True, kw_only=True):
    """`launch.json`: the process that started the run."""

    launcher: str = ""
    """`screen`, `command` or `python`."""
    time: float = 0.0
    """Unix seconds."""
    job: str = ""
    """The Slurm job that the process belonged to; empty outside of one."""


# setup.json


class PreprocessingRecord(Record, frozen=True, kw_only=True):
    """The preprocessing of raw inputs, see `models.preprocessing.Preprocessing`."""

    size: tuple[int, int] | None = None
    """Height and width of the model's input in pixels."""
    channels: int | None = None
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    """Mean and standard deviation of each channel, of values from 0 to 1."""


class Feature(Record, frozen=True, kw_only=True):
    """Whether an acceleration is in use, and why not (`reason`)."""

    enabled: bool = False
    reason: str = ""
    """Why it is not in use, for people."""


class Setup(Record, frozen=True, kw_only=True, omit_defaults=False):
    """`setup.json`: data, model and execution of a run on this machine."""

    task: str = "classification"
    classes: tuple[str, ...] = ()
    counts: dict[str, int] = {}
    """Number of samples of each split."""
    class_counts: dict[str, tuple[int, ...]] = {}
    """Number of samples of each class, by split; empty for a regression."""
    shape: tuple[int, ...] = ()
    """Shape of one raw input: (channels, height, width) for images."""
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    """Mean and standard deviation of each channel of the training data, of values from 0 to 1."""
    fingerprint: str = ""
    """SHA-256 (hex) of the data."""
    source: str = ""
    """The path or origin of the data."""
    skipped_files: tuple[tuple[str, str], ...] = ()
    """Files that are not used: path and reason."""
    data_notices: tuple[str, ...] = ()
    """What was taken as classes and splits, what was left out or changed, resizing and imbalance, for people; one line
    each.
    """
    input: InputRecord | None = None
    """How images become raw inputs; `None` in records of version 0.1.0."""
    layers: tuple[LayerRow, ...] = ()
    parameters: int = 0
    """Number of parameters of the model."""
    trainable: int = 0
    """Number of trainable parameters."""
    weights: LoadedWeights | None = None
    """The pretrained weights that the run started from."""
    preprocessing: PreprocessingRecord = PreprocessingRecord()
    device: str = ""
    device_name: str = ""
    resident: bool = False
    """Whether the training data is in device memory."""
    compile: Feature = Feature()
    cuda_graph: Feature = Feature()
    execution: dict[str, str] = {}
    """How data is provided (`data`) and how steps are computed (`step`), for people."""
    processes: int = 1
    """The number of processes that train together (world size)."""
    threads: int = 0
    """CPU threads, of each process."""
    channels_last: bool = False
    """Whether images are in torch's `channels_last` memory format."""
    precision: str = ""
    log_every: int = 0
    """Steps between rows of metrics."""
    steps_per_epoch: int = 0
    steps_total: int = 0

    @staticmethod
    def upgrade(content: upgrades.JsonObject) -> upgrades.JsonObject:
        """Content of an older version in the current form."""
        return upgrades.setup(content)


# heartbeat.json


class Best(Record, frozen=True, kw_only=True):
    """The best epoch so far, by the monitored metric."""

    value: float
    epoch: int
    metric: str


class Latest(Record, frozen=True, kw_only=True):
    """Metrics of the newest evaluation."""

    loss: float | None = None
    accuracy: float | None = None


class Seconds(Record, frozen=True, kw_only=True):
    """Wall time in seconds, of one attempt or of all attempts of a run, by activity."""

    load: float = 0.0
    train: float = 0.0
    evaluate: float = 0.0
    paused: float = 0.0
    total: float = 0.0

    def __add__(self, other: Seconds) -> Seconds:
        return Seconds(
            **{name: round(getattr(self, name) + getattr(other, name), 3) for name in self.__struct_fields__}
        )


class Heartbeat(Record, frozen=True, kw_only=True, omit_defaults=False):
    """`heartbeat.json`: rewritten every few seconds while the worker lives, and once more when it ends."""

    attempt: int = 0
    counter: int = 0
    """Increases with every heartbeat of an attempt."""
    phase: Phase | None = None
    step: int = 0
    """Optimizer steps done."""
    steps_total: int | None = None
    epoch: int = 0
    """Completed epochs."""
    epochs_total: int | None = None
    progress: Progress | None = None
    best: Best | None = None
    latest: Latest | None = None
    checkpoint_saved_at: float | None = None
    """When the newest checkpoint was saved, Unix seconds."""
    eta: float | None = None
    """Estimated seconds to the last step."""
    device: str = ""
    seconds: Seconds | None = None
    """Wall time of this attempt."""
    time: float = 0.0
    """When it was written, Unix seconds."""

    @staticmethod
    def upgrade(content: upgrades.JsonObject) -> upgrades.JsonObject:
        """Content of an older version in the current form."""
        return upgrades.heartbeat(content)


# exit.json, notes.json


class Exit(Record, frozen=True, kw_only=True, omit_defaults=False):
    """`exit.json`: how the newest attempt ended."""

    status: Ending
    attempt: int = 0
    reason: str | None = None
    """One line for people."""
    cause: Cause | None = None
    """`None` in records of version 0.1.0 whose reason names none."""
    time: float = 0.0
    """Unix seconds."""
    exit_code: int | None = None
    """The exit code of a script, or minus the number of the signal that killed it."""

    @staticmethod
    def upgrade(content: upgrades.JsonObject) -> upgrades.JsonObject:
        """Content of an older version in the current form."""
        return upgrades.exit_record(content)


class Notes(Record, frozen=True, kw_only=True):
    """`notes.json`: the user's name, tags and notes for a run."""

    name: str = ""
    group: str = ""
    """Runs of one group are repeats or variants of one experiment."""
    tags: tuple[str, ...] = ()
    notes: str = ""


# checkpoints/manifest.json


class CheckpointEntry(Record, frozen=True, kw_only=True):
    """One checkpoint in the manifest."""

    file: str
    sha256: str
    step: int
    epoch: int
    position: int
    """Batches done in the current epoch."""
    metrics_offset: int
    """Length of `metrics.jsonl` in bytes when it was saved."""
    time: float = 0.0
    """When it was saved, Unix seconds."""
    best: bool = False
    """Whether it has the weights of the best epoch so far."""


class Manifest(Record, frozen=True, kw_only=True):
    """`checkpoints/manifest.json`: all checkpoints, oldest first."""

    checkpoints: tuple[CheckpointEntry, ...] = ()


# control/


class RequestValues(Record, frozen=True, kw_only=True):
    """Arguments of a request; each kind uses some of them."""

    value: float | None = None
    """`lr`, `epochs`: the new value."""
    times: float | None = None
    """`lr`: factor for the current value."""
    add: int | None = None
    """`epochs`: number of additional epochs."""
    suspend: bool = msgspec.field(default=False, name="release")
    """`pause`: end the worker process, which frees its memory. Its key is the one that live workers of 0.1.0 read."""
    max_hours: float = 0.0
    """`stop`: the time limit that has passed, if that is the reason."""
    pruned: str = ""
    """`stop`: why a sweep prunes the run, for people, if that is the reason."""
    requeue: bool = False
    """`stop`: whether Slurm starts the run again."""


class RequestFile(Record, frozen=True, kw_only=True):
    """`control/ID.json`: a request; in `control/done/` with its answer."""

    request: RequestKind
    attempt: int = 0
    """The attempt it is addressed to; later ones reject it."""
    time: float = 0.0
    """When it was sent, or answered, Unix seconds."""
    values: RequestValues = RequestValues()
    answer: str | None = None
    outcome: Outcome | None = None

    @staticmethod
    def upgrade(content: upgrades.JsonObject) -> upgrades.JsonObject:
        """Content of an older version in the current form."""
        return upgrades.answer(content, "answer")
