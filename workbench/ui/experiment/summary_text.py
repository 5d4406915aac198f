"""The experiment as text: dataset, model, layers, training settings and estimated cost."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.text import Text

from workbench.compute.protocol_responses import ModelSummary
from workbench.config.data_summary import DataSummary
from workbench.core import paths
from workbench.core.text import cell_width, format_bytes, format_count, format_shape, pad, sanitize, truncate
from workbench.datasets import catalog as datasets
from workbench.models import catalog as models
from workbench.system import machine_info
from workbench.system.devices import TrainingDevice
from workbench.ui.base.theme import THEME
from workbench.ui.experiment.draft import Draft, cost, format_value
from workbench.ui.services.model_summaries import ModelSummaryResult

MAX_NAMED_LAYERS = 3
"""The most layers of a kind that are listed one by one."""


def experiment_summary(
    draft: Draft,
    model_summary: ModelSummaryResult,
    device: TrainingDevice,
    width: int,
    planned: Sequence[str] = (),
    *,
    contents: DataSummary | None = None,
) -> list[Text]:
    """The experiment as a low pane shows it, in `width` cells; `planned`, `contents`: see `cost_lines`."""
    estimate = cost(draft, model_summary.parameters, contents)
    samples = "" if estimate.train is None else f" {format_count(estimate.train)}"
    if estimate.validation:
        samples += f"/~{format_count(estimate.validation)} val"  # rounded for each class
    samples += f" {format_count(estimate.test)} test" if estimate.test else ""
    value, layers_width = draft.value, width - 15
    model = f" {format_count(estimate.parameters)}" if estimate.parameters else ""
    model += " pretrained" if value("model.pretrained") is True else ""
    layers = layers_line(model_summary.summary, width - 6) or _shapes(draft, contents)
    schedule = "" if value("train.schedule") == "constant" else f" {value('train.schedule')}"
    optimizer = f"{value('train.optimizer')} {format_value(value('train.lr')).removeprefix('0')}{schedule}"
    lines = [
        _line("data", _short_name(draft.data) + samples, width),
        *([_line("", contents.short, width)] if contents else []),
        _line("model", _short_name(draft.model) + model, width),
        _line(
            "",
            f"{pad(layers, layers_width)} v layers" if cell_width(layers) <= layers_width else layers,
            width,
        ),
        _line(
            "train",
            f"{optimizer} {value('train.epochs')}×{value('train.batch_size')} seed {value('seed')}",
            width,
        ),
        _line("augm", format_value(value("train.augment")).replace(",", " "), width),
        *cost_lines(draft, model_summary, device, width, planned, contents=contents),
    ]
    lines[3 if contents else 2].stylize("dim")
    return [*lines, _key_hints(_device_name(device.device), draft.count)]


def _key_hints(device: str, runs: int) -> Text:
    hints = Text("", no_wrap=True)
    start = [("t", f" train on {device}  " if device else " train  "), ("T", " queue  ")]
    for key, action in ([("t", f" queue {runs} runs  ")] if runs > 1 else start) + [("enter", " edit")]:
        hints.append(key, style="bold")
        hints.append(action, style="dim")
    return hints


def _device_name(device: str) -> str:
    return device.upper() if device == "cpu" else device


def cost_lines(
    draft: Draft,
    model_summary: ModelSummaryResult,
    device: TrainingDevice,
    width: int,
    planned: Sequence[str] = (),
    *,
    contents: DataSummary | None = None,
) -> list[Text]:
    """Steps, parameters, disk space and device, or `planned` if given; or the error that prevents training.

    `contents`: those of a folder of images, if known. Above the lines, why the run would train on the CPU although
    there are GPUs.
    """
    problem = draft.problem or model_summary.error
    if problem:
        return [Text(f"✗ {sanitize(problem)}", style=THEME.error or "red")]
    warning = []
    if device.warning:
        warning.append(
            Text(truncate(f"⚠ {sanitize(device.warning)}", max(1, width)), THEME.warning or "yellow")
        )
    rows = [""]
    for part in planned or _estimates(draft, model_summary, device, width, contents):
        longer = f"{rows[-1]}, {part}" if rows[-1] else part
        rows = [*rows[:-1], longer] if cell_width(longer) <= width - 7 else [*rows, part]
    return [*warning, *(_line("" if index else "cost", row, width) for index, row in enumerate(rows))]


def _estimates(
    draft: Draft,
    model_summary: ModelSummaryResult,
    device: TrainingDevice,
    width: int,
    contents: DataSummary | None,
) -> Iterator[str]:
    """The cost as far as it is known without a plan."""
    estimate = cost(draft, model_summary.parameters, contents)
    if estimate.steps is not None:
        yield f"{f'{draft.count} × ' if draft.count > 1 else ''}{estimate.steps:,} steps"
    if estimate.parameters and width > 60:
        yield f"{format_count(estimate.parameters)} parameters"
    if device.device and width > 60:
        yield f"on {_device_name(device.device)} ({device.reason})"
    if estimate.download and width > 60:
        yield f"{format_bytes(estimate.download)} to download"
    if estimate.parameters is not None and estimate.disk:
        yield _disk_text(estimate.disk)


def _disk_text(required: int) -> str:
    free = machine_info.disk_space(paths.runs()).free
    if free is None:
        return f"{format_bytes(required)} disk"
    return f"{format_bytes(required)} disk {'✓' if required < free else f'✗ only {format_bytes(free)} free'}"


def layers_line(summary: ModelSummary | None, width: int = 60) -> str:
    """`3×32×32─▸6─▸16─▸120─▸84─▸10`: the input, the channels of a few convolutions (or `20 conv`), and the vectors
    after them; what does not fit into `width` cells is left out after the input.
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
    convolutions = maps if len(maps) <= MAX_NAMED_LAYERS else [f"{len(maps)} conv"]
    return _join_shapes(
        [format_shape(summary.input_shape), *convolutions, *vectors[-MAX_NAMED_LAYERS:]], width
    )


def _join_shapes(shapes: list[str], width: int) -> str:
    line = "─▸".join(shapes)
    for first in range(2, len(shapes)):
        if cell_width(line) > width:
            line = "─▸".join([shapes[0], "…", *shapes[first:]])
    return line


def _shapes(draft: Draft, contents: DataSummary | None) -> str:
    if contents is not None:
        return "─▸".join((format_shape(contents.input_shape), "…", str(len(contents.facts.classes))))
    data, model = draft.choices()
    about, info = datasets.describe(data.name, data.options), models.find(model.name)
    shape = about.shape
    side = info.size_for(model.options, shape)
    inputs = [shape[0] if shape else 3, side, side] if side else shape
    outputs = about.classes or (1 if about.task == "regression" else None)
    return "─▸".join(part for part in (format_shape(inputs or []), "…", str(outputs or "")) if part)


def _short_name(name: str) -> str:
    """A name, or the end of a long path."""
    return sanitize(name if len(name) < 24 else "…" + name[-22:])


def _line(label: str, text: str, width: int) -> Text:
    line = Text(no_wrap=True, end="")
    line.append(pad(label, 6), style="dim")
    line.append(truncate(text, max(1, width - 6)))
    return line
