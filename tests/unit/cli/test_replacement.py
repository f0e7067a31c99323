"""What --output-file does to what is there: no log is replaced, and nobody can read more than before."""

from __future__ import annotations

import fcntl
import os
import random
import shutil
import signal
import socket
import stat
import struct
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import pytest

from auditor.cli import replacement
from auditor.cli.output import check_output, open_output
from auditor.cli.replacement import ACL
from auditor.model.errors import ClusterError, UsageError
from tests.unit.cli.audit_process import environment

ROOT = os.geteuid() == 0
NOBODY = 65534


@pytest.fixture(params=["nameless", "named"])
def way(request, monkeypatch):
    """Both ways to write: with O_TMPFILE, and for file systems that have none."""
    if request.param == "named":
        monkeypatch.setattr(replacement, "_nameless", lambda _target: None)


@pytest.fixture
def open_to_all():
    """A directory that every user can reach and write to."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o777)
        yield Path(name)


def write(path, text="new"):
    check_output(str(path))
    with open_output(str(path)) as stream:
        stream.write(text)


def content(directory):
    return {entry.name: entry.read_text() for entry in directory.iterdir()}


def audit(script, cwd):
    """A shell in which $AUDIT is the command line."""
    variables = environment(AUDIT=f"{sys.executable} -m auditor", PYTHONPATH=str(Path(__file__).parents[3]))
    done = subprocess.run(
        ["sh", "-c", script], cwd=cwd, env=variables, capture_output=True, text=True, timeout=110, check=False
    )
    return done.returncode, done.stderr


POD = "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec: {containers: [{name: a, image: a}]}\n"


@pytest.mark.parametrize(
    "path",
    [
        "/dev/stdout",
        "/dev/fd/1",
        "/proc/self/fd/1",
        "/proc/thread-self/fd/1",
        "link",
        "/dev/fd/4 4>>log",
        "/dev/stderr 2>>log",
    ],
)
def test_a_log_is_appended_to(path, tmp_path):
    (tmp_path / "pod.yaml").write_text(POD)
    (tmp_path / "log").write_text("before\n")
    (tmp_path / "link").symlink_to("/dev/stdout")
    code, said = audit(
        f"$AUDIT lint -f pod.yaml --output-file {path} >> log; code=$?; echo after >> log; exit $code", tmp_path
    )
    assert (code, said) == (3, "")
    lines = (tmp_path / "log").read_text().splitlines()
    assert (lines[0], lines[-1]) == ("before", "after")
    assert any(line.startswith("INCONCLUSIVE") for line in lines)


def test_a_redirected_file_goes_on_where_it_is(tmp_path):
    (tmp_path / "pod.yaml").write_text(POD)
    code, said = audit(
        "{ echo before; $AUDIT lint -f pod.yaml --output-file /dev/stdout; echo after; } > log", tmp_path
    )
    assert (code, said) == (0, "")
    lines = (tmp_path / "log").read_text().splitlines()
    assert (lines[0], lines[1][:12], lines[-1]) == ("before", "INCONCLUSIVE", "after")


def test_the_descriptor_of_another_process_is_appended_to(tmp_path):
    (tmp_path / "log").write_text("before\n")
    with (tmp_path / "log").open("a") as log:
        process = subprocess.Popen(["sleep", "60"], stdout=log)
        try:
            write(f"/proc/{process.pid}/fd/1")
        finally:
            process.kill()
            process.wait()
    assert content(tmp_path) == {"log": "before\nnew"}


@pytest.mark.parametrize("path", ["/dev/stdin", "/dev/fd/0"])
def test_a_descriptor_that_takes_nothing_is_told_at_once(path, tmp_path):
    (tmp_path / "pod.yaml").write_text(POD)
    (tmp_path / "other").touch()
    code, said = audit(f"$AUDIT lint -f pod.yaml --output-file {path} < other", tmp_path)
    assert (code, said) == (4, f"error: --output-file {path}: is not open for writing\n")
    code, said = audit("$AUDIT lint -f pod.yaml --output-file /dev/fd/77", tmp_path)
    assert (code, said) == (4, "error: --output-file /dev/fd/77: bad file descriptor\n")


def test_a_pipe_is_written_into(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    read = []
    reader = threading.Thread(target=lambda: read.append((tmp_path / "pipe").read_text()))
    reader.start()
    write(tmp_path / "pipe")
    reader.join(60)
    assert read == ["new"]
    assert stat.S_ISFIFO((tmp_path / "pipe").stat().st_mode)


def test_a_socket_is_left_alone_and_told(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind("socket")
        with pytest.raises(ClusterError, match="--output-file socket: no such device or address"):
            write("socket")
    assert stat.S_ISSOCK(Path("socket").stat().st_mode)


@pytest.mark.skipif(not ROOT, reason="making a device needs root")
def test_a_disk_is_never_written_to(tmp_path):
    try:
        os.mknod(tmp_path / "disk", stat.S_IFBLK | 0o600, os.makedev(7, 250))
    except PermissionError:
        pytest.skip("this container may not make devices")
    for attempt in (check_output, write):
        with pytest.raises(UsageError, match="is a disk"):
            attempt(str(tmp_path / "disk"))


def test_a_link_in_a_circle_is_one_line(tmp_path):
    (tmp_path / "link").symlink_to("link")
    with pytest.raises(ClusterError, match="too many levels of symbolic links"):
        check_output(str(tmp_path / "link"))


@pytest.mark.usefixtures("way")
def test_a_link_to_nothing_gets_its_file(tmp_path):
    (tmp_path / "link").symlink_to("real")
    write(tmp_path / "link")
    assert (tmp_path / "link").is_symlink()
    assert content(tmp_path) == {"link": "new", "real": "new"}


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("mode", [0o600, 0o640, 0o664, 0o755, 0o400])
def test_mode_and_owner_stay(mode, tmp_path):
    target = tmp_path / "report"
    target.write_text("old")
    if ROOT:
        os.chown(target, NOBODY, NOBODY)
    target.chmod(mode)
    before = target.stat()
    write(target)
    after = target.stat()
    assert (after.st_mode, after.st_uid, after.st_gid) == (before.st_mode, before.st_uid, before.st_gid)
    assert content(tmp_path) == {"report": "new"}


@pytest.mark.usefixtures("way")
def test_other_names_of_a_file_get_the_new_content(tmp_path):
    (tmp_path / "report").write_text("old, and longer than the new one")
    (tmp_path / "other").hardlink_to(tmp_path / "report")
    write(tmp_path / "report")
    assert content(tmp_path) == {"report": "new", "other": "new"}
    write(tmp_path / "report", "newer " * 100)
    assert content(tmp_path) == {"report": "newer " * 100, "other": "newer " * 100}


@pytest.mark.usefixtures("way")
@pytest.mark.skipif(not ROOT, reason="needs somebody else")
def test_the_file_of_another_keeps_its_owner_though_we_may_not_give_it(open_to_all):
    tmp_path = open_to_all
    target = tmp_path / "report"
    target.write_text("old")
    target.chmod(0o666)
    as_nobody(tmp_path, "from tests.unit.cli.test_replacement import write; write('report')")
    assert (target.read_text(), target.stat().st_uid) == ("new", 0)
    assert content(tmp_path) == {"report": "new"}
    target.chmod(0o644)
    assert "report: permission denied" in as_nobody(
        tmp_path, "from auditor.cli.output import check_output; check_output('report')", 1
    )
    tmp_path.chmod(0o755)
    for name in ("report", "absent"):
        said = as_nobody(tmp_path, f"from auditor.cli.output import check_output; check_output('{name}')", 1)
        assert f"--output-file {name}: permission denied; nothing was written there" in said


def as_nobody(directory, script, code=0):
    """What ``script``, a Python program run as another user in ``directory``, says on stderr."""
    child = (
        "import os, sys; from auditor.cli import output; import tests.unit.cli.test_replacement;"
        f" os.chdir({str(directory)!r}); os.setgroups([]); os.setgid({NOBODY}); os.setuid({NOBODY}); {script}"
    )
    done = subprocess.run(
        [sys.executable, "-c", child],
        cwd=Path(__file__).parents[3],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == code, done.stderr
    return done.stderr


@pytest.mark.usefixtures("way")
def test_nobody_can_read_more_than_before_at_any_moment(tmp_path, monkeypatch):
    target = tmp_path / "report"
    target.write_text("old")
    target.chmod(0o600)
    seen = []

    def watched(real):
        def call(*arguments, **options):
            result = real(*arguments, **options)
            seen.extend(stat.S_IMODE(entry.stat().st_mode) for entry in tmp_path.iterdir())
            return result

        return call

    for name in ("open", "link", "fchmod", "fchown", "fsync", "replace", "rename"):
        monkeypatch.setattr(os, name, watched(getattr(os, name)))
    write(target)
    assert seen
    assert set(seen) == {0o600}


@pytest.mark.usefixtures("way")
def test_who_may_read_the_new_files_of_a_directory_may_not_read_an_old_private_one(tmp_path):
    target = tmp_path / "report"
    target.write_text("old")
    target.chmod(0o600)
    entries = ((1, 6, -1), (2, 4, NOBODY), (4, 4, -1), (16, 4, -1), (32, 0, -1))  # owner, a user, group, mask, others
    acl = struct.pack("<I", 2) + b"".join(struct.pack("<HHi", *entry) for entry in entries)
    try:
        os.setxattr(tmp_path, "system.posix_acl_default", acl)
    except OSError:
        pytest.skip("this file system has no access control lists")
    (tmp_path / "other").touch()
    assert ACL in os.listxattr(tmp_path / "other")
    write(target)
    assert ACL not in os.listxattr(target)
    assert stat.S_IMODE(target.stat().st_mode) == 0o600


def test_what_killed_writers_left_is_cleared_away_and_what_others_write_is_not(tmp_path):
    left, living, foreign = (
        tmp_path / name for name in (".report.00112233aabb.tmp", ".report.ffeeddccbbaa.tmp", ".report.backup.tmp")
    )
    for path in (left, living, foreign):
        path.write_text("half")
    (tmp_path / ".report.0123456789ab.tmp").mkdir()
    (tmp_path / ".report.ba9876543210.tmp").symlink_to(foreign)
    os.mkfifo(tmp_path / ".report.abcdefabcdef.tmp")
    with living.open() as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        write(tmp_path / "report")
    assert not left.exists()
    assert {path.name for path in tmp_path.iterdir()} == {
        "report", living.name, foreign.name,
        ".report.0123456789ab.tmp", ".report.ba9876543210.tmp", ".report.abcdefabcdef.tmp",
    }  # fmt: skip


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("name", ["r" * 255, "ü" * 127, "-x", "a\nb"])
def test_any_name_a_file_may_have(name, tmp_path):
    for text in ("old", "new"):
        write(tmp_path / name, text)
    assert content(tmp_path) == {name: "new"}


WRITE_ON_AND_ON = """
import os, sys
from auditor.cli import replacement
from auditor.cli.output import check_output, open_output
if sys.argv[1] == "named":
    replacement._nameless = lambda target: None
parent = os.getppid()
print("ready", flush=True)
while os.getppid() == parent:
    check_output("report")
    with open_output("report") as stream:
        stream.write("begin " + "x" * 20_000 + " end")
"""


@pytest.mark.parametrize(("kind", "kills"), [("nameless", 15), ("named", 10)])
def test_kill_at_any_moment_leaves_a_whole_report_and_nothing_that_the_next_one_does_not_clear(kind, kills, tmp_path):
    chance = random.Random(1)
    variables = environment(PYTHONPATH=str(Path(__file__).parents[3]))
    for _ in range(kills):
        process = subprocess.Popen(
            [sys.executable, "-c", WRITE_ON_AND_ON, kind], cwd=tmp_path, env=variables, stdout=subprocess.PIPE
        )
        try:
            process.stdout.readline()
            time.sleep(chance.uniform(0, 0.02))
        finally:
            process.send_signal(signal.SIGKILL)
            process.wait(60)
            process.stdout.close()
        found = content(tmp_path)
        assert len(found) <= 2
        assert not found or kind == "named" or "report" in found
        for name, text in found.items():
            assert name != "report" or (text.startswith("begin ") and text.endswith(" end"))
    write(tmp_path / "report")
    assert content(tmp_path) == {"report": "new"}


FILL = """
import os, sys
from auditor.cli import replacement
from auditor.cli.output import open_output
from auditor.model.errors import ClusterError
if sys.argv[1] == "named":
    replacement._nameless = lambda target: None
try:
    with open_output("full/report") as stream:
        stream.write("x" * int(sys.argv[2]))
except ClusterError as error:
    print(error)
print(sorted(os.listdir("full")), os.stat("full/report").st_size)
"""


@pytest.mark.skipif(not ROOT or shutil.which("unshare") is None, reason="mounting a small file system needs root")
@pytest.mark.parametrize("kind", ["nameless", "named"])
@pytest.mark.parametrize(("links", "size"), [(1, 1_000_000), (2, 1_000_000), (2, 50_000)])
def test_a_full_disk_leaves_the_old_report_as_it_was(kind, links, size, tmp_path):
    (tmp_path / "full").mkdir()
    (tmp_path / "fill.py").write_text(FILL)
    other = "ln full/report full/link" if links == 2 else "true"
    script = (
        f"mount -t tmpfs -o size=64k tmpfs full && printf old > full/report && {other} && {sys.executable} "
        f"fill.py {kind} {size}"
    )
    variables = environment(PYTHONPATH=str(Path(__file__).parents[3]))
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-ec", script],
        cwd=tmp_path,
        env=variables,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    names = ["link", "report"] if links == 2 else ["report"]
    said = "--output-file full/report: no space left on device; nothing was written there"
    assert (done.stdout.splitlines(), done.stderr) == ([said, f"{names} 3"], "")
