"""The readings of a policy that are held against each other share no code: by the contracts of import-linter inside the
package, by this test for the oracle, which is none of it.
"""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ORACLE = Path(__file__).parents[2] / "oracle"
VALUES = "auditor.model."


@pytest.mark.parametrize("name", ["evaluator.py", "matching.py"])
def test_the_oracle_knows_nothing_but_values(name):
    tree = ast.parse((ORACLE / name).read_text(encoding="utf-8"))
    imported = {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    imported |= {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    ours = {module for module in imported if module.startswith(("auditor", "tests", "probes"))}
    assert {module for module in ours if not module.startswith((VALUES, "tests.oracle."))} == set()


@pytest.mark.parametrize("name", ["evaluator.py", "matching.py"])
@pytest.mark.parametrize(
    "shared", ["matches", "is_selected_by", "bounds", "resolve", "address", "is_whole_family", "families"]
)
def test_the_oracle_asks_no_value_what_a_rule_means(name, shared):
    tree = ast.parse((ORACLE / name).read_text(encoding="utf-8"))
    assert shared not in {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
