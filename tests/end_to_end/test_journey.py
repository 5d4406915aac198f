"""The keys that the product declares have an effect, in a real terminal."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.end_to_end.journey import (
    NONE,
    Journey,
    keys_to_try,
    leaving_keys,
    make_template,
    order_queue,
)
from tests.end_to_end.kinds import KINDS
from tests.end_to_end.places import PLACES, Place, classes_with_keys, reached_classes
from workbench.ui.base.layout import PANES

SIZE = (80, 24)
TESTED_PLACES = {"1 Runs"}
"""The other places and the dialogs take minutes: `python -m tests.end_to_end.journey` visits all of them."""
PTY = next(kind for kind in KINDS if kind.name == "pty")


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_template(tmp_path_factory.mktemp("journey") / "template")


def test_every_class_with_keys_is_visited() -> None:
    assert not classes_with_keys() - reached_classes()
    assert {place.path[0] for place in PLACES if place.everywhere} == {spec.key for spec in PANES.values()}


@pytest.mark.parametrize(
    "place", [pytest.param(place, id=place.name) for place in PLACES if place.name in TESTED_PLACES]
)
def test_every_key_of_a_pane_or_dialog_has_an_effect(place: Place, template: Path) -> None:
    with Journey(PTY, SIZE, template) as journey:
        found = journey.try_keys(place, keys_to_try(place, PTY, own=True))
        assert "end" not in place.own_keys() or journey.walk(place)
    assert [key for key, effect in found.items() if effect == NONE] == []


def test_keys_that_leave_the_screen(template: Path) -> None:
    assert NONE not in leaving_keys(PTY, SIZE, template).values()


def test_the_keys_of_queued_runs(template: Path) -> None:
    order_queue(PTY, SIZE, template)
