"""What import-linter's contracts don't say: modules import each other in no circle, and explain's reading of a policy
and that of the tests' oracle know nothing but values.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
ORACLE = ("tests/oracle/evaluator.py", "tests/oracle/matching.py")
PLAIN_READING = "auditor/policy/plain_reading.py"
MEANING = ("matches", "is_selected_by", "bounds", "resolve", "address", "is_whole_family", "families")
"""What values say of themselves that is a part of what a rule means."""


@cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def imported_by(path: Path) -> Iterator[str]:
    """Every module that ``path`` imports, wherever in it, and every name of one, which may be a module, too."""
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@pytest.mark.slow
def test_no_module_imports_itself_by_way_of_others():
    modules = {
        ".".join(path.relative_to(ROOT).with_suffix("").parts): path
        for path in (ROOT / "auditor").rglob("*.py")
        if path.name != "__init__.py"
    }
    graph = {name: set(imported_by(path)) & modules.keys() for name, path in modules.items()}
    assert len(list(TopologicalSorter(graph).static_order())) == len(modules)


@pytest.mark.parametrize("name", [*ORACLE, PLAIN_READING])
def test_independent_readings_know_nothing_but_values(name):
    ours = [module for module in imported_by(ROOT / name) if module.startswith(("auditor", "tests", "probes"))]
    assert [module for module in ours if not module.startswith(("auditor.model.", "tests.oracle."))] == []


@pytest.mark.parametrize("name", ORACLE)
@pytest.mark.parametrize("shared", MEANING)
def test_the_oracle_asks_no_value_what_a_rule_means(name, shared):
    assert shared not in {node.attr for node in ast.walk(tree_of(ROOT / name)) if isinstance(node, ast.Attribute)}
