"""What a model does not see of images, or sees otherwise: of one image, and counted over many."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass


@dataclass(frozen=True)
class ImageChanges:
    """How the pixels of one image change before the model sees them, in words."""

    conversions: tuple[str, ...] = ()
    """Of its values."""
    fitted: str = ""
    """Of its shape; empty if all of it is seen undistorted."""
    seen: float = 1.0
    """The part of it that is left, 0..1."""

    @property
    def texts(self) -> tuple[str, ...]:
        """All of them, one line each."""
        return (*self.conversions, *filter(None, (self.fitted,)))


class ChangeCounts:
    """The changes of many images, with one line for each kind."""

    def __init__(self) -> None:
        self._images = self._fitted = 0
        self._conversions: Counter[str] = Counter()
        self._worst = ImageChanges()

    def add(self, changes: ImageChanges) -> None:
        """Count one image."""
        self._images += 1
        self._conversions.update(changes.conversions)
        if changes.fitted:
            self._fitted += 1
            if not self._worst.fitted or changes.seen < self._worst.seen:
                self._worst = changes

    def notices(self) -> tuple[str, ...]:
        """One line for each kind of change; of those of the shape, the one that leaves least of an image."""
        counted = [*self._conversions.most_common()]
        if self._fitted:
            counted.append((self._worst.fitted, self._fitted))
        if self._images == 1:
            return tuple(text for text, _ in counted)
        return tuple(f"{count:,} of {self._images:,} images: {text}" for text, count in counted)
