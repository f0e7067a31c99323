"""The plugin that krew would install: its manifest is one, and what it links starts or says what is missing."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

import auditor

ROOT = Path(__file__).parents[3]
KREW = ROOT / "deploy" / "krew"
MANIFEST = yaml.safe_load((KREW / "netpol-audit.yaml").read_text(encoding="utf-8"))
HERE = "{}.{}".format(*sys.version_info)


def test_the_manifest_is_what_krew_takes():
    """As krew's validate-krew-manifest has it: names, versions, digests, one platform for each selector, a licence."""
    assert (MANIFEST["apiVersion"], MANIFEST["kind"]) == ("krew.googlecontainertools.github.com/v1alpha2", "Plugin")
    assert MANIFEST["metadata"] == {"name": "netpol-audit"}
    spec = MANIFEST["spec"]
    assert spec["version"] == f"v{auditor.__version__}"
    assert len(spec["shortDescription"]) <= 50
    assert set(spec) == {"version", "homepage", "shortDescription", "description", "caveats", "platforms"}
    assert len({tuple(each["selector"]["matchLabels"].items()) for each in spec["platforms"]}) == len(spec["platforms"])
    for platform in spec["platforms"]:
        assert set(platform) == {"selector", "uri", "sha256", "bin"}
        labels = platform["selector"]["matchLabels"]
        assert platform["uri"].endswith(f"/v{auditor.__version__}/netpol-audit-{labels['os']}-{labels['arch']}.tar.gz")
        assert re.fullmatch("[0-9a-f]{64}", platform["sha256"])
        assert platform["bin"] == "kubectl-netpol_audit"
    assert 'cp "$root/LICENSE"' in (ROOT / "tools" / "krew-archive").read_text(encoding="utf-8")


@pytest.fixture
def installed(tmp_path):
    """The archive as krew unpacks and links it, made for a version of Python."""

    def install(version):
        (tmp_path / "store" / "lib").mkdir(parents=True)
        program = tmp_path / "store" / "kubectl-netpol_audit"
        program.write_text((KREW / "kubectl-netpol_audit").read_text(encoding="utf-8").replace("@VERSION@", version))
        program.chmod(0o755)
        (tmp_path / "store" / "lib" / "auditor.py").write_text("import sys; print(*sys.argv[1:])\n")
        (tmp_path / "link").symlink_to(program)
        return tmp_path / "link"

    return install


def called(program, python=sys.executable):
    return subprocess.run(
        [program, "lint", "a b"],
        env={"PATH": f"{Path(python).parent}:/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )


def test_it_starts_by_its_link_with_the_python_it_was_made_for(installed):
    done = called(installed(HERE))
    assert (done.returncode, done.stdout, done.stderr) == (0, "lint a b\n", "")


def test_another_python_is_one_clear_sentence(installed):
    done = called(installed("3.99"))
    assert done.returncode == 4
    assert done.stderr.startswith(
        "error: kubectl netpol-audit needs Python 3.99 on the PATH; 'pip install netpol-audit'"
    )
    assert done.stderr.count("\n") == 1
