"""Plans of experiments: a subprocess tries some training steps; its plans are cached."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from workbench.config.experiment import Experiment
from workbench.core.progress import Cancelled, Progress
from workbench.core.text import format_bytes, format_count, format_duration
from workbench.planning.client import PlanProcess
from workbench.planning.plan import Plan

PLANNING_TEXT = "trying some steps…"


class PlanCache:
    """Makes plans, one at a time, and caches them by their experiment."""

    def __init__(self) -> None:
        self._plans: dict[str, Plan] = {}
        self._planning: PlanProcess | None = None
        self._requested = ""

    def get(self, experiment: Experiment) -> Plan | None:
        """The cached plan of exactly this experiment."""
        return self._plans.get(_key(experiment))

    @property
    def is_planning(self) -> bool:
        """Whether a plan is being made."""
        return bool(self._requested)

    def is_planning_for(self, experiment: Experiment) -> bool:
        """Whether a plan of this experiment is being made."""
        return self._requested == _key(experiment)

    def make_plan(self, experiment: Experiment, report: Callable[[str], None]) -> Awaitable[Plan | None]:
        """Make a plan in a subprocess; `None` if it was cancelled. `report` is called from another thread.

        Raises `UserError` or `RunFailed`.
        """
        self._requested = _key(experiment)
        return self._plan(experiment, report)

    async def _plan(self, experiment: Experiment, report: Callable[[str], None]) -> Plan | None:
        try:
            plan = await asyncio.to_thread(self._run_planning, experiment, report)
        except Cancelled:
            return None
        finally:
            self._planning, self._requested = None, ""
        self._plans[_key(experiment)] = plan
        return plan

    def _run_planning(self, experiment: Experiment, report: Callable[[str], None]) -> Plan:
        def report_progress(progress: Progress) -> None:
            done = "" if not progress.total else f" {100 * progress.done // progress.total} %"
            report(f"{progress.what}{done}")

        with PlanProcess(experiment) as planning:
            if not self._requested:
                raise Cancelled
            self._planning = planning
            return planning.wait(report_progress)

    def cancel(self) -> None:
        """Cancel the plan that is being made."""
        self._requested = ""
        if self._planning is not None:
            self._planning.cancel()


def cost_parts(plan: Plan) -> list[str]:
    """`4h06`, `9.0 GB GPU`, `0.7 GB disk ✓`, `183 samples/s`, `b 2 faster`: the parts of the line of costs."""
    device, free = plan.memory["device"], plan.disk["free"]
    memory = f"{format_bytes(device)} GPU" if device else f"{format_bytes(plan.memory['process'])} RAM"
    disk = "✓" if plan.fits else f"✗ only {format_bytes(free)} free"
    faster = f"b {len(plan.proposals)} faster" if plan.proposals else ""
    parts = [format_duration(plan.seconds["total"]), memory, f"{format_bytes(plan.disk['total'])} disk {disk}",
             f"{format_count(plan.samples_per_second)} samples/s", faster]  # fmt: skip
    return [part for part in parts if part]


def _key(experiment: Experiment) -> str:
    return repr(experiment.to_dict())
