"""`esc` and a key in one packet are both keys; real sequences stay what they are, however they arrive."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator

import pytest
from textual import constants, events
from textual.message import Message
from textual.messages import TerminalSupportsSynchronizedOutput

from tests.ui.test_terminal import OpenScreen, open_screen  # noqa: F401
from workbench.ui.base.escape_parser import EscapeParser

ESC = ("escape", "\x1b")


def parse(*packets: str) -> Iterator[Message]:
    """The events of what a terminal sends, and then nothing for a moment."""
    parser = EscapeParser()
    for packet in packets:
        yield from parser.feed(packet)
    time.sleep(constants.ESCAPE_DELAY)
    yield from parser.tick()


def keys(*packets: str) -> list[tuple[str, str | None]]:
    return [(event.key, event.character) for event in parse(*packets) if isinstance(event, events.Key)]


def names(*packets: str) -> list[str]:
    return [key for key, _ in keys(*packets)]


@pytest.mark.parametrize("typed", [*"jJ5fb-=[]OP_X\\?:/q", "\t", "\r", "\x7f", "jk", "3q", "é", "j" * 40])
def test_esc_and_what_is_typed_after_it(typed: str) -> None:
    assert keys("\x1b" + typed) == [ESC, *keys(typed)] != [ESC]


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ("\x1b", ["escape"]),
        ("\x1b\x1b", ["escape", "escape"]),
        ("\x1b[A", ["up"]),
        ("\x1b[Z", ["shift+tab"]),
        ("\x1bOP", ["f1"]),
        ("\x1b[[A", ["f1"]),
        ("\x1b[3$", ["shift+delete"]),
        ("\x1b[1;5D", ["ctrl+left"]),
        ("\x1b\x1b[A", ["escape", "up"]),
        ("\x1bj\x1b[A", ["escape", "j", "up"]),
        ("\x1b[27u", ["escape"]),
        ("x\x1b[3~y", ["x", "delete", "y"]),
    ],
)
def test_sequences_of_keys(data: str, expected: list[str]) -> None:
    assert names(data) == expected


@pytest.mark.parametrize(
    "data",
    ["\x1b[1;5D", "\x1bOP", "\x1b[[A", "\x1b[200~a\x1b[31mb\x1b[201~", "\x1b[?2026;2$y", "\x1b[<0;3;4M"],
)
def test_a_sequence_may_be_cut_anywhere(data: str) -> None:
    whole = [repr(event) for event in parse(data + "j")]
    assert len(whole) == 2
    for cut in range(1, len(data)):
        assert [repr(event) for event in parse(data[:cut], data[cut:] + "j")] == whole


def test_pasted_text_is_never_taken_for_keys() -> None:
    pasted = "x\x1b[31mred\x1b[0m\x1bq \x1b]0;title\x07" + "long " * 2000
    text, key = parse(f"\x1b[200~{pasted}\x1b[201~j")
    assert isinstance(text, events.Paste) and text.text == pasted.replace("\x1b", "")
    assert isinstance(key, events.Key) and key.key == "j"


def test_pasted_text_may_come_slowly() -> None:
    parser = EscapeParser()
    assert not list(parser.feed("\x1b[200~first "))
    time.sleep(constants.ESCAPE_DELAY)
    assert not list(parser.tick())
    (text,) = parser.feed("second\x1b[201~")
    assert isinstance(text, events.Paste) and text.text == "first second"


@pytest.mark.parametrize(
    "answer",
    [
        "\x1b]11;rgb:1e1e/1e1e/2e2e\x1b\\",
        "\x1b]11;rgb:1e1e/1e1e/2e2e\x07",
        "\x1b]52;c;" + "QUJD" * 20 + "\x1b\\",
        "\x1bP>|XTerm(388)\x1b\\",
        "\x1bP1+r524742=38\x1b\\",
        "\x1b_Gi=31;OK\x1b\\",
        "\x1b[?64;1;2;6;9;15;16;17;18;21;22;28c",
        "\x1b[?1u",
        "\x1b[1;9Z",
    ],
)
def test_unknown_sequences_press_no_keys(answer: str) -> None:
    assert names(answer + "j") == ["j"]
    assert names(answer[:-1], answer[-1:] + "j") == ["j"]


def test_responses_and_mouse_events_are_passed_to_the_app() -> None:
    answer, press, focus = parse("\x1b[?2026;2$y\x1b[<0;3;4M\x1b[I")
    assert isinstance(answer, TerminalSupportsSynchronizedOutput) and isinstance(focus, events.AppFocus)
    assert isinstance(press, events.MouseDown) and (press.x, press.y) == (2, 3)


@pytest.mark.parametrize("size", [1, 3, 7, 1000])
@pytest.mark.parametrize(
    "text", ["plain", "a\x1b[31mb\rq", "\x1b", "\x1b\x1b[A", "\x1b[20", "x\x1b]52;c;aGk=\x07y", "\x1b[200~z"]
)
def test_pasted_text_is_no_keys(text: str, size: int) -> None:
    """However it is split into packets, and whatever is typed after it."""
    parser, data = EscapeParser(), f"\x1b[200~{text}\x1b[201~x"
    received = [event for at in range(0, len(data), size) for event in parser.feed(data[at : at + size])]
    pasted, typed = received
    assert isinstance(pasted, events.Paste) and pasted.text == text.replace("\x1b", "")
    assert isinstance(typed, events.Key) and typed.key == "x"


def test_the_screen_gets_both_keys(open_screen: OpenScreen) -> None:  # noqa: F811
    opened = open_screen()
    opened.wait_for(b"digits-mlp")
    os.write(opened.master, b"?")
    opened.wait_for(b"esc back")
    os.write(opened.master, b"\x1bq")
    assert opened.process.wait(10) == 0
