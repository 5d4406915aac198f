"""Plans that the screen had made: one process at a time tries an experiment, and what it found is kept."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from workbench.config.experiment import Experiment
from workbench.core.progress import Interrupted, Progress
from workbench.core.text import count, duration, size
from workbench.planning.client import Planning
from workbench.planning.plan import Plan

MAKING = "trying some steps…"


class Preflight:
    """Makes plans, and remembers them by the experiment they are of."""

    def __init__(self) -> None:
        self._plans: dict[str, Plan] = {}
        self._planning: Planning | None = None
        self._wanted = ""

    def of(self, experiment: Experiment) -> Plan | None:
        """The plan of exactly this experiment, once there is one."""
        return self._plans.get(_key(experiment))

    @property
    def busy(self) -> bool:
        """Whether one is being made."""
        return bool(self._wanted)

    def is_making(self, experiment: Experiment) -> bool:
        """Whether the one that is being made is of this experiment."""
        return self._wanted == _key(experiment)

    def make(self, experiment: Experiment, tell: Callable[[str], None]) -> Awaitable[Plan | None]:
        """Have the plan made; `None` where it was cancelled. `tell` is called from another thread.

        Raises `BadInput` or `RunFailed`.
        """
        self._wanted = _key(experiment)
        return self._made(experiment, tell)

    async def _made(self, experiment: Experiment, tell: Callable[[str], None]) -> Plan | None:
        try:
            plan = await asyncio.to_thread(self._make, experiment, tell)
        except Interrupted:
            return None
        finally:
            self._planning, self._wanted = None, ""
        self._plans[_key(experiment)] = plan
        return plan

    def _make(self, experiment: Experiment, tell: Callable[[str], None]) -> Plan:
        def heard(progress: Progress) -> None:
            done = "" if not progress.total else f" {100 * progress.done // progress.total} %"
            tell(f"{progress.what}{done}")

        with Planning(experiment) as planning:
            if not self._wanted:
                raise Interrupted
            self._planning = planning
            return planning.wait(heard)

    def cancel(self) -> None:
        """End what is being made."""
        self._wanted = ""
        if self._planning is not None:
            self._planning.cancel()


def cost_parts(plan: Plan) -> list[str]:
    """`4h06`, `9.0 GB GPU`, `0.7 GB disk ✓`, `183 samples/s`, `b 2 faster`: what the pane's line is made of."""
    device, free = plan.memory["device"], plan.disk["free"]
    memory = f"{size(device)} GPU" if device else f"{size(plan.memory['process'])} RAM"
    disk = "✓" if plan.fits else f"✗ only {size(free)} free"
    faster = f"b {len(plan.proposals)} faster" if plan.proposals else ""
    parts = [duration(plan.seconds["total"]), memory, f"{size(plan.disk['total'])} disk {disk}",
             f"{count(plan.samples_per_second)} samples/s", faster]  # fmt: skip
    return [part for part in parts if part]


def _key(experiment: Experiment) -> str:
    return repr(experiment.to_dict())
