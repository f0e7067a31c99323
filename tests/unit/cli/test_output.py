from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from auditor.cli.output import check_output, open_output, tell
from auditor.model.errors import ClusterError, UsageError


def write(path, text="new"):
    with open_output(str(path)) as stream:
        stream.write(text)


def test_standard_output_without_a_path(capsys):
    with open_output(None) as stream:
        stream.write("text")
    assert capsys.readouterr().out == "text"


def test_a_file_is_written_and_nothing_else_stays(tmp_path):
    write(tmp_path / "report.json")
    assert [(entry.name, entry.read_text()) for entry in tmp_path.iterdir()] == [("report.json", "new")]


def test_an_existing_file_is_untouched_until_the_end(tmp_path):
    target = tmp_path / "report.json"
    target.write_text("old")
    with open_output(str(target)) as stream:
        stream.write("new")
        stream.flush()
        assert target.read_text() == "old"
    assert target.read_text() == "new"


def _fail_half_way(target, error):
    with open_output(str(target)) as stream:
        stream.write("half")
        raise error


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, BrokenPipeError])
def test_a_failing_block_leaves_the_old_file_and_no_other(tmp_path, error):
    target = tmp_path / "report.json"
    target.write_text("old")
    with pytest.raises(error):
        _fail_half_way(target, error)
    assert [(entry.name, entry.read_text()) for entry in tmp_path.iterdir()] == [("report.json", "old")]


def test_the_mode_of_a_new_file_follows_the_umask(tmp_path):
    before = os.umask(0o027)
    try:
        write(tmp_path / "report.json")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "report.json").stat().st_mode) == 0o640


def test_the_mode_of_an_existing_file_is_kept(tmp_path):
    target = tmp_path / "report.json"
    target.write_text("old")
    target.chmod(0o600)
    write(target)
    assert stat.S_IMODE(target.stat().st_mode) == 0o600


def test_a_symbolic_link_stays_one(tmp_path):
    target = tmp_path / "real.json"
    link = tmp_path / "link.json"
    link.symlink_to(target)
    write(link)
    assert link.is_symlink()
    assert target.read_text() == "new"


def test_a_device_is_written_to_and_not_replaced():
    write("/dev/null")
    assert stat.S_ISCHR(Path("/dev/null").stat().st_mode)


def test_a_full_device_is_told_with_its_path():
    with pytest.raises(ClusterError, match="--output-file /dev/full: no space left on device"):
        write("/dev/full", "x" * 100_000)


def test_the_check_leaves_nothing(tmp_path):
    check_output(str(tmp_path / "report.json"))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("path", [None, "/dev/null", "/dev/full"])
def test_the_check_lets_devices_and_standard_output_pass(path):
    check_output(path)


def test_a_missing_directory_is_wrong_usage(tmp_path):
    with pytest.raises(UsageError, match=f"there is no directory {tmp_path}/absent"):
        check_output(str(tmp_path / "absent" / "report.json"))


def test_a_directory_is_wrong_usage(tmp_path):
    with pytest.raises(UsageError, match="is a directory"):
        check_output(str(tmp_path))


def test_a_directory_that_takes_no_file_is_told():
    with pytest.raises(ClusterError, match=r"--output-file /sys/report\.json: "):
        check_output("/sys/report.json")


FILL = """
import sys
from auditor.cli.output import open_output
from auditor.model.errors import ClusterError
try:
    with open_output("full/report.json") as stream:
        stream.write("x" * 1_000_000)
except ClusterError as error:
    print(error)
"""


@pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("unshare") is None, reason="mounting a small file system needs root"
)
def test_a_full_disk_leaves_nothing_half_written(tmp_path):
    (tmp_path / "full").mkdir()
    script = f"mount -t tmpfs -o size=64k tmpfs full && {sys.executable} -c '{FILL}' && ls -A full"
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-ec", script],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.stdout, done.stderr) == (
        "--output-file full/report.json: no space left on device; nothing was written there\n",
        "",
    )


def test_that_nobody_listens_is_no_reason_to_fail(monkeypatch):
    with open("/dev/full", "w", encoding="utf-8", buffering=1) as full:  # noqa: PTH123 - a device
        monkeypatch.setattr(sys, "stderr", full)
        tell("pass", "all as expected", "report.json", quiet=False)
        with suppress(OSError):
            full.close()


def test_a_dash_is_standard_output(capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    check_output("-")
    with open_output("-") as stream:
        stream.write("text")
    tell("pass", "all as expected", "-", quiet=False)
    assert capsys.readouterr() == ("text", "")
    assert not list(tmp_path.iterdir())


def test_what_github_shows_of_a_step_is_added_to(tmp_path, monkeypatch):
    summary = tmp_path / "summary"
    summary.write_text("before\n")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))
    for text in ("one\n", "two\n"):
        with open_output(str(summary)) as stream:
            stream.write(text)
    assert summary.read_text() == "before\none\ntwo\n"


def test_another_file_than_the_summary_is_replaced(tmp_path, monkeypatch):
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "summary"))
    (tmp_path / "other").write_text("before\n")
    with open_output(str(tmp_path / "other")) as stream:
        stream.write("one\n")
    assert (tmp_path / "other").read_text() == "one\n"
