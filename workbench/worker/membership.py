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
    peers: list[ProcessId] = field(default_factory=list)
    """All processes by rank, once they are connected."""

    @classmethod
    def from_environment(cls) -> Membership:
        """By the variables that the elastic agent sets."""
        return cls(int(os.environ["RANK"]), int(os.environ["LOCAL_RANK"]), int(os.environ["WORLD_SIZE"]))

    def has_lost_peer(self) -> bool:
        """Whether another process on this host has ended, or ends within a moment."""
        here = [peer for peer in self.peers if peer.host == self.peers[self.rank].host]
        deadline = time.monotonic() + LOST_SECONDS
        while here:
            if not all(map(is_alive, here)):
                return True
            if time.monotonic() >= deadline:
                break
            time.sleep(POLL_SECONDS)
        return False
