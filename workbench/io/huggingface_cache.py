"""Files of the Hugging Face Hub: where they are downloaded from, and where its own tools keep them on this machine.

Sources: https://huggingface.co/docs/huggingface_hub, "Environment variables" and "Manage your cache".
"""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import quote

from workbench.core.paths import expand_user_path

WEIGHTS = "model.safetensors"
"""The name of the file with the weights in a model's repository."""


def file_url(repository: str, name: str) -> str:
    """The URL of a file in the newest version of a model's repository (`timm/resnet50.a1_in1k`)."""
    endpoint = os.environ.get("HF_ENDPOINT") or "https://huggingface.co"
    return f"{endpoint.rstrip('/')}/{quote(repository)}/resolve/main/{quote(name)}"


def find_file(repository: str, name: str) -> Path | None:
    """The newest version of a file that tools of Hugging Face have downloaded here; `None` if there is none."""
    snapshots = _folder() / f"models--{repository.replace('/', '--')}" / "snapshots"
    found = [path for path in snapshots.glob(f"*/{name}") if path.is_file()]
    return max(found, key=lambda path: path.stat().st_mtime_ns, default=None)


def _folder() -> Path:
    if folder := os.environ.get("HF_HUB_CACHE"):
        return expand_user_path(folder)
    cache = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return expand_user_path(os.environ.get("HF_HOME") or f"{cache}/huggingface") / "hub"
