"""The nodes of a run as its first node knows them: who has come, who is lost, and how busy each is."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from msgspec.structs import replace

from workbench.io.record_codec import read_record, write_record
from workbench.runs.enums import NodeEvent
from workbench.runs.journal import Attempt, Journal, NodeChange
from workbench.runs.nodes import Node, Nodes, NodeUsage
from workbench.runs.records import Heartbeat
from workbench.runs.run_folder import RunFolder
from workbench.worker.node_channel import BEAT, JOINS, REFUSALS, Beat, Channel, Join, Refusal, item
from workbench.worker.node_usage import NodeSampler

FRESH_SECONDS = 3.0
"""A node that has given no sign of life for longer does not take part in a start; signs come every second."""
LOST_SECONDS = 5.0
"""One whose connections have broken is lost after so long without a sign of life."""
SILENT_SECONDS = 30.0
"""And any other one after so long."""
WRITE_SECONDS = 2.0


@dataclass
class Member:
    """A node that has come in this attempt."""

    place: int
    """In the list of joins, from 1."""
    host: str
    address: str
    count: int = -1
    """Of its newest sign of life."""
    seen: float = field(default_factory=time.monotonic)
    """When that came, monotonic seconds."""
    usage: NodeUsage = field(default_factory=NodeUsage)

    @property
    def silent_seconds(self) -> float:
        """How long it has given no sign of life."""
        return time.monotonic() - self.seen


class NodeTable:
    """Follows the nodes of one attempt, and writes `nodes.json` and the journal."""

    def __init__(
        self, folder: RunFolder, attempt: Attempt, journal: Journal, channel: Channel, host: str
    ) -> None:
        self._folder, self._attempt, self._journal, self._channel = folder, attempt, journal, channel
        self._own = Node(host=host)
        self._sampler = NodeSampler([gpu.uuid for gpu in attempt.assigned])
        known = read_record(folder.nodes, Nodes) or Nodes()
        self.lost: dict[str, float] = {node.host: node.lost_since or 0.0 for node in known.lost}
        """Nodes that were there before, and since when they are not (Unix seconds)."""
        self.members: dict[int, Member] = {}
        self._joins = self._refusals = 0
        self._written = -WRITE_SECONDS

    def poll(self) -> None:
        """Read what the nodes say. Raises `ChannelClosed`."""
        for place in range(self._joins + 1, self._channel.count(JOINS) + 1):
            join = self._channel.get(item(JOINS, place), Join)
            if join is None:  # it is being written
                break
            self._joins = place
            self.members[place] = Member(place, join.host, join.address)
        for place in range(self._refusals + 1, self._channel.count(REFUSALS) + 1):
            refusal = self._channel.get(item(REFUSALS, place), Refusal)
            if refusal is None:
                break
            self._refusals = place
            self._note(NodeEvent.REFUSED, refusal.host, reason=refusal.reason)
        for member in self.members.values():
            beat = self._channel.get(item(BEAT, member.place), Beat)
            if beat is not None and beat.count != member.count:
                member.count, member.usage, member.seen = beat.count, beat.usage, time.monotonic()

    def forget_silent(self) -> None:
        """While the run waits: drop nodes that have gone again, or have come a second time."""
        newest = {member.host: member.place for member in self.members.values()}
        for member in list(self.members.values()):
            repeated = newest[member.host] != member.place
            if member.silent_seconds > (FRESH_SECONDS if repeated else LOST_SECONDS):
                del self.members[member.place]

    def ready(self) -> list[Member]:
        """The nodes that take part, in the order of their names, if all are there; else none."""
        fresh = [m for m in self.members.values() if m.count >= 0 and m.silent_seconds < FRESH_SECONDS]
        chosen = sorted(fresh, key=lambda member: member.place)[: self._attempt.nodes - 1]
        complete = len(chosen) == self._attempt.nodes - 1
        return sorted(chosen, key=lambda member: (member.host, member.place)) if complete else []

    def start(self, chosen: list[Member]) -> None:
        """Only these take part from now on; note who has come, and who is back."""
        self.members = {member.place: member for member in chosen}
        for member in chosen:
            is_back = self.lost.pop(member.host, None) is not None
            self._note(NodeEvent.BACK if is_back else NodeEvent.JOINED, member.host)
        self.lost.clear()  # others have come instead
        self.write()

    def lose(self, members: list[Member]) -> None:
        """Note that these nodes are lost."""
        for member in members:
            self.lost[member.host] = time.time() - member.silent_seconds
            self.members.pop(member.place, None)
            beat = read_record(self._folder.heartbeat, Heartbeat) or Heartbeat()
            self._note(NodeEvent.LOST, member.host, step=beat.step)
        self.write()

    def state(self) -> Nodes:
        """The nodes now."""
        here = [Node(host=member.host, usage=member.usage) for member in self.members.values()]
        names = {node.host for node in here}
        lost = [Node(host=host, lost_since=since) for host, since in self.lost.items() if host not in names]
        return Nodes(
            attempt=self._attempt.attempt, count=self._attempt.nodes, nodes=(self._own, *here, *lost),
            time=round(time.time(), 3),
        )  # fmt: skip

    def write_if_due(self) -> None:
        """Write `nodes.json` every few seconds, with how busy the first node is."""
        if time.monotonic() - self._written >= WRITE_SECONDS:
            self._own = replace(self._own, usage=self._sampler.sample())
            self.write()

    def write(self) -> None:
        """Write `nodes.json`; on a full disk the next time has to do."""
        self._written = time.monotonic()
        try:
            write_record(self._folder.nodes, self.state(), durable=False)
        except OSError:
            return

    def _note(self, event: NodeEvent, host: str, *, step: int | None = None, reason: str = "") -> None:
        step = self._attempt.from_step if step is None else step
        change = NodeChange(event=event, host=host, attempt=self._attempt.attempt, step=step, reason=reason)
        self._journal.append(change)
