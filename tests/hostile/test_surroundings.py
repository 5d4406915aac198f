"""Strange homes, environments, limits and outputs: real processes of the command line."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.run_folders import folder
from workbench.cli.main import run
from workbench.runs.run_folder import RunFolder

__all__ = ["folder"]
WORKBENCH = [sys.executable, "-m", "workbench"]
COMMAND = shlex.join(WORKBENCH)
EPOCH = ["digits-mlp", "--set", "train.epochs=1", "--set", "train.threads=1"]
STRANGE = os.fsdecode(b"a b '\"$HOME\n\xff\xfe")


def shell(script: str, **changed: str) -> subprocess.CompletedProcess[str]:
    """Run a script in bash, with buffered output as in a terminal session."""
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONUNBUFFERED"} | changed
    return subprocess.run(
        ["bash", "-c", script], env=environment, capture_output=True, text=True, errors="replace", check=False
    )


def mounted(script: str, **changed: str) -> subprocess.CompletedProcess[str]:
    """Run a script in a mount namespace of its own, which needs privileges."""
    if subprocess.run(["unshare", "-m", "true"], capture_output=True, check=False).returncode:
        assert "CI" not in os.environ, "CI may mount; this one could not"
        pytest.skip("nothing can be mounted here (CI mounts as root)")
    return shell(f"unshare -m bash -c {shlex.quote(script)}", **changed)


def one_line(done: subprocess.CompletedProcess[str], *words: str, code: int = 2) -> None:
    """The error of a command is one line with these words."""
    assert done.returncode == code, (done.stdout, done.stderr)
    assert "Traceback" not in done.stderr and "Exception" not in done.stderr, done.stderr
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("workbench: ")]
    assert all(word in line for word in words), line


def test_a_run_in_a_strange_home_and_environment(tmp_path: Path) -> None:
    """All at once, as one run is what costs time; what differs here is what its message shows."""
    real, shadow = tmp_path / STRANGE, tmp_path / "shadow"
    real.mkdir()
    shadow.mkdir()
    (tmp_path / "link").symlink_to(real)
    for name in ("text.py", "io.py"):
        (shadow / name).write_text("raise SystemExit('a module of the user was imported')")
    changed = {
        "WORKBENCH_HOME": str(tmp_path / "link"),
        "PYTHONOPTIMIZE": "1",
        "PYTHONPATH": os.pathsep.join([str(shadow), os.environ.get("PYTHONPATH", str(Path.cwd()))]),
        "HOME": str(tmp_path / "no" / "such" / "home"),
        "https_proxy": "nonsense://[",
        "LC_ALL": "de_DE.UTF-8",
    }
    done = shell(f"umask 000; ulimit -n 64; {COMMAND} train {shlex.join(EPOCH)} --json", **changed)
    assert done.returncode == 0, done.stderr
    document: dict[str, Any] = json.loads(done.stdout)
    assert (document["status"], document["exact"]) == ("finished", True)
    (run_folder,) = [path for path in (real / "runs").iterdir() if path.is_dir()]
    writable = [path for path in real.rglob("*") if path.stat().st_mode & stat.S_IWOTH]
    assert not writable, "umask 000 lets nobody else write"
    assert stat.S_IMODE(run_folder.stat().st_mode) == 0o700
    for command in ("runs", "show last", "compare last last", "evaluate last", "trash", "doctor"):
        done = shell(f"{COMMAND} {command}", WORKBENCH_HOME=str(real))
        assert "Traceback" not in done.stderr and "\udcff" not in done.stdout
        assert done.returncode == 0 or command in {"compare last last", "doctor"}, done.stderr


def test_a_home_that_leads_nowhere_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    for home in (str(tmp_path / "dangling"), str(tmp_path / "loop"), "~nobody-of-that-name/x"):
        one_line(shell(f"{COMMAND} train digits-mlp", WORKBENCH_HOME=home), "WORKBENCH_HOME")


def test_a_home_on_a_read_only_file_system_is_read(digits_run: RunFolder, home: Path) -> None:
    bind = f"mount --bind {home} {home} && mount -o remount,ro,bind {home}"
    done = mounted(f"{bind} && {COMMAND} runs && {COMMAND} show last")
    assert done.returncode == 0 and done.stderr == "", done.stderr
    assert digits_run.id in done.stdout and "finished" in done.stdout
    one_line(mounted(f"{bind} && {COMMAND} train digits-mlp"), "is read-only; set WORKBENCH_HOME")
    for command in ("resume last --set train.epochs=9", "rm last"):
        one_line(mounted(f"{bind} && {COMMAND} {command}"), "Read-only file system", str(home))
    assert digits_run.path.exists()


def test_a_user_without_a_home() -> None:
    """As some containers run: no HOME, and a user id without an entry in the list of users."""
    if os.getuid() != 0:
        pytest.skip("only root can take another user id (CI runs as root)")
    code = ("import os, sys, workbench.cli.commands.runs as _; from workbench.cli.main import run; run(['recipes'])\n"
            "os.setuid(54321); sys.exit(run(['runs']))")  # fmt: skip
    script = f"exec {shlex.quote(sys.executable)} -c {shlex.quote(code)}"
    # Coverage is measured, if at all, in files that this user can't write.
    unset = "unset HOME WORKBENCH_HOME XDG_DATA_HOME COVERAGE_PROCESS_CONFIG"
    one_line(shell(f"{unset}; cd /; {script}"), "set WORKBENCH_HOME")


def test_a_deleted_current_folder(tmp_path: Path) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    path = os.environ.get("PYTHONPATH", str(Path.cwd()))
    done = shell(f"cd {gone} && rmdir {gone} && {COMMAND} train digits-mlp", PYTHONPATH=path)
    one_line(done, "the current folder no longer exists")


def test_a_memory_limit_below_torch_is_one_line(digits_run: RunFolder, tmp_path: Path) -> None:
    (tmp_path / "x.png").touch()
    done = shell(f"ulimit -v 1000000; {COMMAND} classify {tmp_path}/x.png --run last")
    one_line(done, "a library can't be loaded", "ulimit -v")
    done = shell(f"ulimit -v 1000000; {COMMAND} train {shlex.join(EPOCH)} --json")
    assert done.returncode == 1 and "Traceback" not in done.stderr
    document = json.loads(done.stdout)
    assert document["status"] == "failed" and "torch" in document["reason"]
    assert "\n" not in document["reason"]


def test_output_into_a_closed_pipe_is_no_error(folder: RunFolder) -> None:
    for command in ("recipes", "models --json", "runs", f"show {folder.id}"):
        done = shell(f"set -o pipefail; {COMMAND} {command} | (exec 0<&-; sleep 1)")
        assert (done.returncode, done.stderr) == (0, ""), command
        done = shell(f"set -o pipefail; {COMMAND} {command} | head -1")
        assert done.returncode == 0 and len(done.stdout.splitlines()) == 1
        assert "Traceback" not in done.stderr and "Exception" not in done.stderr


def test_output_that_cannot_be_written_is_one_line(folder: RunFolder) -> None:
    for command in ("recipes", "models --json", f"show {folder.id} --json"):
        one_line(shell(f"{COMMAND} {command} > /dev/full"), "No space left on device")


def test_closed_standard_streams(folder: RunFolder) -> None:
    """An error never lands in the output because there is no other place for it."""
    assert shell(f"{COMMAND} show nonsense 2>&-").stdout == ""
    for closed in ("0<&-", "1>&-", "2>&-", "0<&- 1>&- 2>&-"):
        done = shell(f"{COMMAND} runs {closed}")
        assert done.returncode == 0 and done.stderr == "", closed
        assert shell(f"{COMMAND} show nonsense {closed}").returncode == 2
    one_line(shell(f"{COMMAND} 0<&- 1>&-"), "terminal")


def test_unicode_in_a_name(capsys: pytest.CaptureFixture[str], home: Path) -> None:
    assert run(["train", *EPOCH, "--name", "größe-模型", "--detach"]) == 0
    run_id = capsys.readouterr().out.strip()
    assert "größe-模型" in run_id and (home / "runs" / run_id).is_dir()
    assert run(["watch", "größe-模型"]) == 0
    capsys.readouterr()
    assert run(["show", "größe", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["name"], document["status"]) == ("größe-模型", "finished")
    for name in ("a\u202eb", "😀", os.fsdecode(b"a\xff"), "a\u200bb", "é" * 60):
        assert run(["train", "digits-mlp", "--name", name]) == 2
        error = capsys.readouterr().err
        assert "invalid run name" in error and len(error.splitlines()) == 1
        assert not set(error) & {"\u202e", "\u200b", "\udcff"}


@pytest.mark.parametrize("table", ["[trian]\nepochs = 1", "[[train]]\nepochs = 1", "[train.deep]\na = 1",
                                   '[model]\nname = "mlp"\n[model.widths]\na = 1', "[x.nonsense]\na = 1"])  # fmt: skip
def test_a_recipe_with_unknown_tables(
    table: str, tmp_path: Path, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = tmp_path / "x.toml"
    recipe.write_text(
        f'{table}\n[data]\nname = "digits"\n' + ("" if "model" in table else '[model]\nname = "mlp"\n')
    )
    assert run(["train", str(recipe)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert any(word in line for word in ("trian", "train", "deep", "widths", "nonsense")), line
    assert not (home / "runs").exists()


def test_numbers_in_a_locale_with_decimal_commas(tmp_path: Path, digits_run: RunFolder) -> None:
    """A compiled locale, which the C library uses once a program asks for the user's."""
    if shutil.which("localedef") is None:
        pytest.skip("localedef is not installed")
    made = subprocess.run(
        ["localedef", "-i", "de_DE", "-f", "UTF-8", str(tmp_path / "de_DE.UTF-8")], capture_output=True, check=False
    )  # fmt: skip
    if not (tmp_path / "de_DE.UTF-8").is_dir():
        pytest.skip(f"no locale can be compiled here: {made.stderr!r}")
    use = "import locale; locale.setlocale(locale.LC_ALL, ''); assert locale.format_string('%.1f', 0.5) == '0,5'; "
    code = f"{use}import sys; from workbench.cli.main import run; sys.exit(run(['show', 'last', '--json']))"
    done = shell(
        f"{shlex.quote(sys.executable)} -c {shlex.quote(code)}", LOCPATH=str(tmp_path), LC_ALL="de_DE.UTF-8"
    )
    assert done.returncode == 0, done.stderr
    assert 0.5 < json.loads(done.stdout)["test"]["accuracy"] < 1


@pytest.mark.parametrize("proxy", ["nonsense://[", "127.0.0.1:abc", "http://127.0.0.1:1"])
def test_a_nonsense_proxy_is_named(proxy: str) -> None:
    done = shell(f"{COMMAND} fetch mnist-mlp", https_proxy=proxy, http_proxy=proxy, no_proxy="")
    one_line(done, "through the proxy of http", "images-idx3")


def test_without_shared_memory(tmp_path: Path) -> None:
    """A `/dev` of its own with the usual devices, and no `/dev/shm`."""
    devices = "null zero full random urandom tty"
    dev = (f"mkdir {tmp_path}/dev && mount -t tmpfs dev {tmp_path}/dev && for name in {devices}; do "
           f"touch {tmp_path}/dev/$name && mount --bind /dev/$name {tmp_path}/dev/$name || exit 99; done; "
           f"ln -s /proc/self/fd {tmp_path}/dev/fd; mount --move {tmp_path}/dev /dev; "
           "test ! -e /dev/shm || exit 99")  # fmt: skip
    done = mounted(f"{dev}; {COMMAND} train {shlex.join(EPOCH)} --json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["status"] == "finished"


def test_a_full_temporary_folder() -> None:
    """`/tmp` and `/var/tmp` are full tmpfs of one page; a plan needs a temporary folder, a run does not."""
    home = Path.cwd() / f".hostile-{os.getpid()}"  # not below /tmp
    full = ("for at in /tmp /var/tmp; do mount -t tmpfs -o size=4k tmpfs $at || exit 99; "
            "head -c 4096 /dev/zero > $at/filler; done; ! echo x > /tmp/more")  # fmt: skip
    changed = {"WORKBENCH_HOME": str(home), "PYTHONPATH": os.environ.get("PYTHONPATH", str(Path.cwd()))}
    try:
        done = mounted(f"({full}) 2> /dev/null; {COMMAND} train {shlex.join(EPOCH)} --json", **changed)
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["status"] == "finished"
        nowhere = f"({full}) 2> /dev/null; cd /proc; {COMMAND} plan {shlex.join(EPOCH)}"
        one_line(mounted(nowhere, **changed), "temporary")
    finally:
        shutil.rmtree(home, ignore_errors=True)


def test_json_of_a_failing_run(tmp_path: Path) -> None:
    """stdout is one JSON document whatever happens, and the exit code is that of bad input."""
    code = "def make():\n    print('noise')\n    raise RuntimeError('no [/] data\\n here')\n"
    (tmp_path / "mine.py").write_text(code)
    changed = {"WORKBENCH_HOME": str(tmp_path / "home")}
    train = f"{COMMAND} train --dataset {tmp_path}/mine.py:make --model mlp --json"
    shown = f"{COMMAND} show last --json"
    for command, code in ((train, 2), (shown, 0)):
        done = shell(command, **changed)
        assert done.returncode == code, done.stderr
        document = json.loads(done.stdout)
        assert (document["status"], document["test"]) == ("failed", None)
        assert "RuntimeError" in document["reason"] and "\n" not in document["reason"]
        assert "Traceback" not in done.stderr
