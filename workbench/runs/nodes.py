"""The nodes of a run: where they meet (`placement.json`), and which of them are there (`nodes.json`)."""

from __future__ import annotations

import time
from typing import Annotated

import msgspec
from msgspec import Meta

from workbench.core import text
from workbench.core.text import sanitize
from workbench.io.record_codec import Record, read_record
from workbench.runs.enums import NodeEvent
from workbench.runs.journal import NodeChange
from workbench.runs.run_folder import RunFolder
from workbench.runs.tickets import MAX_TIME

NODE_TIMEOUT = 1800.0
"""Seconds that a run waits for a node, by default: enough to boot a machine."""


Share = Annotated[float, Meta(ge=0, le=1)]


class Placement(Record, frozen=True, kw_only=True):
    """`placement.json`: on how many nodes a run trains, and where they meet."""

    nodes: Annotated[int, Meta(ge=1)] = 1
    address: str = ""
    """`HOST:PORT` of the first node, which has the run."""
    joins: bool = False
    """Whether the folder is that of a node which joins a run of another host."""
    timeout: float = NODE_TIMEOUT
    """Seconds to wait for a node."""
    command: str = ""
    """What to execute on the other nodes, as a shell takes it."""
    processes: Annotated[int, Meta(ge=1)] = 1
    """Of a script: how many each node has. Of a training, its settings say how many there are on all nodes."""


SINGLE_NODE = Placement()


def read_placement(folder: RunFolder) -> Placement:
    """Where the run trains; a run on one host has no file."""
    return read_record(folder.placement, Placement) or SINGLE_NODE


class NodeGpu(Record, frozen=True, kw_only=True, omit_defaults=False):
    """A GPU that a node gives to the run; `None` where a value is unknown."""

    name: str
    load: Share | None = None
    """From 0 to 1."""
    memory_used: int | None = None
    memory_total: int | None = None
    """Bytes."""


class NodeUsage(Record, frozen=True, kw_only=True, omit_defaults=False):
    """How busy a node is; `None` where a value is unknown."""

    cores: int = 0
    busy: Share | None = None
    """Share of all its cores since the report before, from 0 to 1."""
    memory_used: int | None = None
    memory_total: int | None = None
    """Bytes."""
    gpus: tuple[NodeGpu, ...] = ()
    """Those that the run has."""


class Node(Record, frozen=True, kw_only=True, omit_defaults=False):
    """A node of a run."""

    host: str
    lost_since: Annotated[float, Meta(ge=0, le=MAX_TIME)] | None = None
    """When its last sign of life came, Unix seconds; `None` for a node that is there."""
    usage: NodeUsage = NodeUsage()


class Nodes(Record, frozen=True, kw_only=True, omit_defaults=False):
    """`nodes.json`: written by the agent of the first node."""

    attempt: int = 0
    count: int = 1
    """How many there have to be."""
    nodes: tuple[Node, ...] = ()
    """Those that are there, the first one with the run, and those that are lost."""
    time: float = 0.0
    """When it was written, Unix seconds."""

    @property
    def lost(self) -> tuple[Node, ...]:
        """The nodes that were there, and are no longer."""
        return tuple(node for node in self.nodes if node.lost_since is not None)

    @property
    def missing(self) -> int:
        """How many nodes are not there."""
        return max(0, self.count - len(self.nodes) + len(self.lost))


def describe_missing(nodes: Nodes, now: float) -> str:
    """Which nodes a run waits for at the Unix time `now`, for people; empty where none is missing."""
    if not nodes.missing:
        return ""
    if not nodes.lost:
        return f"waiting for {nodes.missing} of {text.plural(nodes.count, 'node')}"
    names = ", ".join(sanitize(node.host) for node in nodes.lost)
    since = text.format_time(min(node.lost_since or now for node in nodes.lost), now)
    several = len(nodes.lost) > 1
    return (
        f"{'nodes' if several else 'node'} {names} {'are' if several else 'is'} lost since {since}: waiting"
    )


class NodesReport(msgspec.Struct, frozen=True, kw_only=True):
    """The nodes of a run, in `--json`."""

    count: int
    """How many there have to be."""
    address: str
    """Where they meet."""
    command: str
    """What starts the others."""
    waits_for: str | None
    """Which nodes a live run waits for, for people."""
    nodes: tuple[Node, ...]


def nodes_report(placement: Placement, nodes: Nodes, *, live: bool) -> NodesReport | None:
    """The nodes of a run now; `None` for a run on one host."""
    if placement.nodes == 1:
        return None
    return NodesReport(
        count=placement.nodes,
        address=placement.address,
        command=placement.command,
        waits_for=(describe_missing(nodes, time.time()) or None) if live else None,
        nodes=nodes.nodes,
    )


def describe_usage(usage: NodeUsage) -> str:
    """How busy a node is, in one line: `load 34% of 16 cores, 12.0 of 64.0 GB memory`."""
    busy = "" if usage.busy is None else f"{usage.busy:.0%} of "
    parts = [f"{busy}{text.plural(usage.cores, 'core')}"] if usage.cores else []
    if usage.memory_total:
        parts.append(f"memory {_memory(usage.memory_used, usage.memory_total)}")
    for gpu in usage.gpus:
        load = "" if gpu.load is None else f" {gpu.load:.0%}"
        parts.append(f"{sanitize(gpu.name)}{load} {_memory(gpu.memory_used, gpu.memory_total)}")
    return ", ".join(parts)


def _memory(used: int | None, total: int | None) -> str:
    return f"{text.format_bytes(used)} of {text.format_bytes(total)}"


def describe_node_change(change: NodeChange) -> str:
    """What has happened to a node, for people."""
    node = f"node {sanitize(change.host)}"
    match change.event:
        case NodeEvent.JOINED:
            return f"{node} has joined"
        case NodeEvent.LOST:
            return f"{node} is lost: waiting for it"
        case NodeEvent.BACK:
            return f"{node} is back: resumed from step {change.step or 0}"
        case NodeEvent.REFUSED:
            return f"{node} was refused: {sanitize(change.reason)}"
