"""What torchvision's transforms leave of an image, by their recorded arguments."""

from __future__ import annotations

from collections.abc import Sequence

from workbench.datasets.input_record import StepArgument, TransformStep


def seen_by_steps(size: tuple[int, int], steps: Sequence[TransformStep]) -> tuple[float, bool]:
    """The part of an image of `size` (width, height) that is left, 0..1, and whether it is stretched."""
    width, height = map(float, size)
    seen, is_stretched = 1.0, False
    for step in steps:
        for name, sides in _operations(step):
            if name == "crop":
                seen *= min(1.0, sides[1] / width) * min(1.0, sides[0] / height)
                width, height = sides[1], sides[0]
            elif len(sides) == 1:
                factor = sides[0] / min(width, height)
                longest = step.arguments.get("max_size")
                if isinstance(longest, int):
                    factor = min(factor, longest / max(width, height))
                width, height = width * factor, height * factor
            else:
                is_stretched |= round(width * sides[0]) != round(height * sides[1])
                width, height = sides[1], sides[0]
    return seen, is_stretched


def _operations(step: TransformStep) -> list[tuple[str, tuple[float, ...]]]:
    """The resizes and crops of a transform, with their sizes (height, width) or (shorter side,)."""
    arguments = step.arguments
    if step.name == "ImageClassification":
        resized, cropped = _sides(arguments["resize_size"]), _sides(arguments["crop_size"])
        return [("resize", resized), ("crop", cropped * 2 if len(cropped) == 1 else cropped)]
    if step.name == "Resize":
        return [("resize", _sides(arguments["size"]))]
    if step.name == "CenterCrop":
        sides = _sides(arguments["size"])
        return [("crop", sides * 2 if len(sides) == 1 else sides)]
    return []


def _sides(value: StepArgument) -> tuple[float, ...]:
    values = value if isinstance(value, (tuple, list)) else (value,)
    return tuple(float(side) for side in values if isinstance(side, (int, float)))
