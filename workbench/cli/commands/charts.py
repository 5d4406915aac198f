"""`workbench charts`."""

import argparse
from pathlib import Path

from workbench.charts.chart_options import ALL_METRICS, ChartOptions, YSpan, parse_limits
from workbench.charts.chart_set import ChartSet
from workbench.charts.metric_names import matches, sections
from workbench.charts.run_metrics import XKind
from workbench.cli import console
from workbench.cli.run_argument import runs_and_logs
from workbench.core.errors import UserError
from workbench.core.exit_codes import DONE
from workbench.core.paths import expand_user_path
from workbench.runs.reader import read_view
from workbench.ui.charts.export import export_charts
from workbench.ui.charts.run_styles import MAX_RUNS

X_KINDS = {"step": XKind.STEP, "epoch": XKind.EPOCH, "relative": XKind.RELATIVE, "wall": XKind.WALL}


def charts(options: argparse.Namespace) -> int:
    """Draw the metrics of some runs, and of logs of other programs, as the charts pane does."""
    with runs_and_logs(options.run) as folders:
        views = [read_view(folder) for folder in dict.fromkeys(folders)]
    if len(views) > MAX_RUNS:
        raise UserError(f"at most {MAX_RUNS} runs fit into one chart")
    chart_set, names = ChartSet(), {view.folder.id: view.name for view in views}
    chart_set.update(views)
    shown = [metric for section in sections(chart_set.names) for metric in section.names]
    found = list(filter(matches(options.metrics), shown))
    if not found:
        reason = f"no metric matches '{options.metrics}'" if shown else "it has no metrics"
        raise UserError(f"there is nothing to draw: {reason}")
    span: YSpan = "all" if options.outliers else "inner" if options.no_outliers else "usual"
    limits = {} if options.y is None else {ALL_METRICS: parse_limits(options.y)}
    how = ChartOptions(X_KINDS[options.x], options.smooth, options.log, span, limits)
    if options.to is None and options.format == "png":
        raise UserError("a PNG is written to a file: add --to FILE.png")
    content = export_charts(chart_set, found, names, how, options.format)()
    if options.to is None:
        for line in content.decode().rstrip("\n").split("\n"):
            console.print_result(line)
        return DONE
    target: Path = expand_user_path(options.to)
    if target.exists():
        raise UserError(f"{target} already exists; choose another path with --to")
    target.write_bytes(content)
    console.print_result(str(target))
    return DONE
