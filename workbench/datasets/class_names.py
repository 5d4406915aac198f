"""Class names of published datasets whose files contain numbers only (imports neither torch nor torchvision)."""

from __future__ import annotations

import string

_DIGITS = tuple(string.digits)

CLASSES: dict[str, tuple[str, ...]] = {
    "mnist": _DIGITS,
    "qmnist": _DIGITS,
    "svhn": _DIGITS,
    "fashion-mnist": (
        "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
    ),
    "kmnist": ("o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo"),
    "cifar10": ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"),
    "stl10": ("airplane", "bird", "car", "cat", "deer", "dog", "horse", "monkey", "ship", "truck"),
    "gtsrb": (
        "limit 20", "limit 30", "limit 50", "limit 60", "limit 70", "limit 80", "end of limit 80", "limit 100",
        "limit 120", "no overtaking", "no overtaking, lorries", "priority at the crossing", "priority road",
        "give way", "stop", "no vehicles", "no lorries", "no entry", "danger", "bend to the left",
        "bend to the right", "double bend", "uneven road", "slippery road", "road narrows", "road works",
        "traffic lights", "pedestrians", "children", "bicycles", "ice or snow", "wild animals", "end of limits",
        "turn right ahead", "turn left ahead", "ahead only", "ahead or right", "ahead or left", "keep right",
        "keep left", "roundabout", "end of no overtaking", "end of no overtaking, lorries",
    ),
}  # fmt: skip

IMAGENETTE = {
    "n01440764": "tench", "n02102040": "English springer", "n02979186": "cassette player", "n03000684": "chain saw",
    "n03028079": "church", "n03394916": "French horn", "n03417042": "garbage truck", "n03425413": "gas pump",
    "n03445777": "golf ball", "n03888257": "parachute",
}  # fmt: skip
"""Names by WordNet identifier; Imagenette's folders are named by these identifiers."""

_MERGED = frozenset("cijklmopsuvwxyz")
"""Letters whose lower case EMNIST's merged splits count as upper case."""


def emnist_classes(split: str) -> tuple[str, ...]:
    """The class names of an EMNIST split, in the order of its labels."""
    if split in {"digits", "mnist"}:
        return _DIGITS
    if split == "letters":
        return tuple(string.ascii_lowercase)
    characters = string.digits + string.ascii_uppercase + string.ascii_lowercase
    return tuple(c for c in characters if split == "byclass" or c not in _MERGED)
