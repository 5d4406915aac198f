"""The table of bad inputs is complete, and its tests exist."""

from __future__ import annotations

import ast
from pathlib import Path

from tests.hostile.__main__ import FAILED, PASSED, Result, read_results, rows, summary
from tests.hostile.cases import CASES, KINDS, Case

ROOT = Path(__file__).parents[2]
FAULTS = 39
"""The faults beyond the kinds of bad input."""


def test_every_number_has_one_case() -> None:
    assert [case.number for case in CASES] == list(range(1, KINDS + FAULTS + 1))


def test_every_test_exists() -> None:
    defined = {}
    for test in {test for case in CASES for test in case.tests}:
        path, _, name = test.partition("::")
        if path not in defined:
            tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
            functions = (ast.FunctionDef, ast.AsyncFunctionDef)
            defined[path] = {node.name for node in tree.body if isinstance(node, functions)}
        assert name.startswith("test_") and name in defined[path], test


def test_results_of_parameters_are_summed_up(tmp_path: Path) -> None:
    report = tmp_path / "report.xml"
    report.write_text(
        '<testsuites><testsuite><testcase file="t.py" name="test_a[1]" time="1"/>'
        '<testcase file="t.py" name="test_a[2]" time="2"><failure/></testcase>'
        '<testcase file="t.py" name="test_b" time="0"/></testsuite></testsuites>'
    )
    results = read_results(report)
    assert results == {"t.py::test_a": Result(FAILED, 3.0), "t.py::test_b": Result(PASSED, 0.0)}
    cases = [
        Case(1, "x", ("t.py::test_a", "t.py::test_gone")),
        Case(2, "y", ()),
        Case(3, "z", ("t.py::test_b",)),
    ]
    table = "\n".join(rows(cases, results))
    for words in ("FAILED       3.0 s  t.py::test_a", "NOT FOUND", "not covered"):
        assert words in table
    assert summary(cases, results) == "1 passed, 0 skipped, 1 failed, 1 not covered"
