"""A cluster that a killed run has left must not stop the next run, and one in use must not be ended by it."""

import os
import subprocess
from pathlib import Path

import pytest

HERE = Path(__file__).parent


@pytest.fixture
def cache(tmp_path):
    (tmp_path / "docker-x").mkdir()
    return tmp_path


def claim(cache: Path, maker: int) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"E2E_CACHE": str(cache), "E2E_CLUSTER": "x"}
    script = f'set -euo pipefail; . "{HERE}/common.sh"; claim_name {maker}'
    return subprocess.run(
        ["bash", "-c", script], env=environment, capture_output=True, text=True, timeout=60, check=False
    )


def state(cache: Path, **files: str) -> Path:
    folder = cache / "cluster-x"
    folder.mkdir()
    for name, text in files.items():
        (folder / name.replace("_", ".")).write_text(text + "\n")
    return folder


def me(started: int = 0) -> str:
    """This process as the scripts write it down; a start time added to makes it another, with the same pid."""
    after_the_name = Path("/proc/self/stat").read_text().rsplit(") ", 1)[1].split()
    return f"{os.getpid()} {int(after_the_name[19]) + started}"


def test_a_free_name_is_taken(cache):
    done = claim(cache, os.getpid())
    assert (done.returncode, done.stderr) == (0, "")
    assert (cache / "cluster-x" / "maker").read_text() == me() + "\n"


@pytest.mark.parametrize(
    "files",
    [
        {"engine": "private", "engine_pid": me(started=-1)},
        {"engine": "private"},
        {"engine": "private", "engine_pid": me(started=-1), "maker": me(started=-1)},
        {"maker": me(started=-1)},
        {"engine": "private", "maker": ""},
    ],
    ids=["docker killed", "docker never started", "both killed", "killed before anything was made", "disk was full"],
)
def test_what_a_killed_run_left_is_cleared_up(cache, files):
    folder = state(cache, **files, kubeconfig="of the old one")
    done = claim(cache, os.getpid())
    assert done.returncode == 0, done.stderr
    assert "is cleared up first" in done.stderr
    assert [path.name for path in folder.iterdir()] == ["maker"]
    assert (folder / "maker").read_text() == me() + "\n"


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({"engine": "private", "maker": me()}, f"the cluster x is in use by process {os.getpid()}"),
        (
            {"engine": "private", "engine_pid": me()},
            "there is a cluster x already; end it with: E2E_CLUSTER=x make cluster-down",
        ),
        ({"engine": "host"}, "there is a cluster x already; end it with: E2E_CLUSTER=x make cluster-down"),
    ],
    ids=["somebody makes it", "of a person", "of a person, in the machine's docker"],
)
def test_a_cluster_in_use_is_left_alone(cache, files, said):
    folder = state(cache, **files)
    before = {path.name: path.read_text() for path in folder.iterdir()}
    done = claim(cache, os.getpid())
    assert done.returncode == 4
    assert said in done.stderr
    assert {path.name: path.read_text() for path in folder.iterdir()} == before


@pytest.mark.skipif(os.geteuid() != 0, reason="NOT TESTED: a private Docker needs root")
def test_no_docker_is_started_for_a_cluster_that_was_ended_meanwhile(cache):
    environment = os.environ | {"E2E_CACHE": str(cache), "E2E_CLUSTER": "x"}
    done = subprocess.run(
        [HERE / "engine", "start"], env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode != 0
    assert "the cluster x was ended meanwhile" in done.stderr
    assert not (cache / "cluster-x").exists()
