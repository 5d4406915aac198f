"""What people are told about the nodes of a run."""

from __future__ import annotations

from datetime import datetime

import pytest

from workbench.runs.enums import NodeEvent
from workbench.runs.journal import NodeChange
from workbench.runs.nodes import (
    SINGLE_NODE,
    Node,
    NodeGpu,
    Nodes,
    NodeUsage,
    Placement,
    describe_missing,
    describe_node_change,
    describe_usage,
    nodes_report,
)

NOW = datetime(2026, 12, 1, 14, 30).timestamp()
LOST = datetime(2026, 12, 1, 14, 3).timestamp()


@pytest.mark.parametrize(
    ("lost", "here", "count", "text"),
    [
        ((), 2, 2, ""),
        ((), 1, 2, "waiting for 1 of 2 nodes"),
        ((), 1, 4, "waiting for 3 of 4 nodes"),
        (("gpu02",), 1, 2, "node gpu02 is lost since 14:03: waiting"),
        (
            ("gpu02", "gpu0\x1b3"),
            2,
            4,
            "nodes gpu02, gpu0\N{REPLACEMENT CHARACTER}3 are lost since 14:03: waiting",
        ),
    ],
)
def test_what_a_run_waits_for(lost: tuple[str, ...], here: int, count: int, text: str) -> None:
    nodes = (
        *(Node(host=f"gpu1{number}") for number in range(here)),
        *(Node(host=host, lost_since=LOST) for host in lost),
    )
    assert describe_missing(Nodes(count=count, nodes=nodes), NOW) == text


@pytest.mark.parametrize(
    ("event", "text"),
    [
        (NodeEvent.JOINED, "node gpu02 has joined"),
        (NodeEvent.LOST, "node gpu02 is lost: waiting for it"),
        (NodeEvent.BACK, "node gpu02 is back: resumed from step 800"),
        (NodeEvent.REFUSED, "node gpu02 was refused: another experiment"),
    ],
)
def test_what_has_happened_to_a_node(event: NodeEvent, text: str) -> None:
    change = NodeChange(event=event, host="gpu02", step=800, reason="another experiment")
    assert describe_node_change(change) == text


def test_how_busy_a_node_is() -> None:
    gpu = NodeGpu(name="NVIDIA H200", load=0.97, memory_used=70 * 10**9, memory_total=140 * 10**9)
    usage = NodeUsage(cores=64, busy=0.34, memory_used=12 * 10**9, memory_total=64 * 10**9, gpus=(gpu,))
    expected = "34% of 64 cores, memory 12.0 GB of 64.0 GB, NVIDIA H200 97% 70.0 GB of 140 GB"
    assert describe_usage(usage) == expected
    assert describe_usage(NodeUsage()) == ""


def test_only_a_live_run_waits() -> None:
    placement, nodes = Placement(nodes=2, address="gpu01:29400", command="workbench train"), Nodes(count=2)
    for live in (True, False):
        report = nodes_report(placement, nodes, live=live)
        assert report is not None
        assert (report.waits_for is not None) is live
    assert nodes_report(SINGLE_NODE, nodes, live=True) is None
