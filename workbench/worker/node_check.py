"""Whether a node has come with the same training as the first one: experiment, the user's code, and packages."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator

import msgspec

from workbench.config.experiment import Experiment, experiment_from_dict
from workbench.core.errors import UserError
from workbench.core.text import format_setting
from workbench.core.user_code import is_user_code, user_code_file
from workbench.runs.attempts import RECORDED_PACKAGES
from workbench.runs.journal import Attempt
from workbench.runs.run_folder import RunFolder
from workbench.runs.script import read_description
from workbench.worker.node_channel import Offer

RENAMED = "name"
"""A setting that does not change the training."""


def code_version(folder: RunFolder, attempt: Attempt) -> str:
    """A digest of the user's code in an attempt: its git commit with the changes since, and the files it names."""
    digest = hashlib.sha256()
    if attempt.source is not None:
        digest.update(attempt.source.commit.encode())
        with contextlib.suppress(OSError):
            digest.update(folder.source_diff(attempt.attempt).read_bytes())
    described = read_description(folder.experiment)
    names = (described.data.name, described.model.name) if isinstance(described, Experiment) else ()
    for name in filter(is_user_code, names):
        with contextlib.suppress(UserError, OSError):
            digest.update(user_code_file(name).read_bytes())
    return digest.hexdigest()


def difference(folder: RunFolder, attempt: Attempt, offer: Offer) -> str:
    """What is different here than on the first node, for people, with what to do; empty where nothing is."""
    own = dict(_flat(_normalized(folder.experiment.read_bytes())))
    theirs = dict(_flat(_normalized(offer.experiment.encode())))
    for key in sorted({*own, *theirs} - {RENAMED}):
        if own.get(key) != theirs.get(key):
            values = f"{key} is {_text(own.get(key))} here and {_text(theirs.get(key))} on {offer.host}"
            return f"another experiment: {values}; use the same command on all nodes"
    for name in RECORDED_PACKAGES:
        here, there = attempt.versions.get(name), offer.attempt.versions.get(name)
        if here != there:
            return f"{name} {here} is installed here, and {there} on {offer.host}; install the same version"
    if attempt.nodes != offer.attempt.nodes:
        return f"--nnodes is {attempt.nodes} here and {offer.attempt.nodes} on {offer.host}"
    if code_version(folder, attempt) != offer.code:
        return f"the code differs from that on {offer.host}; use the same version of it on all nodes"
    return ""


def _normalized(content: bytes) -> object:
    """An experiment with all its settings, as JSON values: an older version may have written fewer."""
    found: object = msgspec.json.decode(content)
    try:
        whole = experiment_from_dict(found if isinstance(found, dict) else {}).to_dict()
    except UserError:
        return found
    return msgspec.json.decode(msgspec.json.encode(whole))


def _flat(content: object, prefix: str = "") -> Iterator[tuple[str, object]]:
    if not isinstance(content, dict) or not content:
        yield prefix, content
        return
    for key, value in content.items():
        yield from _flat(value, f"{prefix}.{key}" if prefix else str(key))


def _text(value: object) -> str:
    return "missing" if value is None else format_setting(value)
