"""The options of datasets of the user's own files."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from workbench.datasets.image_options import ImageFit, ImageSide, SplitSeed, StoredSide


class NpzOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Options of `npz:FILE`."""

    image: Annotated[
        str,
        Meta(description="array of inputs; empty: found by its name (x, images, x_train, train_images, …)"),
    ] = ""
    label: Annotated[
        str, Meta(description="array of classes; empty: found by its name (y, labels, y_train, …)")
    ] = ""
    group: Annotated[
        str,
        Meta(
            description="array of groups (patients, scenes) that are in one split only; empty: groups, if there is one"
        ),
    ] = ""
    test: Annotated[
        float, Meta(gt=0, lt=1, description="fraction held out for the test if the file has no test arrays")
    ] = 0.2
    seed: SplitSeed = 0


class PackedOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Options of `tar:PATTERN` and `parquet:PATH`."""

    size: ImageSide = "auto"
    fit: ImageFit = "crop"
    store: StoredSide = "auto"
    image: Annotated[
        str, Meta(description="column of images (parquet) or extension (tar); empty: found by itself")
    ] = ""
    label: Annotated[
        str,
        Meta(
            description="column (parquet), extension or key of .json (tar) of classes; empty: found by its name"
        ),
    ] = ""
    group: Annotated[
        str,
        Meta(
            description="column (parquet), extension or key of .json (tar) of groups (patients, scenes) that are in "
            "one split only; empty: none"
        ),
    ] = ""
    test: Annotated[
        float,
        Meta(gt=0, lt=1, description="fraction held out for the test if no file is called like a test split"),
    ] = 0.2
    seed: SplitSeed = 0


class CsvOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Options of `csv:FILE`. A column is named by its name or, from 1 on, by its number."""

    size: ImageSide = "auto"
    fit: ImageFit = "crop"
    store: StoredSide = "auto"
    image: Annotated[str, Meta(description="column of image paths; empty: found by its name and content")] = (
        ""
    )
    label: Annotated[str, Meta(description="column of classes; empty: found by its name")] = ""
    split: Annotated[
        str,
        Meta(
            description="column of splits (train, val, test); empty: found by its name, none: no such column"
        ),
    ] = ""
    group: Annotated[
        str,
        Meta(
            description="column of groups (patients, scenes) that are in one split only; empty: found by its name, "
            "none: no such column"
        ),
    ] = ""
    fold: Annotated[
        str,
        Meta(
            description="column of folds for cross-validation; empty: found by its name, none: no such column"
        ),
    ] = ""
    header: Annotated[
        Literal["auto", "yes", "no"], Meta(description="whether the first row has the names of the columns")
    ] = "auto"
    test: Annotated[
        float, Meta(gt=0, lt=1, description="fraction held out for the test if no row is of a test split")
    ] = 0.2
    seed: SplitSeed = 0
