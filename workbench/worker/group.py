"""Joining the processes that train a run together, and the settings that are different for several."""

from __future__ import annotations

import os
import sys

import torch
import torch.distributed as dist
from torch import nn

from workbench.config.process_count import global_batch_size
from workbench.config.training_settings import TrainingSettings
from workbench.core.errors import UserError
from workbench.core.progress import Progress
from workbench.core.settings_schema import SettingValue
from workbench.core.text import plural
from workbench.engine.process_group import SINGLE, DistributedGroup, ProcessGroup
from workbench.engine.settings_history import SettingOverride, SettingsHistory
from workbench.io.record_codec import Record, read_record
from workbench.runs.journal import attempts_of, read_journal
from workbench.runs.run_folder import RunFolder
from workbench.system.cpu import usable_cores
from workbench.system.host import host_name
from workbench.system.network import GLOO_VARIABLE
from workbench.system.processes import this_process
from workbench.worker.context import Context


def join_group(context: Context) -> ProcessGroup:
    """The group of the processes that train the run; waits for all of them."""
    if context.membership is None:
        return SINGLE
    context.heartbeat.report_progress(Progress(f"connecting {context.membership.size} processes"))
    if not context.membership.spans_nodes:
        # One host: no interface that others can reach. The name of the host may have no address at all.
        os.environ.setdefault(GLOO_VARIABLE, "lo" if sys.platform == "linux" else "lo0")
    uses_gpu = (
        _requested_device(context.folder) != "cpu" and torch.cuda.is_available() and dist.is_nccl_available()
    )
    group = DistributedGroup(torch.device("cuda" if uses_gpu else "cpu"))
    context.membership.peers = group.gather(this_process())
    return group


class _Train(Record, frozen=True):
    device: str = "auto"


class _Experiment(Record, frozen=True):
    """What has to be known of an experiment before the nodes that have none of its files are connected."""

    train: _Train = _Train()


def _requested_device(folder: RunFolder) -> str:
    """`train.device` of the newest attempt."""
    device: SettingValue = (read_record(folder.experiment, _Experiment) or _Experiment()).train.device
    for attempt in attempts_of(read_journal(folder.journal)):
        device = attempt.overrides.get("train.device", device)
    return str(device)


def check_same_data(group: ProcessGroup, context: Context, name: str, fingerprint: str) -> None:
    """Raise `UserError`, in all processes, where a node has other data than the first one."""
    if context.membership is None or not context.membership.spans_nodes:
        return
    (first, expected), *others = group.gather((host_name(), fingerprint))
    for host, found in others:
        if found != expected:
            raise UserError(
                f"node {host} has another dataset than {first}: {name} has other content there; "
                "copy the same files to all nodes"
            )


def threads_per_process(group: ProcessGroup) -> int:
    """The CPU threads of each process on this host, which share its cores."""
    return max(1, usable_cores() // int(os.environ["LOCAL_WORLD_SIZE"])) if group.size > 1 else usable_cores()


def adapt_settings(
    context: Context, history: SettingsHistory, step: int, group: ProcessGroup
) -> TrainingSettings:
    """The settings at `step` for the processes of `group`; notices say what is different with several."""
    settings = history.at(step)
    if settings.batch_per_process:
        size = global_batch_size(settings)
        context.notice(_batch_notice(settings, size, group.size))
        history.add(SettingOverride(step, "batch_size", size))
    if group.size == 1 and settings.fsdp:
        context.notice("train.fsdp is not used: one process trains alone")
        history.add(SettingOverride(step, "fsdp", False))
    if group.size > 1 and settings.auto_micro_batch:
        context.notice("train.auto_micro_batch is not used: several processes train together")
        history.add(SettingOverride(step, "auto_micro_batch", False))
    return history.at(step)


def _batch_notice(settings: TrainingSettings, size: int, processes: int) -> str:
    text = (
        f"train.batch_per_process: each step has {size} samples, {settings.batch_per_process} in each of "
        f"{plural(processes, 'process')}; the learning rate stays {settings.lr:g}"
    )
    if size == settings.batch_size:
        return text
    scaled = settings.lr * size / settings.batch_size
    return f"{text} (in proportion to the batch size it would be train.lr={scaled:g})"


def with_synchronized_batch_norm(module: nn.Module, device: torch.device) -> nn.Module:
    """`module` with batch norms that use the statistics of all processes. Raises `UserError` on a CPU."""
    if device.type != "cuda":
        raise UserError(
            "train.sync_batch_norm needs GPUs: PyTorch's SyncBatchNorm does not compute on a CPU; set it to no"
        )
    converted: nn.Module = nn.SyncBatchNorm.convert_sync_batchnorm(module)
    return converted
