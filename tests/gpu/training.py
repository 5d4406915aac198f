"""Training in the process of the check: precision, placement of the data, exactness, memory, compilation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from tests.gpu.checks import Env, Failed, NotMeasured
from tests.gpu.support import (
    RESNET,
    check_device,
    difference,
    epoch_losses,
    make_run,
    notice_texts,
    step_losses,
    train,
)
from tests.worker.support import changes, last_checkpoint, outcome, run_until, same, setup_of
from workbench.core.errors import NotEnoughMemory
from workbench.engine import data_placement, loop
from workbench.engine.batches import Batch
from workbench.engine.train_state import TrainState

SGD: dict[str, Any] = {"optimizer": "sgd", "lr": 0.05, "momentum": 0.9, "batch_size": 64}
NEAR_PRECISION, NEAR = 0.1, 1e-3
"""Relative differences of losses that are accepted: of another precision, and of kernels that add in another order."""


def precision(env: Env) -> str:
    """fp32, bf16 and (on a GPU) fp16 learn alike, and a checkpoint of fp16 holds the state of its scaler."""
    names = ("fp32", "bf16", "fp16") if env.on_gpu else ("fp32", "bf16")
    settings = {"optimizer": "adam", "lr": 0.002, "epochs": 2 + 4 * env.on_gpu}
    folders = {name: train(env, {**settings, "precision": name}, RESNET) for name in names}
    for name, folder in folders.items():
        if setup_of(folder).precision != name:
            raise Failed(f"{name} ran as {setup_of(folder).precision}")
    losses = {name: epoch_losses(folder) for name, folder in folders.items()}
    figure = ", ".join(f"{name} {values[-1]:.4f}" for name, values in losses.items())
    # The first epoch, before small differences have grown.
    for name in names[1:]:
        if difference(losses[name][:1], losses["fp32"][:1]) > NEAR_PRECISION:
            raise Failed(
                f"the first epoch's loss is {losses[name][0]:.4f} in {name}, {losses['fp32'][0]:.4f} in fp32"
            )
    if "fp16" in folders and not last_checkpoint(folders["fp16"])["scaler"]:
        raise Failed("the checkpoint of fp16 has no state of its scaler")
    return f"loss: {figure}"


def no_sync(env: Env) -> str:
    """No step waits for the device; torch raises an error at the operator that does."""
    compute, cases = loop.compute_step, []

    def checked(state: TrainState, batch: Batch) -> None:
        torch.cuda.set_sync_debug_mode("error" if state.step > 2 else "default")
        try:
            compute(state, batch)
        finally:
            torch.cuda.set_sync_debug_mode("default")

    loop.compute_step = checked
    for settings in (
        {"optimizer": "adam", "augment": ["translate", "colour", "mixup"], "class_weights": "balanced"},
        {"optimizer": "rmsprop", "micro_batch": 20, "lookahead": 2, "label_smoothing": 0.1},
        {**SGD, "precision": "fp16", "max_grad_norm": 1.0, "schedule": "cosine"},
    ):
        train(env, {**settings, "cuda_graph": "no"}, RESNET)
        cases.append(str(settings["optimizer"]))
    return f"no read in a step of {', '.join(cases)}"


def compile_model(env: Env) -> str:
    """A compiled model learns as the uncompiled one."""
    settings = {**SGD, "epochs": 2, "precision": "fp32", "deterministic": True}
    compiled = train(env, {**settings, "compile": True}, RESNET)
    feature = setup_of(compiled).compile
    if not feature.enabled:
        raise NotMeasured(f"not compiled: {feature.reason}")
    plain = train(env, settings, RESNET)
    first = difference(step_losses(compiled)[:5], step_losses(plain)[:5])
    if first > NEAR * 10:
        raise Failed(f"the losses of the first steps differ by {first:.1%}")
    graph = setup_of(compiled).cuda_graph
    captured = "captured" if graph.enabled else f"not captured ({graph.reason})"
    return f"first losses differ by {first:.2g}, {captured}"


def placement(env: Env) -> str:
    """Resident and streamed data give the same steps, with augmentation too."""
    settings = {**SGD, "deterministic": True, "augment": ["flip", "translate", "mixup"]}
    resident = train(env, settings, RESNET)
    free = data_placement._free_bytes
    data_placement._free_bytes = lambda device: 0  # nothing fits
    chunk = dict(_small_chunks())
    try:
        # A split that is in memory on the CPU is never streamed; mapped files are, and all data of a GPU.
        streamed = train(env, settings, RESNET)
    finally:
        data_placement._free_bytes = free
        _restore_chunks(chunk)
    if env.on_gpu and (not setup_of(resident).resident or setup_of(streamed).resident):
        raise Failed(f"resident: {setup_of(resident).execution}; streamed: {setup_of(streamed).execution}")
    largest = difference(step_losses(streamed), step_losses(resident))
    if largest > NEAR:
        raise Failed(f"losses differ by {largest:.1%}")
    return f"losses differ by {largest:.2g}"


def _small_chunks() -> dict[str, int]:
    """Many chunks per epoch instead of one; returns the sizes before."""
    from workbench.engine import batches

    before = dict(batches.CHUNK_BYTES)
    batches.CHUNK_BYTES.update(dict.fromkeys(before, 100_000))
    return before


def _restore_chunks(sizes: dict[str, int]) -> None:
    from workbench.engine import batches

    batches.CHUNK_BYTES.update(sizes)


def exact(env: Env) -> str:
    """Two deterministic runs are equal bit for bit: weights, optimizer, metrics; interrupted ones too."""
    settings = {**SGD, "epochs": 2, "deterministic": True, "augment": ["flip", "cutmix"]}
    model = {"name": "convnet"}
    first, second = (make_run(env, settings, model, "cifar10") for _ in range(2))
    for folder in (first, second):
        run_until(folder, None)
        check_device(env, setup_of(folder).device)
    if not same(outcome(first), outcome(second)):
        largest = difference(step_losses(first), step_losses(second))
        raise Failed(f"two runs differ; their losses by up to {largest:.2g}")
    cut = make_run(env, settings, model, "cifar10")
    run_until(cut, 7)
    run_until(cut, None)
    if not same(outcome(cut), outcome(first)):
        largest = difference(step_losses(cut), step_losses(first))
        raise Failed(f"an interrupted run differs from one in one go; their losses by up to {largest:.2g}")
    graph = setup_of(first).cuda_graph.enabled
    return f"{len(step_losses(first))} steps equal, interrupted or not{', as a CUDA graph' if graph else ''}"


def out_of_memory(env: Env) -> str:
    """A batch that does not fit is split, or refused with a size that fits."""
    model: dict[str, Any] = {"name": "resnet", "depth": 8, "width": 64}
    settings: dict[str, Any] = {**SGD, "epochs": 1, "batch_size": 4096, "log_every": 1}
    data = "cifar10"
    if env.on_gpu:
        torch.cuda.init()
        # As if the GPU had 3 GB.
        torch.cuda.set_per_process_memory_fraction(3e9 / torch.cuda.get_device_properties(0).total_memory)
    else:
        from tests.worker.test_recovery import custom_model

        model, data = custom_model(Path(env.folder) / "own", training_limit=20), "digits"
        settings["batch_size"] = 64
    refused = make_run(env, settings, model, data)
    try:
        run_until(refused, None)
        raise Failed(f"a batch of {settings['batch_size']} fits into 3 GB, so nothing was shown")
    except NotEnoughMemory as error:
        message = str(error)
    if "train.batch_size=" not in message:
        raise Failed(f"no batch size is proposed: {message}")
    split = make_run(env, {**settings, "auto_micro_batch": True}, model, data)
    run_until(split, None)
    check_device(env, setup_of(split).device)
    sizes = [change.value for change in changes(split) if change.setting == "train.micro_batch"]
    if not sizes:
        raise Failed(f"the batch was not split: {notice_texts(split)}")
    return f"{settings['batch_size']} → micro-batches of {' → '.join(map(str, sizes))}; {message[:120]}"
