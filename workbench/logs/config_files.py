"""Settings of a run, flattened: nested names are joined with `/`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

MAX_SETTINGS = 10_000
MAX_DEPTH = 20
MAX_YAML_BYTES = 1 << 18

ConfigValue = str | int | float | bool | None


def flatten(content: object, prefix: str = "") -> dict[str, ConfigValue]:
    """Nested mappings as one level; the elements of a list become one text, as in `[0.9, 0.99]`.

    At most `MAX_SETTINGS` are taken: a YAML file of a few lines can stand for millions by its aliases.
    """
    settings: dict[str, ConfigValue] = {}
    for name, value in _leaves(content, prefix, MAX_DEPTH):
        settings[name] = value
        if len(settings) >= MAX_SETTINGS:
            break
    return settings


def _leaves(content: object, prefix: str, depth: int) -> Iterator[tuple[str, ConfigValue]]:
    if isinstance(content, dict) and content and depth:
        for key, value in content.items():
            yield from _leaves(value, f"{prefix}/{key}" if prefix else str(key), depth - 1)
    elif isinstance(content, str | int | float | None):
        yield prefix, content
    elif depth:
        yield prefix, _short_text(content)


def _short_text(content: object) -> str:
    """A list as text: its first elements, and lists inside it without theirs."""
    if not isinstance(content, list | tuple):
        return str(content) if not isinstance(content, dict) else "{…}" if content else "{}"
    elements = [_element(value) for value in content[:20]]
    return f"[{', '.join(elements)}{', …' if len(content) > 20 else ''}]"


def _element(value: object) -> str:
    if isinstance(value, list | tuple):
        return f"[{len(value)} elements]"
    return "{…}" if isinstance(value, dict) else str(value)


def read_yaml(path: Path) -> dict[str, ConfigValue]:
    """The settings in a YAML file, without creating Python objects; none if it is invalid or too long.

    Raises `OSError`.
    """
    import yaml  # noqa: PLC0415  -- only logs that have such a file need it

    class Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
        """Builds plain values only, also from what is tagged as a Python object."""

    def plain(loader: Loader, node: yaml.Node) -> object:
        if isinstance(node, yaml.ScalarNode):
            return loader.construct_scalar(node)
        if isinstance(node, yaml.SequenceNode):
            return loader.construct_sequence(node, deep=True)
        return loader.construct_mapping(node, deep=True)

    Loader.add_constructor(None, plain)
    with path.open("rb") as file:
        data = file.read(MAX_YAML_BYTES + 1)
    if len(data) > MAX_YAML_BYTES:
        return {}
    try:
        content: Any = yaml.load(data, Loader)
    except (yaml.YAMLError, ValueError, RecursionError):
        return {}
    return flatten(content) if isinstance(content, dict) else {}
