"""Runs in their own processes: killed, evaluated, used for classification, planned, two at a time."""

from __future__ import annotations

import signal
from pathlib import Path

import torch
from torch import nn

from tests.gpu.checks import Env, Failed
from tests.gpu.support import (
    RESNET,
    check_device,
    difference,
    finish,
    make_run,
    setup_json,
    start,
    step_losses,
    train,
    train_recipe,
    workbench,
)
from tests.worker.support import Worker, outcome, same, setup_of
from workbench.cli.follow import wait_for_end
from workbench.config.experiment import build_experiment
from workbench.datasets.input_record import InputRecord
from workbench.inference.classifier import Classifier
from workbench.inference.image_pipeline import RunTransform
from workbench.launcher import fork_client, launch
from workbench.launcher.fork_protocol import FORKED
from workbench.models.preprocessing import Preprocessing
from workbench.models.torchvision_models import build
from workbench.runs.journal import attempts_of, read_journal
from workbench.runs.run_report import read_report
from workbench.runs.status import Status

KILLS = 2
NEAR_LOGITS = 1e-3
NEAR_ACCURACY = 0.005


def kill(env: Env) -> str:
    """A deterministic run that is killed twice and resumed ends as one in one go, bit for bit."""
    settings = {
        "optimizer": "sgd", "lr": 0.05, "momentum": 0.9, "deterministic": True, "epochs": 6,
        "checkpoint_seconds": 0.05, "augment": ["flip", "mixup"],
    }  # fmt: skip
    uncut, killed = make_run(env, settings, RESNET), make_run(env, settings, RESNET)
    if not Worker(uncut).finishes():
        raise Failed(f"the run failed: {uncut.log.read_text()[-200:]}")
    check_device(env, setup_of(uncut).device)
    steps = []
    for _ in range(KILLS):
        worker = Worker(killed)
        before = worker.step()
        worker.wait_for(lambda: worker.step() > before)  # noqa: B023
        worker.signal(signal.SIGKILL)
        worker.ended()
        steps.append(worker.step())
    if not Worker(killed).finishes():
        raise Failed(f"the resumed run failed: {killed.log.read_text()[-200:]}")
    if not same(outcome(killed), outcome(uncut)):
        largest = difference(step_losses(killed), step_losses(uncut))
        raise Failed(f"a killed run ends differently; losses differ by up to {largest:.2g}")
    return f"equal after kills at steps {', '.join(map(str, steps))}"


def evaluate(env: Env) -> str:
    """`workbench evaluate` on the device and on the CPU agrees with the result of the run."""
    report = train_recipe("digits-mlp", "train.epochs=5", "train.precision=fp32", device=env.device)
    check_device(env, setup_json(report)["device"])
    expected = report["test"]["accuracy"]
    found = {}
    for device in (env.device, "cpu"):
        document = workbench("evaluate", Path(report["directory"]).name, "--device", device)
        found[device] = document["metrics"]["accuracy"]
        if abs(found[device] - expected) > NEAR_ACCURACY:
            raise Failed(f"accuracy {found[device]:.4f} on {device}, but {expected:.4f} in the run")
    return ", ".join(f"{accuracy:.4f} on {device}" for device, accuracy in found.items())


def classify(env: Env) -> str:
    """Classifiers give the same logits on the device and on the CPU: of a run, and torchvision's architectures."""
    run = train(env, {"optimizer": "adam"}, {"name": "resnet", "depth": 8, "width": 8}, "cifar10")
    images = [torch.randint(0, 256, (3, 32, 32), dtype=torch.uint8) for _ in range(16)]
    worst = {"run": _largest_difference(
        [Classifier.from_run(run.path, device=device) for device in (env.device, "cpu")], images
    )}  # fmt: skip
    for name in ("resnet18", "mobilenet_v3_small", "vit_b_32") if env.on_gpu else ("resnet18",):
        torch.manual_seed(0)
        module = build(name, 10, size=224)
        nn.init.normal_([p for p in module.parameters() if p.ndim > 1][-1], std=0.05)
        preprocessing = Preprocessing(None, 3, (0.5,) * 3, (0.25,) * 3)
        transform = RunTransform((3, 224, 224), preprocessing, InputRecord())
        state, pair = module.state_dict(), []
        for device in (env.device, "cpu"):
            other = build(name, 10, size=224)
            other.load_state_dict(state)
            pair.append(
                Classifier(name, other, tuple("abcdefghij"), transform, torch.device(device), (), True)
            )
        large = [torch.randint(0, 256, (3, 224, 224), dtype=torch.uint8) for _ in range(2)]
        worst[name] = _largest_difference(pair, large)
    if wrong := [f"{name} by {value:.2g}" for name, value in worst.items() if value > NEAR_LOGITS]:
        raise Failed(f"logits differ between {env.device} and cpu: {', '.join(wrong)}")
    return "logits differ by " + ", ".join(f"{name} {value:.1g}" for name, value in worst.items())


def _largest_difference(pair: list[Classifier], images: list[torch.Tensor]) -> float:
    """The largest difference of the logits of two classifiers, relative to the largest logit."""
    a, b = (one.logits(one.transform.batch(images, one.device)) for one in pair)
    return float((a - b).abs().max() / b.abs().max().clamp(min=1))


def plan(env: Env) -> str:
    """`workbench plan` measures on the device."""
    document = workbench("plan", "cifar10-fast" if env.on_gpu else "digits-mlp", "--device", env.device)
    check_device(env, document["device"])
    if not document["samples_per_second"] > 0:
        raise Failed("no throughput")
    return f"{document['samples_per_second']:,.0f} samples/s, {document['execution']['step']}"


def two_runs(env: Env) -> str:
    """Two runs at the same time on one GPU both finish there."""
    sets = ("train.epochs=8", "train.threads=1")
    both = [start("digits-mlp", *sets, device=env.device) for _ in range(2)]
    reports = [finish(process) for process in both]
    for report in reports:
        check_device(env, setup_json(report)["device"])
    accuracies = [report["test"]["accuracy"] for report in reports]
    if reports[0]["directory"] == reports[1]["directory"]:
        raise Failed("the two runs share a folder")
    return f"test accuracy {accuracies[0]:.4f} and {accuracies[1]:.4f}"


def forked_run(env: Env) -> str:
    """A run that is forked from a process with PyTorch imported trains on the device, as those of a screen do."""
    fork_client.wait_for_fork_server(lambda: False)
    try:
        sets = ["train.epochs=2", f"train.device={env.device}"]
        run = launch.start_run(build_experiment("digits-mlp", sets=sets), "check")
        wait_for_end(run)
    finally:
        fork_client.stop_fork_server()
    report = read_report(run)
    if report.status is not Status.FINISHED:
        raise Failed(f"the run {report.status}: {report.reason}")
    check_device(env, setup_of(run).device)
    if FORKED not in attempts_of(read_journal(run.journal))[-1].command:
        raise Failed("the run was not forked")
    return f"trained on {setup_of(run).device}"
