"""Which of the processes of a training this is, known before torch is imported."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, field

from workbench.system.processes import ProcessId, is_alive

LOST_SECONDS = 1.0
"""How long after an error one process looks whether another one has ended: that would be the reason."""
POLL_SECONDS = 0.05


@dataclass
class Membership:
    """The place of this process among those that train one run; rank 0 writes the run's files."""

    rank: int
    local_rank: int
    """Among those on this host."""
    size: int
    local_size: int
    """How many are on this host."""
    peers: list[ProcessId] = field(default_factory=list)
    """All processes by rank, once they are connected."""
    has_copy: bool = False
    """Whether this process has copies of the run's files, as the run is on another node."""

    @classmethod
    def from_environment(cls) -> Membership:
        """By the variables that the elastic agent sets."""
        names = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE")
        rank, local_rank, size, local_size = (int(os.environ[name]) for name in names)
        return cls(rank, local_rank, size, local_size)

    @property
    def spans_nodes(self) -> bool:
        """Whether some of the processes are on other hosts."""
        return self.size > self.local_size

    @property
    def is_beside_writer(self) -> bool:
        """Whether rank 0 is on this host."""
        return self.rank == self.local_rank

    def has_lost_peer(self) -> bool:
        """Whether another process on this host has ended, or ends within a moment."""
        first = self.rank - self.local_rank
        here = self.peers[first : first + self.local_size]
        deadline = time.monotonic() + LOST_SECONDS
        while here:
            if not all(map(is_alive, here)):
                return True
            if time.monotonic() >= deadline:
                break
            time.sleep(POLL_SECONDS)
        return False
