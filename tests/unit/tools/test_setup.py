"""``tools/setup`` on a machine that lacks things, played by a PATH of our own: what it installs, when it asks, and what
it says.
"""

from __future__ import annotations

import os
import pty
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
TOOLS = ("cat", "cksum", "dirname", "sed", "tr")


class Machine:
    """A machine with ``commands`` beside the basic ones; apt-get only notes what it is asked for."""

    def __init__(self, directory, commands, user=0, *, debian=True):
        self.checkout, self.bin = directory / "checkout", directory / "bin"
        (self.checkout / "tools").mkdir(parents=True)
        (self.checkout / ".venv" / "bin").mkdir(parents=True)
        self.bin.mkdir()
        text = (
            (ROOT / "tools/setup")
            .read_text(encoding="utf-8")
            .replace('"/usr/sbin/$1"', '"/absent/$1"')
            .replace('"/sbin/$1"', '"/absent/$1"')
        )
        (self.checkout / "tools/setup").write_text(text, encoding="utf-8")
        for name in ("requirements.lock", "pyproject.toml"):
            (self.checkout / name).write_text(name, encoding="utf-8")
        command = ["sh", "-c", "cat requirements.lock pyproject.toml | cksum"]
        stamp = subprocess.run(command, cwd=self.checkout, capture_output=True, check=True)
        (self.checkout / ".venv/.ready").write_bytes(stamp.stdout.strip())
        self.script(self.checkout / ".venv/bin/python", "exit 0")
        for name in TOOLS:
            (self.bin / name).symlink_to(shutil.which(name))
        for name in ("python3", *commands):
            self.script(self.bin / name, "exit 0")
        self.script(self.bin / "id", f"echo {user}")
        if debian:
            self.script(self.bin / "apt-get", f'echo "$@" >>{directory}/installed')
        self.log = directory / "installed"

    @staticmethod
    def script(path, line):
        path.write_text(f"#!/bin/sh\n{line}\n", encoding="utf-8")
        path.chmod(0o755)

    def installed(self):
        lines = self.log.read_text(encoding="utf-8").splitlines() if self.log.exists() else []
        return [line.split("--no-install-recommends ")[1] for line in lines if line.startswith("install")]

    def setup(self, *options, typed=None, **variables):
        """Without ``typed`` there is no terminal. Returns exit code and what was said."""
        command = ["/bin/sh", str(self.checkout / "tools/setup"), *options]
        environment = {"PATH": str(self.bin), **variables}
        if typed is None:
            done = subprocess.run(
                command,
                env=environment,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=60,
                check=False,
            )
            return done.returncode, done.stdout + done.stderr
        ours, theirs = pty.openpty()
        process = subprocess.Popen(command, env=environment, stdin=theirs, stdout=theirs, stderr=theirs)
        os.close(theirs)
        os.write(ours, typed.encode())
        said = b""
        try:
            while piece := os.read(ours, 4096):
                said += piece
        except OSError:  # the other end is closed
            pass
        finally:
            os.close(ours)
        return process.wait(60), said.decode()


LAB = "iproute2 nftables"


def test_without_a_terminal_it_installs_what_the_lab_needs_and_says_so(tmp_path):
    machine = Machine(tmp_path, ())
    code, said = machine.setup()
    assert (code, machine.installed()) == (0, [LAB])
    assert said == f"setup: installing the Debian packages {LAB}\n"


@pytest.mark.parametrize(
    ("typed", "code", "installed"), [("y\n", 0, [LAB]), ("n\n", 4, []), ("\n", 4, []), ("\x04", 4, [])]
)
def test_on_a_terminal_it_asks(typed, code, installed, tmp_path):
    machine = Machine(tmp_path, ())
    ended, said = machine.setup(typed=typed)
    assert (ended, machine.installed()) == (code, installed)
    assert f"install these Debian packages: {LAB}? [y/N]" in said


@pytest.mark.parametrize(("answer", "code", "installed"), [("1", 0, [LAB]), ("0", 4, [])])
@pytest.mark.parametrize("typed", [None, ""])
def test_it_can_be_told(answer, code, installed, typed, tmp_path):
    machine = Machine(tmp_path, ())
    ended, said = machine.setup(typed=typed, YES=answer)
    assert (ended, machine.installed()) == (code, installed)
    assert "[y/N]" not in said


def test_only_benches_need_a_compiler(tmp_path):
    machine = Machine(tmp_path, ("ip", "nft"))
    assert machine.setup() == (0, "")
    assert machine.setup("--bench")[0] == 0
    assert machine.installed() == ["gcc libc6-dev"]


def test_live_clusters_need_no_package_and_none_is_installed(tmp_path):
    machine = Machine(tmp_path, ())
    assert machine.setup("--live") == (0, "")
    (machine.checkout / ".venv/bin/python").unlink()
    machine.script(machine.bin / "python3", "exit 1")
    code, said = machine.setup("--live", YES="1")
    assert (code, machine.installed()) == (4, [])
    assert said == "setup: missing python3 python3-venv; install with: sudo apt-get install python3 python3-venv\n"


@pytest.mark.parametrize("machine", [{"user": 1000}, {"debian": False}])
def test_who_may_not_install_is_told_what_to_do(machine, tmp_path):
    code, said = Machine(tmp_path, (), **machine).setup()
    assert code == 4
    assert said.splitlines() == [
        f"setup: missing {LAB}; install with: sudo apt-get install {LAB}",
        "setup: without them: make setup-live, which is enough for live clusters and for manifests",
    ]


def test_an_unknown_option_is_wrong_usage(tmp_path):
    code, said = Machine(tmp_path, ()).setup("--all")
    assert (code, said) == (2, "setup: unknown option --all: use --live, --bench, --browser or none\n")
