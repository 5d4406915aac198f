from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from workbench.compute.client import ComputeClient


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[ComputeClient]:
    """One process for the tests of a module that do not change its state."""
    client = ComputeClient(tmp_path_factory.mktemp("compute") / "compute.log")
    yield client
    client.close()
