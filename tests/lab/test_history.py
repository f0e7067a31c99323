"""Three nights on the lab: as it should be, with a fault, and mended."""

from __future__ import annotations

import json

import pytest

from auditor.cli.application import run
from tests.schemas import validator

pytestmark = pytest.mark.lab

NIGHT = ("run", "--lab", "demo", "--ports", "TCP/9100", "--settle", "0.5", "-q", "-o", "json", "--fail-on", "new")


def test_a_fault_is_new_once_and_gone_when_it_is_mended(tmp_path, capsys):
    seen = []
    for enforcer in ("spec", "ignores-named-ports", "ignores-named-ports", "spec"):
        code = run([*NIGHT, "--history", str(tmp_path / "records"), "--enforcer", enforcer])
        report = json.loads(capsys.readouterr().out)
        validator("report.schema.json").validate(report)
        told = report["comparison"]
        ages = [each["age"] for each in (*told["findings"], *told["departed"])]
        seen.append((code, ages))
    assert seen == [(0, []), (1, ["new"]), (0, ["known"]), (0, ["gone"])]
    assert len(list((tmp_path / "records").iterdir())) == 4
