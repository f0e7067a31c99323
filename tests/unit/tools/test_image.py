"""What the image is made of: locked, whole, and without what nobody imports."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
CONTAINERFILE = (ROOT / "Containerfile").read_text(encoding="utf-8")
FILL = (ROOT / "tools" / "fill-image").read_text(encoding="utf-8")
ADAPTERS = sorted(
    path.relative_to(ROOT).with_suffix("").as_posix().replace("/", ".")
    for path in (ROOT / "auditor").rglob("*.py")
    if path.stem not in ("__init__", "__main__")
)


def locked(name):
    """Versions by package; every line of ``name`` is pinned, and has hashes."""
    text = (ROOT / name).read_text(encoding="utf-8").replace("\\\n", " ")
    pinned = [line for line in text.splitlines() if line and not line.lstrip().startswith("#")]
    assert all(re.match(r"[a-z0-9-]+==\S+ .*--hash=sha256:", line) for line in pinned)
    return dict(line.split()[0].split("==") for line in pinned)


def project():
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def names(requirements):
    return {re.match(r"[A-Za-z0-9-]+", each)[0].lower() for each in requirements}


def test_the_image_has_the_versions_that_are_tested():
    tested = locked("requirements.lock")
    for name in ("requirements-run.lock", "requirements-build.lock"):
        there = locked(name)
        assert there.items() <= tested.items(), f"make lock-image writes {name} anew"


def test_what_is_needed_is_locked_and_nothing_of_development_is():
    there = set(locked("requirements-run.lock"))
    assert names(project()["project"]["dependencies"]) <= there
    assert names(project()["build-system"]["requires"]) <= set(locked("requirements-build.lock"))
    assert not {"pytest", "mypy", "hatchling", "pip", "setuptools"} & there


def test_what_the_image_leaves_out_of_the_client_nobody_imports():
    left_out = re.findall(r'"\$part/(\w+)"', FILL)
    assert sorted(left_out) == ["api", "models"]
    code = (
        "import importlib, sys\nfor name in sys.argv[1:]: importlib.import_module(name)\nprint(*sys.modules, sep='\\n')"
    )
    done = subprocess.run([sys.executable, "-c", code, *ADAPTERS], capture_output=True, text=True, check=True)
    imported = done.stdout.split()
    assert "kubernetes.aio.config.kube_config" in imported
    whole = re.search(r"^for unused in (.+); do$", FILL, re.MULTILINE)[1].split()
    assert "pygments" in whole
    parts = [part.replace("/", ".") for part in re.findall(r'"\$target/([a-z0-9_]+/[a-z0-9_]+)"', FILL)]
    assert "pydantic.v1" in parts
    gone = re.compile(rf"kubernetes\.(aio\.)?client\.({'|'.join(left_out)})\.|({'|'.join([*whole, *parts])})(\.|$)")
    assert [name for name in imported if gone.match(name)] == []


@pytest.mark.parametrize("part", ["syntax", "markdown", "traceback", "inspect"])
def test_what_the_image_leaves_out_for_rich_is_imported_nowhere_later_either(part):
    later = re.compile(rf"rich\.{part}\b|from rich import .*\b{part}\b")
    assert [path for path in (ROOT / "auditor").rglob("*.py") if later.search(path.read_text(encoding="utf-8"))] == []


def test_nobody_asks_for_the_time_zones_that_the_image_leaves_out():
    asking = re.compile(r"\bzoneinfo\b|\btzdata\b")
    assert [path for path in (ROOT / "auditor").rglob("*.py") if asking.search(path.read_text(encoding="utf-8"))] == []


@pytest.mark.parametrize("path", re.findall(r"^COPY (?!--)(.*) \S+$", CONTAINERFILE, re.MULTILINE))
def test_what_is_copied_is_there_and_not_ignored(path):
    ignored = (ROOT / ".containerignore").read_text(encoding="utf-8").splitlines()
    for name in path.split():
        assert (ROOT / name).exists()
        assert f"!{name}" in ignored


def test_the_image_runs_as_the_user_of_the_pods():
    assert "USER 65532:65532" in CONTAINERFILE
    assert CONTAINERFILE.rindex("USER ") > CONTAINERFILE.rindex("COPY ")


def test_every_package_of_the_wheel_is_copied():
    wheel = project()["tool"]["hatch"]["build"]["targets"]["wheel"]
    for name in (*wheel["packages"], *wheel["force-include"]):
        assert re.search(rf"^COPY {name} {name}$", CONTAINERFILE, re.MULTILINE)
