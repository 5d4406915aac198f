"""How busy this host is, for the other nodes of a run."""

from __future__ import annotations

from collections.abc import Collection

from workbench.runs.nodes import NodeGpu, NodeUsage
from workbench.system.cpu import usable_cores
from workbench.system.gpu import list_gpus
from workbench.system.machine_load import busy_share, read_load
from workbench.system.memory import host_memory


class NodeSampler:
    """Samples the load of this host, with that of the GPUs (UUIDs) that the run has."""

    def __init__(self, gpus: Collection[str]) -> None:
        self._gpus, self._load = gpus, read_load()

    def sample(self) -> NodeUsage:
        """The load since the previous sample."""
        before, self._load = self._load, read_load()
        busy, (total, free) = busy_share(before, self._load), host_memory()
        return NodeUsage(
            cores=usable_cores(),
            busy=None if busy is None else round(busy, 3),
            memory_used=None if total is None or free is None else total - free,
            memory_total=total,
            gpus=tuple(
                NodeGpu(
                    name=gpu.name, load=gpu.load, memory_used=gpu.memory_total - gpu.memory_free,
                    memory_total=gpu.memory_total,
                )
                for gpu in (list_gpus() if self._gpus else [])
                if gpu.uuid in self._gpus
            ),
        )  # fmt: skip
