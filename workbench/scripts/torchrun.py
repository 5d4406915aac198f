"""A script on several nodes: its command below torchrun on each of them."""

from __future__ import annotations

import hashlib
import sys

from workbench.launcher.placement import endpoint_of
from workbench.runs.journal import Attempt
from workbench.runs.nodes import Placement
from workbench.runs.script import Script
from workbench.system.host import host_name
from workbench.system.network import (
    GLOO_VARIABLE,
    LATER_NODE,
    address_towards,
    interface_of,
    is_own_address,
    resolve,
)


def torchrun_command(script: Script, placement: Placement, attempt: Attempt) -> tuple[str, ...]:
    """The command of `script` below torchrun, which meets only those of the same command and the same commit."""
    endpoint = endpoint_of(placement)
    commit = attempt.source.commit if attempt.source else ""
    name = hashlib.sha256(repr((script.command, commit, placement.nodes)).encode()).hexdigest()[:16]
    timeout = max(1, round(placement.timeout))
    waits = f"is_host={int(not placement.joins)},join_timeout={timeout},read_timeout={timeout}"
    return (
        sys.executable, "-m", "torch.distributed.run", "--nnodes", str(placement.nodes),
        "--nproc-per-node", str(placement.processes), "--rdzv-backend", "c10d", "--rdzv-endpoint", str(endpoint),
        "--rdzv-id", name, "--rdzv-conf", waits,
        "--local-addr", f"{LATER_NODE}{host_name()}" if placement.joins else endpoint.host,
        "--no-python", *script.command,
    )  # fmt: skip


def node_environment(placement: Placement) -> dict[str, str]:
    """Let gloo use the interface that has the address at which the nodes meet, or leads to it. Raises `UserError`."""
    addresses = resolve(endpoint_of(placement).host)
    own = next((address for address in addresses if is_own_address(address)), "")
    interface = interface_of(own or address_towards(addresses[0]))
    return {GLOO_VARIABLE: interface} if interface else {}
