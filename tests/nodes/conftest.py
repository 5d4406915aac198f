"""Two hosts, and what they train."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.nodes.hosts import Host, Network, missing_programs


@pytest.fixture(scope="session")
def network() -> Iterator[Network]:
    """Two hosts."""
    if missing := missing_programs():
        assert "CI" not in os.environ, f"CI runs as root and installs iproute2; missing: {missing}"
        pytest.skip(f"needs root, and Debian's iproute2 (missing: {', '.join(missing)})")
    network = Network()
    try:
        network.create()
        yield network
    finally:
        network.remove()


@pytest.fixture
def hosts(network: Network, tmp_path: Path) -> Iterator[tuple[Host, Host]]:
    """Both hosts, with a home of their own."""
    for host in network.hosts:
        host.home = tmp_path / host.name
    yield network.hosts
    for host in network.hosts:
        host.kill_all()
