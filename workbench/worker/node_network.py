"""Which network interface the processes of several nodes use."""

from __future__ import annotations

import os

from workbench.system.network import GLOO_VARIABLE, address_towards, interface_of


def use_interface_towards(address: str) -> None:
    """Let gloo use the interface by which this host reaches another node, unless the user has chosen one.

    It would take that of the host's name otherwise, which may have no address, or one that only this host reaches.
    """
    interface = interface_of(address_towards(address))
    if interface:
        os.environ.setdefault(GLOO_VARIABLE, interface)
