"""Addresses of hosts: reading `HOST:PORT`, which addresses are this host's own, and whether another one answers."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import ipaddress
import os
import re
import socket
import struct
from pathlib import Path
from typing import NamedTuple

from workbench.core.errors import UserError

CONNECT_SECONDS = 5.0
GLOO_VARIABLE = "GLOO_SOCKET_IFNAME"
"""The variable of the environment by which gloo gets its network interface."""
LATER_NODE = "~"
"""Begins the address of all nodes but the first: torchrun numbers nodes in the order of their addresses, and uses only
that of the first one.
"""
_SIOCGIFADDR = 0x8915
_ENDPOINT = re.compile(r"(\[[0-9A-Fa-f:.%\w]+\]|[^\s:/\[\]]+):(\d{1,5})")


class Endpoint(NamedTuple):
    """A host, by name or address, and a TCP port."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parse_endpoint(text: str) -> Endpoint | None:
    """The host and port in `HOST:PORT` or `[IPV6]:PORT`; `None` for any other text."""
    match = _ENDPOINT.fullmatch(text.strip())
    if match is None or not 1 <= int(match[2]) <= 65535:
        return None
    return Endpoint(match[1].strip("[]"), int(match[2]))


def resolve(host: str) -> list[str]:
    """The addresses of a host. Raises `UserError` for a name that has none."""
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        raise UserError(f"the host name {host} can't be resolved: write the address of the host") from None
    return list(dict.fromkeys(str(place[0]) for *_, place in found))


def is_loopback(address: str) -> bool:
    """Whether an address means this host wherever it is used."""
    return ipaddress.ip_address(address.partition("%")[0]).is_loopback


def is_own_name(host: str) -> bool:
    """Whether a name is that of this host, whose address may be a loopback address in `/etc/hosts`."""
    own = socket.gethostname().lower()
    return host.lower() in {own, own.partition(".")[0], socket.getfqdn().lower()} - {"localhost"}


def is_own_address(address: str) -> bool:
    """Whether an address is one of this host: only those can be bound."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with contextlib.suppress(OSError), socket.socket(family) as probe:
        probe.bind((address, 0))
        return True
    return False


def is_port_free(port: int) -> bool:
    """Whether a server may listen at a port of this host."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("", port))
        except OSError:
            return False
    return True


def is_answering(endpoint: Endpoint, seconds: float = CONNECT_SECONDS) -> bool:
    """Whether a server listens at `endpoint`. Raises `UserError` where the host can't be reached at all."""
    try:
        socket.create_connection(endpoint, timeout=seconds).close()
    except ConnectionRefusedError:
        return False
    except OSError as error:
        text = os.strerror(error.errno) if error.errno else "no answer"
        if error.errno in {errno.ECONNRESET, errno.ECONNABORTED}:
            return False
        raise UserError(f"{endpoint} can't be reached: {text}") from None
    return True


def address_towards(address: str) -> str:
    """The address of this host from which it reaches another one; empty where it does not."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with contextlib.suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as probe:
        probe.connect((address, 9))  # of UDP: nothing is sent
        return str(probe.getsockname()[0])
    return ""


def interface_of(address: str) -> str:
    """The network interface that has an address of this host; empty where it is not found."""
    if ":" in address:
        return _interface_of_ipv6(address)
    for _, name in socket.if_nameindex():
        with contextlib.suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            reply = fcntl.ioctl(probe, _SIOCGIFADDR, struct.pack("256s", name.encode()[:15]))
            if socket.inet_ntoa(reply[20:24]) == address:
                return name
    return ""


def _interface_of_ipv6(address: str) -> str:
    wanted = ipaddress.IPv6Address(address.partition("%")[0]).packed.hex()
    try:
        lines = Path("/proc/net/if_inet6").read_text().splitlines()
    except OSError:
        return ""
    return next((line.split()[-1] for line in lines if line.split()[:1] == [wanted]), "")
