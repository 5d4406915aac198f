"""Addresses of hosts."""

from __future__ import annotations

import socket

import pytest

from workbench.core.errors import UserError
from workbench.system.network import (
    Endpoint,
    address_towards,
    interface_of,
    is_answering,
    is_loopback,
    is_own_address,
    is_own_name,
    is_port_free,
    parse_endpoint,
    resolve,
)


@pytest.mark.parametrize(
    ("text", "endpoint"),
    [
        ("gpu01:29400", Endpoint("gpu01", 29400)),
        (" 10.0.0.1:1 ", Endpoint("10.0.0.1", 1)),
        ("[fe80::1]:29400", Endpoint("fe80::1", 29400)),
        ("gpu01", None),
        ("gpu01:0", None),
        ("gpu01:65536", None),
        ("fe80::1:29400", None),
        ("http://gpu01:29400", None),
        ("", None),
    ],
)
def test_endpoints_are_read(text: str, endpoint: Endpoint | None) -> None:
    assert parse_endpoint(text) == endpoint
    if endpoint is not None:
        assert parse_endpoint(str(endpoint)) == endpoint


def test_addresses_of_this_host() -> None:
    assert is_own_address("127.0.0.1") and is_loopback("127.0.0.1") and is_loopback("::1")
    assert not is_own_address("192.0.2.1") and not is_loopback("192.0.2.1")
    assert is_own_name(socket.gethostname()) and not is_own_name("localhost")
    assert resolve("127.0.0.1") == ["127.0.0.1"]
    assert address_towards("127.0.0.1") == "127.0.0.1"
    assert interface_of("127.0.0.1").startswith("lo")
    assert interface_of("192.0.2.1") == ""


def test_whether_a_server_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        endpoint = Endpoint("127.0.0.1", server.getsockname()[1])
        assert is_answering(endpoint) and not is_port_free(endpoint.port)
    assert not is_answering(endpoint) and is_port_free(endpoint.port)


def test_a_name_without_an_address_is_an_error() -> None:
    with pytest.raises(UserError, match=r"no\.such\.host\.invalid can't be resolved"):
        resolve("no.such.host.invalid")
