"""How images are fitted to the shape of a model's inputs. Imports no Pillow, for the catalog and the records."""

from typing import Literal

Fit = Literal["crop", "pad", "stretch"]
"""`crop`: the center of the image; `pad`: all of it, with black borders; `stretch`: all of it, distorted."""
