"""The records of a run folder that are files of their own, typed, once for writers and readers.

Lines of `journal.jsonl` are in `journal`, those of `metrics.jsonl` and the files of evaluations in `metrics`,
`experiment.json` is the `Experiment` itself. How records become JSON and back, and how damaged files are tolerated, is
`record_codec`'s. Times are Unix seconds, durations seconds, sizes bytes.
"""

from __future__ import annotations

import msgspec

from workbench.core.progress import Progress
from workbench.io.record_codec import Record
from workbench.models.layer_row import LayerRow
from workbench.runs import upgrades
from workbench.runs.enums import Cause, Ending, Outcome, Phase, RequestKind
from workbench.system.processes import ProcessId

# launch.json


class Launch(ProcessId, frozen=True, kw_only=True):
    """`launch.json`: the process that started the run."""

    launcher: str = ""
    """`screen`, `command` or `python`."""
    time: float = 0.0


# setup.json


class PreprocessingRecord(Record, frozen=True, kw_only=True):
    """What stands between raw inputs and the model, see `models.preprocess.Preprocessing`."""

    size: tuple[int, int] | None = None
    """Height and width that images are resized to."""
    channels: int | None = None
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()


class Feature(Record, frozen=True, kw_only=True):
    """Whether an acceleration is in use, and why not."""

    used: bool = False
    why: str = ""


class Setup(Record, frozen=True, kw_only=True):
    """`setup.json`: what the experiment became on this machine."""

    task: str = "classification"
    classes: tuple[str, ...] = ()
    counts: dict[str, int] = {}
    """Samples of each split."""
    class_counts: dict[str, tuple[int, ...]] = {}
    """Samples of each class by split; empty for a regression."""
    shape: tuple[int, ...] = ()
    """Of one raw input."""
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    fingerprint: str = ""
    source: str = ""
    """Where the data was read from."""
    set_aside: tuple[tuple[str, str], ...] = ()
    """Files that could not be read, each with its reason."""
    layers: tuple[LayerRow, ...] = ()
    parameters: int = 0
    trainable: int = 0
    preprocessing: PreprocessingRecord = PreprocessingRecord()
    device: str = ""
    device_name: str = ""
    resident: bool = False
    """Whether the training data lies on the device."""
    compile: Feature = Feature()
    cuda_graph: Feature = Feature()
    execution: dict[str, str] = msgspec.field(default={}, name="ways")
    """How data is provided (`data`) and steps are computed (`step`), for people."""
    threads: int = 0
    channels_last: bool = False
    precision: str = ""
    report_every: int = 0
    steps_per_epoch: int = 0
    steps_total: int = 0


# heartbeat.json


class Best(Record, frozen=True, kw_only=True):
    """The best epoch so far by the monitored metric."""

    value: float
    epoch: int
    metric: str


class Latest(Record, frozen=True, kw_only=True):
    """Metrics of the newest evaluation."""

    loss: float | None = None
    accuracy: float | None = None


class Seconds(Record, frozen=True, kw_only=True):
    """Wall time of one attempt, or of all attempts of a run, by what it was spent on."""

    load: float = 0.0
    train: float = 0.0
    evaluate: float = 0.0
    paused: float = 0.0
    total: float = 0.0

    def __add__(self, other: Seconds) -> Seconds:
        return Seconds(
            **{name: round(getattr(self, name) + getattr(other, name), 3) for name in self.__struct_fields__}
        )


class Heartbeat(Record, frozen=True, kw_only=True):
    """`heartbeat.json`: rewritten every few seconds while the worker lives, and once more when it ends."""

    attempt: int = 0
    counter: int = 0
    phase: Phase | None = None
    step: int = 0
    steps_total: int | None = None
    epoch: int = 0
    """Completed epochs."""
    epochs_total: int | None = None
    progress: Progress | None = None
    best: Best | None = None
    latest: Latest | None = None
    saved: float | None = None
    """When the newest checkpoint was published."""
    eta: float | None = None
    """Seconds to the last step."""
    device: str = ""
    seconds: Seconds | None = None
    time: float = 0.0

    @staticmethod
    def upgrade(content: upgrades.JsonObject) -> upgrades.JsonObject:
        """Content of an older version as today's."""
        return upgrades.heartbeat(content)


# exit.json, notes.json


class Exit(Record, frozen=True, kw_only=True):
    """`exit.json`: how the newest attempt ended."""

    status: Ending
    attempt: int = 0
    reason: str | None = None
    """One line for people."""
    cause: Cause | None = None
    """`None` in records of 0.1.0."""
    time: float = 0.0


class Notes(Record, frozen=True, kw_only=True):
    """`notes.json`: what people write on a run."""

    name: str = ""
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
    """Batches done in the epoch that goes on."""
    metrics_offset: int
    """The length of `metrics.jsonl` at its moment."""
    time: float = 0.0
    best: bool = False


class Manifest(Record, frozen=True, kw_only=True):
    """`checkpoints/manifest.json`, oldest first."""

    checkpoints: tuple[CheckpointEntry, ...] = ()


# control/


class RequestValues(Record, frozen=True, kw_only=True):
    """Arguments of a request, as its kind takes them."""

    value: float | None = None
    """`lr`, `epochs`: the new one."""
    times: float | None = None
    """`lr`: what it is multiplied by."""
    add: int | None = None
    """`epochs`: how many more."""
    release: bool = False
    """`pause`: end the worker process, so that its memory is free."""


class RequestFile(Record, frozen=True, kw_only=True):
    """`control/ID.json`; in `control/done/` with its answer."""

    request: RequestKind
    attempt: int = 0
    """The attempt it was meant for: a later one does not carry it out."""
    time: float = 0.0
    values: RequestValues = RequestValues()
    answer: str | None = None
    outcome: Outcome | None = None
