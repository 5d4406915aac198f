"""The checks of a GPU without one: the table, the isolation of the checks, and the cheapest of them on the CPU."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.gpu.checks import CHECKS, Check, Env, Failed, NotMeasured
from tests.gpu.runner import Result, Runner
from workbench.config.recipes import load_recipe, recipe_files


def good(env: Env) -> str:
    return f"on {env.device}"


def bad(env: Env) -> str:
    raise Failed("it is wrong")


def broken(env: Env) -> str:
    raise KeyError("id")


def absent(env: Env) -> str:
    raise NotMeasured("no driver")


def crash(env: Env) -> str:
    os.kill(os.getpid(), signal.SIGSEGV)
    return ""


def hang(env: Env) -> str:
    """Never ends, and leaves a process of its own session behind, as a run is."""
    sleeper = [sys.executable, "-c", "import time; time.sleep(600)", str(env.folder)]
    process = subprocess.Popen(sleeper, start_new_session=True)
    (env.folder.parent / "pid").write_text(str(process.pid))
    time.sleep(600)
    return ""


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_no_check_stops_another(tmp_path: Path) -> None:
    names = ("good", "bad", "broken", "absent", "crash", "hang")
    checks = [
        Check(
            name,
            f"test_gpu_checks:{name}",
            "the code",
            seconds=15 if name == "hang" else 60,
            alone=name == "good",
        )
        for name in names
    ]
    shown: list[Result] = []
    found = Runner("cpu", tmp_path, 300, shown.append).run(checks)
    results = {result.name: (result.result, result.figure) for result in found}
    assert list(results) == list(names)
    assert results["good"] == ("ok", "on cpu")
    assert results["bad"] == ("failed", "it is wrong")
    assert results["broken"] == ("failed", "KeyError: 'id'")
    assert results["absent"] == ("not measured", "no driver")
    assert results["crash"] == ("failed", "its process ended with -11")
    assert results["hang"] == ("failed", "still running after 15 s")
    assert not is_running(int((tmp_path / "pid").read_text()))
    assert shown[-1].name == "good", "what measures time runs last"
    assert {result.mend for result in found if result.result == "failed"} == {"the code"}
    assert "Traceback" in next(result.log for result in found if result.name == "broken")


def test_without_time_nothing_is_started(tmp_path: Path) -> None:
    (result,) = Runner("cpu", tmp_path, 1, lambda result: None).run([Check("good", "nowhere:good", "")])
    assert (result.result, result.figure) == ("not measured", "no time left (--budget)")


def command(*arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": ""}
    return subprocess.run(
        [sys.executable, "-m", "tests.gpu", *arguments], capture_output=True, text=True, env=environment, check=False,
        timeout=250,
    )  # fmt: skip


def test_without_a_gpu_the_table_has_no_measurements(tmp_path: Path) -> None:
    done = command("--json", str(tmp_path / "found.json"))
    assert done.returncode == 0, done.stderr
    *lines, _, last = done.stdout.splitlines()
    assert [line.split("  ")[0].strip() for line in lines] == [check.name for check in CHECKS]
    assert all(line.endswith("not measured: no GPU") for line in lines)
    assert last.startswith(f"0 ok, 0 failed, {len(CHECKS)} not measured, in ")
    found = json.loads((tmp_path / "found.json").read_text())["checks"]
    assert {(entry["result"], entry["figure"]) for entry in found} == {("not measured", "no GPU")}


def test_the_cheapest_checks_run_on_the_cpu(tmp_path: Path) -> None:
    names = ("machine", "recipe two-clusters", "graphs")
    done = command("--device", "cpu", "--json", str(tmp_path / "found.json"), *names)
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads((tmp_path / "found.json").read_text())["checks"]
    assert [(entry["name"], entry["result"]) for entry in found] == [
        ("machine", "ok"),
        ("recipe two-clusters", "ok"),
        ("graphs", "not measured"),
    ]
    assert found[1]["figure"].startswith("test accuracy 1.0000, ")


def test_checks_are_listed_by_name() -> None:
    done = command("--list")
    assert [line.split("  ")[0] for line in done.stdout.splitlines()] == [check.name for check in CHECKS]
    done = command("nothing")
    assert done.returncode == 2
    assert "unknown check 'nothing'; known: machine, " in done.stderr


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.name)
def test_every_check_exists_and_has_a_description(check: Check) -> None:
    module, _, name = check.function.partition(":")
    source = Path(__file__).with_name(f"{module}.py").read_text(encoding="utf-8")
    assert f"\ndef {name}(env: Env" in source
    assert check.mend


def test_every_recipe_that_trains_has_a_check() -> None:
    checked = {check.argument for check in CHECKS if check.name.startswith("recipe ")}
    names = {path.stem for path in recipe_files()}
    assert checked == {name for name in names if load_recipe(name)["do"] == "train"}
