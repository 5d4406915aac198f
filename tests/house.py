"""Figures of the code base: `python -m tests.house [--coverage]`.

Lines with untyped mappings, the longest files and functions, the packages in their order with sizes, import cycles
between packages, module names that occur more than once, where common searches end, and (with `--coverage`) the
coverage of the last test run.
"""

from __future__ import annotations

import argparse
import ast
import re
import subprocess
import sys
import tomllib
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "workbench"
UNTYPED = re.compile(r"(dict|Mapping)\[str, Any\]")
SEARCHES = {
    "learning rate schedule": ("config/lr_schedule.py", "lr_at"),
    "writing a checkpoint": ("worker/checkpoints.py", "CheckpointManager"),
    "CUDA graphs": ("engine/cuda_graphs.py", "GraphedStep"),
    "drawing the confusion matrix": ("ui/classes/confusion_matrix.py", "confusion_grid"),
    "the key s": ("ui/actions/runs.py", "RunActions"),
    "ETA": ("runs/eta.py", "eta"),
    "status of a run": ("runs/status.py", "status_of"),
    "decoding a JPEG": ("io/images.py", "_decode_image"),
    "top-k": ("models/top_k.py", "top_k"),
    "parsing --set": ("core/setting_parser.py", "parse_assignment"),
}
"""What a newcomer looks for, and the one module that defines it."""


def sources() -> list[Path]:
    """All modules of the package."""
    return sorted(PACKAGE.rglob("*.py"))


def untyped_lines() -> list[str]:
    """Lines with mappings of unknown content, as `file:line`."""
    return [
        f"{path.relative_to(ROOT)}:{number}"
        for path in sources()
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if UNTYPED.search(line)
    ]


@cache
def nodes_of(path: Path) -> Sequence[ast.AST]:
    """All syntax nodes of a module."""
    return list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))


def functions(path: Path) -> Iterator[tuple[int, str]]:
    """Length in lines and name of every function in a module."""
    for node in nodes_of(path):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert node.end_lineno
            yield node.end_lineno - node.lineno + 1, f"{path.relative_to(ROOT)}:{node.name}"


def definitions(name: str) -> list[str]:
    """The modules that define a function, a method or a class of this name, relative to the package."""
    kinds = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
    return [
        path.relative_to(PACKAGE).as_posix()
        for path in sources()
        if any(isinstance(node, kinds) and node.name == name for node in nodes_of(path))
    ]


def package_order() -> list[str]:
    """The packages in the order of the import contract: each imports only those before it."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]
    layers: list[str] = next(
        c["layers"] for c in settings["contracts"] if c.get("containers") == ["workbench"]
    )
    return layers[::-1]


def imported_packages(path: Path) -> set[str]:
    """The packages of `workbench` that a module imports, anywhere in it."""
    modules: list[str] = []
    for node in nodes_of(path):
        if isinstance(node, ast.ImportFrom):
            modules.append(node.module or "")
        elif isinstance(node, ast.Import):
            modules += [alias.name for alias in node.names]
    return {module.split(".")[1] for module in modules if module.startswith("workbench.")}


def import_cycle() -> list[str]:
    """Packages that import each other in a circle, the first one repeated at the end; empty if there is none."""
    graph: dict[str, set[str]] = {}
    for path in sources():
        package = path.relative_to(PACKAGE).parts[0]
        graph.setdefault(package, set()).update(imported_packages(path) - {package})
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        cycle: list[str] = error.args[1]
        return cycle
    return []


def lengths(paths: list[Path]) -> list[tuple[int, str]]:
    """Lines and name of every file, the longest first."""
    return sorted(
        ((len(p.read_text(encoding="utf-8").splitlines()), str(p.relative_to(ROOT))) for p in paths),
        reverse=True,
    )


def main() -> None:
    """Print all figures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--coverage", action="store_true", help="add the coverage of the last test run")
    arguments = parser.parse_args()
    files, longest = lengths(sources()), sorted((f for p in sources() for f in functions(p)), reverse=True)
    test_files = lengths(sorted((ROOT / "tests").rglob("*.py")))
    print(
        f"{len(files)} modules, {sum(n for n, _ in files)} lines; {sum(n for n, _ in test_files)} lines of tests"
    )
    print(f"lines with untyped mappings: {len(untyped_lines())}")
    print("longest files:", ", ".join(f"{name} {lines}" for lines, name in files[:3]))
    print("longest functions:", ", ".join(f"{name} {lines}" for lines, name in longest[:3]))
    short = sum(lines <= 30 for lines, _ in longest) / len(longest)
    print(f"functions of at most 30 lines: {100 * short:.1f} % of {len(longest)}")
    for package in package_order():
        rows = lengths(sorted((PACKAGE / package).rglob("*.py")))
        print(f"  {package:<10} {len(rows):3} modules {sum(n for n, _ in rows):6} lines")
    print("import cycle between packages:", " -> ".join(import_cycle()) or "none")
    counts = Counter(path.name for path in sources() if path.name != "__init__.py")
    print(
        "module names used more than once:",
        ", ".join(sorted(n for n, c in counts.items() if c > 1)) or "none",
    )
    for subject, (module, name) in SEARCHES.items():
        print(f"  {subject:<29} {module}: {name}")
    if arguments.coverage:
        subprocess.run(
            [sys.executable, "-m", "coverage", "report", "--skip-covered", "--format=total"], check=False
        )


if __name__ == "__main__":
    main()
