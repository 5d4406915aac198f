from __future__ import annotations

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
