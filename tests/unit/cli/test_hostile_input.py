"""Commands given what a pull request or a tenant may write: no control sequence and no command to a CI system comes
out.
"""

from __future__ import annotations

import json

import pytest

from auditor.cli.application import run
from auditor.cluster.kubernetes.client import config
from auditor.cluster.kubernetes.client import server as api_module
from tests.unit.cli.audit_process import audit_process
from tests.unit.kubernetes.store import Store
from tests.unit.kubernetes.test_cleanup import ALIVE
from tests.unit.kubernetes.test_cleanup import run as leave
from tests.unit.report.hostile import HOSTILE, is_harmless

NAMES = [
    text.replace("/", "") for text in HOSTILE if "\x00" not in text and "\ud800" not in text and "\udcff" not in text
]
POD = "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec: {containers: [{name: a, image: a}]}\n"


def check(code, capsys, lines=None):
    shown = capsys.readouterr()
    assert code in (0, 1, 2, 3), shown.err
    assert is_harmless(shown.out)
    assert is_harmless(shown.err)
    assert lines is None or len(shown.err.split("\n")) == lines + 1


@pytest.mark.parametrize("name", [*NAMES, "a\udcffb"])
def test_the_name_of_a_file_in_a_directory(name, tmp_path, monkeypatch, capsys):
    (tmp_path / f"{name}.yaml").write_text("kind: [", encoding="utf-8")
    (tmp_path / f"{name}2.yaml").write_text("a: b: c", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    check(run(["expect", "-f", "."]), capsys, lines=2)


@pytest.mark.parametrize("text", HOSTILE)
def test_a_kind_and_names_in_manifests(text, tmp_path, monkeypatch, capsys):
    (tmp_path / "a.yaml").write_text(POD, encoding="utf-8")
    document = {"apiVersion": "v1", "kind": f"{text}NetworkPolicy", "metadata": {"name": text}}
    (tmp_path / "b.json").write_text(json.dumps(document), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    for command in (["expect"], ["expect", "-o", "json"], ["lint"], ["lint", "-o", "json"], ["lint", "-o", "junit"]):
        check(run([*command, "-f", "."]), capsys)


@pytest.mark.parametrize("text", HOSTILE)
def test_arguments_and_debugging(text, capsys):
    check(run(["--debug", "explain", "-f", text, text, text, "TCP/1"]), capsys)
    check(run([text]), capsys, lines=1)


def test_as_a_process(tmp_path):
    (tmp_path / "\x1b[2Ja\n::error::no\udcff.yaml").write_text("kind: [", encoding="utf-8")
    done = audit_process("expect", "-f", ".", cwd=tmp_path)
    assert done.returncode == 2
    assert "\\x1b[2Ja\\n::error::no\\udcff.yaml\n" in done.stderr
    assert is_harmless(done.stderr)


@pytest.mark.parametrize(
    "text", [text for text in HOSTILE if text.isascii() or text.encode("utf-8", "ignore").decode() == text]
)
def test_the_holder_of_a_lease(text, monkeypatch, capsys):
    store = Store()
    leave(store, "prod", ALIVE)
    for body in store.objects.values():
        if body.get("kind") == "Lease" or "holderIdentity" in body.get("spec", {}):
            body["spec"]["holderIdentity"] = text

    async def connect(_options):
        return None

    monkeypatch.setattr(config, "connect", connect)
    monkeypatch.setattr(api_module, "ApiServer", lambda _connection: store)
    assert run(["cleanup"]) == 0
    shown = capsys.readouterr().out
    assert len(shown.split("\n")) == 2
    assert is_harmless(shown)
