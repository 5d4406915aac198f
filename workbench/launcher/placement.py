"""Starting a run on several nodes: the checks before it, and the records that its processes read."""

from __future__ import annotations

import contextlib
import shlex
from collections.abc import Sequence

from workbench.config.process_count import process_count
from workbench.config.training_settings import TrainingSettings
from workbench.core.errors import UserError
from workbench.io.record_codec import write_record
from workbench.runs.nodes import Placement, read_placement
from workbench.runs.run_folder import RunFolder
from workbench.system.device_names import device_names
from workbench.system.network import (
    Endpoint,
    is_answering,
    is_loopback,
    is_own_address,
    is_own_name,
    is_port_free,
    parse_endpoint,
    resolve,
)

DEFAULT_PORT = 29400
"""Of `--rdzv HOST`, as of torchrun."""
MAX_NODES = 4096


def make_placement(nodes: int, address: str, timeout: float, command: Sequence[str]) -> Placement:
    """The placement on `nodes` nodes that meet at `address` (`HOST[:PORT]`); this host may be any of them.

    Raises `UserError` for an address that is not usable here: a name without an address, a port in use on the first
    node, or a first node that can't be reached.
    """
    endpoint = parse_endpoint(address) or parse_endpoint(f"{address}:{DEFAULT_PORT}")
    if endpoint is None:
        raise UserError(f"--rdzv must be HOST:PORT, the address of the first node, not '{address}'")
    addresses = resolve(endpoint.host)
    is_own = is_own_name(endpoint.host)
    if not is_own and any(map(is_loopback, addresses)):
        raise UserError(
            f"--rdzv {endpoint}: {endpoint.host} is another host on each node; "
            "write an address of the first node that the others reach"
        )
    joins = not (is_own or any(map(is_own_address, addresses)))
    if joins:
        is_answering(endpoint)  # whether it listens already does not matter: it may be started later
    elif not is_port_free(endpoint.port):
        raise UserError(f"--rdzv {endpoint}: port {endpoint.port} of this host is in use; choose another one")
    return Placement(
        nodes=nodes, address=str(endpoint), joins=joins, timeout=timeout, command=shlex.join(command)
    )


def endpoint_of(placement: Placement) -> Endpoint:
    """Where its nodes meet."""
    endpoint = parse_endpoint(placement.address)
    assert endpoint is not None  # checked by `make_placement`
    return endpoint


def resumed_placement(folder: RunFolder, given: Placement | None) -> Placement:
    """Where a run is resumed: as `given`, else as the last time. Raises `UserError` where it can't meet here."""
    placement = given or read_placement(folder)
    if placement.nodes == 1 or given is not None:
        return placement
    try:
        here = make_placement(placement.nodes, placement.address, placement.timeout, ())
    except UserError as error:
        raise UserError(f"{folder.id} trains on {placement.nodes} nodes: {error}") from None
    if here.joins:
        raise UserError(
            f"{folder.id} trains on {placement.nodes} nodes that meet at {placement.address}: resume it there, or "
            "here with --rdzv and an address of this host, or with --nnodes 1 and all its processes on this host"
        )
    return placement


def write_placement(folder: RunFolder, placement: Placement) -> None:
    """Record where the run trains from now on; a run on one host has no file. Raises `OSError`."""
    if placement.nodes > 1:
        write_record(folder.placement, placement)
        return
    for path in (folder.placement, folder.nodes):
        with contextlib.suppress(FileNotFoundError):
            path.unlink()


def local_processes(train: TrainingSettings, placement: Placement) -> int:
    """How many of a run's processes each of its nodes has; 1 for a script."""
    return max(1, process_count(train) // placement.nodes)


def check_placement(train: TrainingSettings, placement: Placement) -> None:
    """Raise `UserError` for a training that can't be divided among the nodes."""
    count = process_count(train)
    if placement.nodes == 1:
        return
    if len(device_names(train.device)) > 1:
        raise UserError(
            f"--nnodes and GPUs by name ({train.device}) can't be combined: --gpus N uses N GPUs of each node"
        )
    if count % placement.nodes:
        raise UserError(
            f"train.processes {count} can't be divided among {placement.nodes} nodes: set it to a multiple"
        )
