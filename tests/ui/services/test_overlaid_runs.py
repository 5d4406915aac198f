from __future__ import annotations

from pathlib import Path

from workbench.core import paths
from workbench.runs.opened_logs import OpenedLogs
from workbench.runs.store import Store
from workbench.ui.services.overlaid_runs import OverlaidRuns
from workbench.ui.services.run_monitor import RunMonitor


def test_selected_runs_are_followed_until_others_are_selected(make_run, write_run):
    first, second = make_run("first"), make_run("second", status=None)
    runs = OverlaidRuns(Store.default())
    assert runs.poll() is None
    runs.select([first.id, second.id])
    assert [view.name for view in runs.poll()] == ["first", "second"]
    assert runs.poll() is None
    write_run["train"](second, range(3, 4))
    assert len(runs.poll()[1].steps) == 30
    runs.select([second.id])
    assert [view.name for view in runs.poll()] == ["second"]
    runs.select([])
    assert runs.poll() == [] and runs.poll() is None
    runs.close()


def test_the_monitor_delivers_copies_of_them(make_run, write_run):
    folder = make_run("marked")
    monitor = RunMonitor(Store.default(), lambda snapshot: None)
    assert monitor.poll().overlays is None
    monitor.overlay([folder.id])
    (view,) = monitor.poll().overlays
    evaluations = len(view.evaluations)
    write_run["train"](folder, range(3, 4))
    assert len(monitor.poll().overlays[0].evaluations) == evaluations + 1 == len(view.evaluations) + 1


def test_opened_logs_of_other_programs_are_read_where_they_are(tmp_path: Path) -> None:
    table = tmp_path / "metrics.csv"
    table.write_text("step,epoch,loss\n1,0,0.5\n2,0,0.25\n")
    opened = OpenedLogs([table])
    runs = OverlaidRuns(Store(paths.runs(), opened))
    runs.select([opened.folders[0].id])
    (view,) = runs.poll()
    assert list(view.logged["loss"].values) == [0.5, 0.25]
    runs.close()
    opened.close()
