"""The content of a run's checkpoints, and which one is used: one rule for resuming, classifying and exporting.

A checkpoint is a dictionary of tensors and plain values that `torch.load(weights_only=True)` reads. Its keys are
`CheckpointContent`'s; those that newer versions added may be missing.
"""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NotRequired, TypedDict, cast

import msgspec
from torch import Tensor

from workbench.errors import BadInput
from workbench.io.weights import load_checkpoint
from workbench.models.preprocess import Preprocessing
from workbench.runs.checkpoint_index import read_entries
from workbench.runs.layout import RunFolder
from workbench.runs.records import CheckpointEntry, PreprocessingRecord
from workbench.settings import Choice

StateDict = dict[str, Any]
"""What torch's own `state_dict` methods return: its structure is torch's."""


class BestContent(TypedDict):
    """The best epoch so far, see `state.BestEpoch`."""

    value: float
    loss: float
    step: int
    epoch: int


class SumsContent(TypedDict):
    """Losses and correct predictions that are not reported yet, see `report.Sums`."""

    device: list[float]
    window: list[float]
    epoch: list[float]


class RandomStates(TypedDict):
    """The states of torch's random generators."""

    cpu: Tensor
    cuda: NotRequired[list[Tensor]]
    mps: NotRequired[Tensor]


class TrainingContent(TypedDict):
    """What `TrainState.state_dict` returns: everything that training changes."""

    v: int
    model: dict[str, Tensor]
    optimizer: StateDict
    lookahead: list[Tensor] | None
    scaler: StateDict | None
    step: int
    epoch: int
    position: int
    best: BestContent | None
    stale: int
    sums: SumsContent
    report_every: int
    random: RandomStates


class Circumstances(TypedDict):
    """What the bits of the result depend on beside the state. Earlier versions kept fewer of them."""

    threads: int
    channels_last: NotRequired[bool]
    batch_size: int
    device: str
    processor: NotRequired[str]
    torch: NotRequired[str]


class RunContent(Circumstances):
    """What a checkpoint holds beside the state: what is needed to use its weights elsewhere."""

    fingerprint: str
    spec: dict[str, Any]
    """JSON values of a `ModelSpec`."""


class WallContent(TypedDict):
    """When the checkpoint was made, and the length of `metrics.jsonl` then."""

    time: float
    metrics_offset: int


class Moment(TrainingContent, RunContent):
    """All of a checkpoint but when it was made."""


class CheckpointContent(Moment):
    """All of a checkpoint."""

    wall: WallContent


class ModelSpec(msgspec.Struct, frozen=True, kw_only=True):
    """The model of a checkpoint, as far as it is needed to build it and to feed it."""

    model: Choice
    shape: tuple[int, ...]
    """Of one raw input."""
    classes: tuple[str, ...]
    """Empty for a regression."""
    task: str = "classification"
    preprocessing: Preprocessing

    def to_json(self) -> dict[str, Any]:
        """JSON values; `from_json` reads them back."""
        return {
            "model": self.model.to_dict(),
            "shape": list(self.shape),
            "classes": list(self.classes),
            "task": self.task,
            "preprocessing": self.preprocessing.to_dict(),
        }

    @classmethod
    def from_json(cls, values: object) -> ModelSpec:
        """What `to_json` made. Raises `BadInput` with what is wrong with it."""
        try:
            found = msgspec.convert(values, _SpecJson)
        except msgspec.ValidationError as error:
            raise BadInput(f"the model's description is damaged: {error}") from None
        name = found.model.get("name")
        if not isinstance(name, str):
            raise BadInput("the model's description is damaged: the model has no name")
        options = {key: value for key, value in found.model.items() if key != "name"}
        preprocessing = found.preprocessing
        return cls(
            model=Choice(name, options),
            shape=found.shape,
            classes=found.classes,
            task=found.task,
            preprocessing=Preprocessing(
                preprocessing.size, preprocessing.channels, preprocessing.mean, preprocessing.std
            ),
        )


class _SpecJson(msgspec.Struct):
    model: dict[str, Any]
    """The model's name among its options, as in TOML."""
    shape: tuple[int, ...]
    classes: tuple[str, ...]
    preprocessing: PreprocessingRecord
    task: str = "classification"


@dataclass(frozen=True)
class LoadedCheckpoint:
    """A checkpoint that could be read, and the newer (or better) ones that could not."""

    content: CheckpointContent
    entry: CheckpointEntry
    entries: list[CheckpointEntry]
    """All of the run's, oldest first, without the skipped ones."""
    notices: tuple[str, ...] = ()
    """One line for each that was skipped, and for a manifest that was lost."""


class NoReadableCheckpoint(BadInput):
    """There are checkpoints, and none can be read; the message says why not."""


Check = Callable[[CheckpointContent], None]
"""Raises `BadInput` for a content that can't be used."""


def load_entry(folder: RunFolder, entry: CheckpointEntry) -> CheckpointContent:
    """The content of one checkpoint. Raises `BadInput` where it is not what was written."""
    return cast(CheckpointContent, load_checkpoint(folder.checkpoints / entry.file, sha256=entry.sha256))


def select_checkpoint(
    folder: RunFolder, which: Literal["best", "last"] = "last", check: Check = lambda _: None
) -> LoadedCheckpoint | None:
    """The newest checkpoint that is readable and passes `check`, with `best` the best epoch's where that is one.

    `None` where none was ever written. Raises `NoReadableCheckpoint` where there are some and none can be used.
    """
    entries, notices = known_entries(folder)
    candidates = entries[::-1]
    if which == "best":
        candidates.sort(key=lambda entry: not entry.best)
    skipped: dict[CheckpointEntry, str] = {}
    for entry in candidates:
        try:
            content = load_entry(folder, entry)
            check(content)
        except BadInput as error:
            skipped[entry] = str(error).replace(f"{folder.checkpoints}/", "")
        else:
            lines = (f"skipped a checkpoint: {line}" for line in skipped.values())
            usable = [one for one in entries if one not in skipped]
            return LoadedCheckpoint(content, entry, usable, (*notices, *lines))
    if skipped or any(folder.checkpoint_files()):
        raise NoReadableCheckpoint(next(iter(skipped.values()), "all are damaged"))
    return None


def known_entries(folder: RunFolder) -> tuple[list[CheckpointEntry], list[str]]:
    """The entries of a run's checkpoints, oldest first, and a line where they had to be found without the manifest."""
    if listed := read_entries(folder):
        return listed, []
    found = found_again(folder)
    lost = f"the list of checkpoints was lost; {len(found)} were found again without it"
    return found, [lost] if found else []


def found_again(folder: RunFolder) -> list[CheckpointEntry]:
    """Entries of the checkpoints that lie in the folder, oldest first: for a manifest that is lost or damaged."""
    found = []
    for path in folder.checkpoint_files():
        try:
            found.append(_entry_of_file(path))
        except (BadInput, KeyError, OSError, TypeError, zipfile.BadZipFile):
            continue
    return sorted(found, key=lambda entry: (entry.step, entry.epoch, entry.position))


def _entry_of_file(path: Path) -> CheckpointEntry:
    with zipfile.ZipFile(path) as archive:
        if archive.testzip():  # nobody knows its hash any more; torch looks at no checksum
            raise BadInput(f"{path} is damaged")
    content = cast(CheckpointContent, load_checkpoint(path))
    best = content["best"] is not None and content["best"]["step"] == content["step"]
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return entry_of(path.name, digest, content, best=best and content["position"] == 0)


def entry_of(file: str, sha256: str, content: CheckpointContent, *, best: bool) -> CheckpointEntry:
    """What the manifest says of a checkpoint."""
    return CheckpointEntry(
        file=file,
        sha256=sha256,
        step=content["step"],
        epoch=content["epoch"],
        position=content["position"],
        metrics_offset=content["wall"]["metrics_offset"],
        time=content["wall"]["time"],
        best=best,
    )
