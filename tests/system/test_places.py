"""Which device a queued run is given: alone, shared, by name, and what it waits for."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.gpus import FOREIGN_PID, GB, StubDriver, driver, gpu, uuid
from workbench.system.device_claims import Claims, DeviceClaim
from workbench.system.gpu import read_inventory
from workbench.system.places import NoPlace, PlaceRequest, Places, Shortage

__all__ = ["driver"]

CPU = "cpu@here"


def claims(*devices: str, memory: int = 0) -> Claims:
    found: dict[str, list[DeviceClaim]] = {}
    for device in devices:
        claim = DeviceClaim(device=device, run="run", memory=memory, shared=memory > 0)
        found.setdefault(device, []).append(claim)
    return found


def places(held: Claims | None = None, slots: int = 1) -> Places:
    return Places(read_inventory(), CPU, slots).with_claims(held or {})


def shortage(place: str | NoPlace) -> Shortage | None:
    return place.shortage if isinstance(place, NoPlace) else None


def test_twenty_runs_that_share_spread_over_four_gpus(driver: StubDriver, home: object) -> None:
    driver.write([gpu(0), gpu(1), gpu(2), gpu(3), gpu(4, pids=[FOREIGN_PID])])
    request, held, taken = PlaceRequest("auto", memory=15 * GB, share=True), list[str](), places()
    for _ in range(20):  # each is given before any of them has allocated anything
        place = taken.find(request)
        assert isinstance(place, str)
        held.append(place)
        taken = taken.with_claims(claims(*held, memory=15 * GB))
    assert Counter(held) == {uuid(number): 5 for number in range(4)}  # 5 times 15 of 80 GB
    assert shortage(taken.find(request)) is Shortage.MEMORY


@pytest.mark.parametrize(
    ("request_", "held", "expected"),
    [
        (PlaceRequest("auto"), claims(uuid(0)), uuid(1)),
        (PlaceRequest("cuda:0"), claims(uuid(0)), Shortage.GPU),
        (PlaceRequest("auto"), claims(uuid(0), uuid(1), memory=GB), Shortage.GPU),
        (PlaceRequest("auto", memory=GB, share=True), claims(uuid(0), uuid(1)), Shortage.GPU),
        (PlaceRequest("cuda:0", memory=79 * GB, share=True), claims(uuid(0), memory=GB), uuid(0)),
        (PlaceRequest("cuda:0", memory=79 * GB, share=True), claims(uuid(0), memory=2 * GB), Shortage.MEMORY),
        (PlaceRequest("cuda:2"), {}, Shortage.OTHER_PROCESSES),
        (PlaceRequest("cpu"), {}, CPU),
        (PlaceRequest("cpu"), claims(CPU), Shortage.CPU_SLOT),
        (PlaceRequest("cuda:9"), {}, CPU),  # the worker reports that it is missing
    ],
)
def test_a_place_or_why_there_is_none(
    request_: PlaceRequest, held: Claims, expected: str, driver: StubDriver, home: object
) -> None:
    driver.write([gpu(0), gpu(1), gpu(2, pids=[FOREIGN_PID])])
    place = places(held).find(request_)
    assert (shortage(place) or place) == expected


def test_earlier_runs_keep_what_they_wait_for(driver: StubDriver, home: object) -> None:
    driver.write([gpu(0), gpu(1)])
    taken = places(claims(uuid(0)), slots=2)
    first = taken.find(PlaceRequest("cuda:0"))
    assert isinstance(first, NoPlace)
    later = taken.reserve(first.devices)
    assert later.find(PlaceRequest("auto")) == uuid(1)
    assert shortage(later.find(PlaceRequest("cuda:0"))) is Shortage.EARLIER_RUN
    assert later.find(PlaceRequest("cpu")) == CPU


@pytest.mark.parametrize(
    ("devices", "expected"),
    [
        (["auto"] * 3, 2),
        (["cuda:1"] * 3, 1),
        (["cuda:0", "cuda:1"], 2),
        (["cpu"] * 5, 3),
        (["cuda:1", "cuda:1", "cpu", "cpu"], 3),
    ],
)
def test_how_many_runs_have_a_place_at_once(
    devices: list[str], expected: int, driver: StubDriver, home: object
) -> None:
    driver.write([gpu(0), gpu(1)])
    assert places(slots=3).capacity([PlaceRequest(device) for device in devices]) == expected


def test_several_processes_get_all_their_gpus_or_none(driver: StubDriver, home: object) -> None:
    driver.write([gpu(0), gpu(1), gpu(2)])
    free = places()
    two = PlaceRequest("cuda", processes=2)
    assert free.find_all(two) == (uuid(0), uuid(1))
    assert free.find_all(PlaceRequest("cuda:0,2", processes=2)) == (uuid(0), uuid(2))
    assert free.with_claims(claims(uuid(0))).find_all(two) == (uuid(1), uuid(2))
    taken = free.with_claims(claims(uuid(0), uuid(1))).find_all(two)
    assert isinstance(taken, NoPlace) and taken.shortage is Shortage.GPU
    named = free.with_claims(claims(uuid(2))).find_all(PlaceRequest("cuda:0,2", processes=2))
    assert isinstance(named, NoPlace) and named.devices == (uuid(0), uuid(2))
    assert free.find_all(PlaceRequest("cpu", processes=2)) == (CPU,)
