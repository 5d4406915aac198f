"""The experiment in a few lines of text: what is chosen, what becomes of it, what it costs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rich.text import Text

from workbench.compute.protocol import ModelSummary
from workbench.core import paths
from workbench.core.text import cell_width, count, cut, pad, safe, size, times
from workbench.datasets import catalog as datasets
from workbench.models import catalog as models
from workbench.system import machine_info
from workbench.ui.base.theme import THEME
from workbench.ui.experiment.draft import Draft, cost, shown

FEW = 3
"""Layers of a kind that are named one by one."""


@dataclass(frozen=True)
class Counted:
    """The model of a draft, layer by layer; nothing before it was asked for."""

    summary: ModelSummary | None = None
    error: str = ""
    """Why there is none, in one line."""

    @property
    def known(self) -> bool:
        """Whether there is an answer."""
        return self.summary is not None or bool(self.error)

    @property
    def parameters(self) -> int | None:
        """Of the model."""
        return self.summary.parameters if self.summary else None


def summary_lines(
    draft: Draft, counted: Counted, device: tuple[str, str], width: int, planned: Sequence[str] = ()
) -> list[Text]:
    """The experiment as the pane shows it when there is no room for the form; `planned`: see `cost_lines`."""
    spent = cost(draft, counted.parameters)
    examples = "" if spent.train is None else f" {count(spent.train)}"
    examples += f"/~{count(spent.validation)} val" if spent.validation else ""  # rounded class by class
    examples += f" {count(spent.test)} test" if spent.test else ""
    value, hinted = draft.value, width - 15
    about = f" {count(spent.parameters)}" if spent.parameters else ""
    about += " pretrained" if value("model.pretrained") is True else ""
    layers = layers_line(counted.summary, width - 6) or _shapes(draft)
    schedule = "" if value("train.schedule") == "constant" else f" {value('train.schedule')}"
    learning = f"{value('train.optimizer')} {shown(value('train.lr')).removeprefix('0')}{schedule}"
    lines = [
        _line("data", _short(draft.data) + examples, width),
        _line("model", _short(draft.model) + about, width),
        _line("", f"{pad(layers, hinted)} v layers" if cell_width(layers) <= hinted else layers, width),
        _line(
            "train",
            f"{learning} {value('train.epochs')}×{value('train.batch_size')} seed {value('seed')}",
            width,
        ),
        _line("augm", shown(value("train.augment")).replace(",", " "), width),
        *cost_lines(draft, counted, device, width, planned),
    ]
    lines[2].stylize("dim")
    place = device[0].upper() if device[0] == "cpu" else device[0]
    hint = Text("", no_wrap=True)
    for key, what in (("t", f" train on {place}  " if place else " train  "), ("enter", " edit")):
        hint.append(key, style="bold")
        hint.append(what, style="dim")
    return [*lines, hint]


def cost_lines(
    draft: Draft, counted: Counted, device: tuple[str, str], width: int, planned: Sequence[str] = ()
) -> list[Text]:
    """Steps, parameters, disk and device, or what was `planned` instead; or why it can't be trained."""
    problem = draft.problem or counted.error
    if problem:
        return [Text(f"✗ {safe(problem)}", style=THEME.error or "red")]
    rows = [""]
    for part in planned or _estimated(draft, counted, device, width):
        longer = f"{rows[-1]}, {part}" if rows[-1] else part
        rows = [*rows[:-1], longer] if cell_width(longer) <= width - 7 else [*rows, part]
    return [_line("" if index else "cost", row, width) for index, row in enumerate(rows)]


def _estimated(draft: Draft, counted: Counted, device: tuple[str, str], width: int) -> Iterator[str]:
    """What is known of the cost before anything is tried."""
    spent = cost(draft, counted.parameters)
    if spent.steps is not None:
        yield f"{spent.steps:,} steps"
    if spent.parameters and width > 60:
        yield f"{count(spent.parameters)} parameters"
    if device[0] and width > 60:
        yield f"on {device[0].upper() if device[0] == 'cpu' else device[0]} ({device[1]})"
    if spent.download and width > 60:
        yield f"{size(spent.download)} to download"
    if spent.parameters is not None and spent.disk:
        yield _disk(spent.disk)


def _disk(wanted: int) -> str:
    free = machine_info.room(paths.runs()).free
    if free is None:
        return f"{size(wanted)} disk"
    return f"{size(wanted)} disk {'✓' if wanted < free else f'✗ only {size(free)} free'}"


def layers_line(summary: ModelSummary | None, room: int = 60) -> str:
    """`3×32×32─▸6─▸16─▸120─▸84─▸10`: the input, the channels of a few convolutions (or `20 conv`), and the vectors
    that come of it; what doesn't go into `room` cells is left out behind the input.
    """
    if summary is None:
        return ""
    maps, vectors = [], []
    for row in summary.layers:
        shape = row.output_shape
        if row.parameters and "Norm" not in row.kind and shape:
            if all(side == 1 for side in shape[1:]):
                vectors.append(str(shape[0]))
            elif "Conv" in row.kind:
                maps.append(str(shape[0]))
    begin = maps if len(maps) <= FEW else [f"{len(maps)} conv"]
    return _chained([times(summary.input_shape), *begin, *vectors[-FEW:]], room)


def _chained(chain: list[str], room: int) -> str:
    line = "─▸".join(chain)
    for behind in range(2, len(chain)):
        if cell_width(line) > room:
            line = "─▸".join([chain[0], "…", *chain[behind:]])
    return line


def _shapes(draft: Draft) -> str:
    data, model = draft.choices()
    about, info = datasets.describe(data.name, data.options), models.find(model.name)
    shape = about.shape
    side = info.size_for(model.options, shape)
    inputs = [shape[0] if shape else 3, side, side] if side else shape
    outputs = about.classes or (1 if about.task == "regression" else None)
    return "─▸".join(part for part in (times(inputs or []), "…", str(outputs or "")) if part)


def _short(name: str) -> str:
    """A name as it is recognised: of a path its end."""
    return safe(name if len(name) < 24 else "…" + name[-22:])


def _line(label: str, text: str, width: int) -> Text:
    line = Text(no_wrap=True, end="")
    line.append(pad(label, 6), style="dim")
    line.append(cut(text, max(1, width - 6)))
    return line
