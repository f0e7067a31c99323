"""Whatever happens to a running audit: our own failures are never read as verdicts, and nothing is left behind."""

import asyncio
import os
import random
import shutil
import signal
import subprocess
import sys
import sysconfig
import time
from pathlib import Path

import pytest

from auditor.cli.output import check_output
from auditor.cluster.lab.lab import Lab
from auditor.model.dialect import Enforcement
from auditor.model.ports import PortRequest
from auditor.model.snapshot import Family
from auditor.model.verdict import Cell, Observed, Result, Verdict
from auditor.probing.options import NoProgress, ProbingOptions
from auditor.probing.probe_run import probe
from auditor.run.audit import audit
from auditor.run.planning import AuditOptions
from tests.bench.running import snapshot
from tests.lab.audits_in_trouble import COMMAND, SHORT, agent_at, trouble
from tests.lab.lab_rig import INGRESS, NODES, ROOT, TCP, UDP, deny, world
from tests.lab.troubled_lab import net_of, users_of
from tests.marking import slow, some
from tests.unit.cli.audit_process import environment

pytestmark = pytest.mark.lab

VICTIM = "prod/api"


def concerned(report, victim=VICTIM):
    return [cell for cell in report["cells"] if victim in (cell["source"], cell["destination"])]


def only_inconclusive_or_answered(cells):
    """A token that came back before the agent's end is one still; everything else says nothing about the network."""
    return all(
        cell["result"] == "inconclusive"
        or (cell["result"] == "match" and cell["observed"] == "allowed" == cell["expected"])
        for cell in cells
    )


def kill(pid):
    os.kill(pid, signal.SIGKILL)


def hang(pid):
    os.kill(pid, signal.SIGSTOP)


def kill_and_unplug(pid):
    subprocess.run(["nsenter", "-t", str(pid), "-n", "ip", "link", "delete", "eth0"], check=True)
    kill(pid)


@pytest.mark.skipif(os.geteuid() != 0, reason="NOT TESTED: entering the lab's namespaces needs root")
@pytest.mark.parametrize("enforcer", ["spec", slow("enforces-nothing")])
@pytest.mark.parametrize(
    ("harm", "selection"),
    [
        (kill, ()),
        slow(hang, ()),
        slow(kill_and_unplug, ()),
        (kill, ("--to", VICTIM)),
        slow(kill, ("--from", VICTIM)),
        slow(hang, ("--to", VICTIM)),
    ],
    ids=["killed", "hung", "unplugged", "killed-destination", "killed-source", "hung-destination"],
)
def test_an_agent_lost_in_the_main_pass_makes_its_cells_inconclusive(harm, selection, enforcer):
    with trouble(*SHORT, *selection, "--enforcer", enforcer) as run:
        run.read_until("probing: ")
        harm(run.agent_of(VICTIM))
        code, report = run.finish()
    cells = concerned(report)
    assert not [cell for cell in cells if cell["observed"] in ("dropped", "refused", "misdelivered")]
    if enforcer == "spec":
        assert code == 3, run.said
        assert only_inconclusive_or_answered(cells), [cell for cell in cells if cell["result"] != "inconclusive"]
        assert {cell["result"] for cell in report["cells"] if cell not in cells} <= {"match"}
    inconclusive = [cell for cell in cells if cell["result"] == "inconclusive"]
    assert inconclusive
    reasons = {cell["outcome"] for cell in inconclusive}
    # What an agent says of itself after it was unplugged and before it was killed is a reason, too.
    said = (f"agent of {VICTIM} ", "connected-no-token: ", "ENETUNREACH: ")
    assert all(any(words in reason for words in said) for reason in reasons), reasons
    assert not [cell for cell in report["cells"] if cell not in cells and cell["result"] == "inconclusive"]
    assert run.leaves_nothing()


def test_who_came_after_the_end_is_nothing_that_it_left():
    """The kernel gives the number of a network namespace that is gone to the next one, whoever makes that."""
    ended = time.clock_gettime(time.CLOCK_BOOTTIME)
    time.sleep(2 / os.sysconf("SC_CLK_TCK"))
    with subprocess.Popen(["sleep", "60"]) as later:
        here, other = net_of(os.getpid()), later.pid
        found, found_later = users_of({here}, ended), users_of({here}, float("inf"))
        later.kill()
    assert os.getpid() in found
    assert other not in found
    assert other in found_later


MOMENTS = [random.Random(number).uniform(0.0, 2.6) for number in range(10)]


@pytest.mark.parametrize("moment", [*MOMENTS[:2], *map(slow, MOMENTS[2:])], ids=lambda moment: f"{moment:.2f}s")
def test_kill_of_the_audit_at_any_moment_leaves_nothing(moment, tmp_path):
    mounts = Path("/proc/self/mountinfo").read_text().count("\n")
    with trouble(*SHORT, "--output-file", tmp_path / "report", cwd=tmp_path) as run:
        time.sleep(moment)
        run.processes()
        kill(run.process.pid)
        run.finish()
        assert run.leaves_nothing()
    assert Path("/proc/self/mountinfo").read_text().count("\n") == mounts
    check_output(
        str(tmp_path / "report")
    )  # where files can't be without a name, the next run clears away what the killed one wrote
    assert not [path for path in tmp_path.iterdir() if path.name != "report"]


SIGNALS = [("INT",), ("INT", "INT"), ("INT",) * 5, ("TERM",), ("HUP",), ("INT", "TERM")]


@pytest.mark.parametrize(
    ("numbers", "moment"),
    [
        *some((numbers, MOMENTS[place % 2]) for place, numbers in enumerate(SIGNALS) if len(numbers) == 1),
        *(slow(numbers, MOMENTS[place % 2]) for place, numbers in enumerate(SIGNALS) if len(numbers) > 1),
        *(slow(numbers, MOMENTS[1 - place % 2]) for place, numbers in enumerate(SIGNALS)),
        *(slow(numbers, moment) for numbers, moment in zip(SIGNALS, MOMENTS[2:], strict=False)),
    ],
    ids=lambda value: f"{0.3 + value:.2f}s" if isinstance(value, float) else "-".join(value),
)
def test_an_interruption_at_any_moment_ends_with_130_and_leaves_nothing(numbers, moment, tmp_path):
    with trouble(
        *SHORT, "--settle", "60", "--enforcer", "enforces-nothing", "--output-file", tmp_path / "report"
    ) as run:
        run.read_until("demo: ")
        time.sleep(moment)
        run.processes()
        for name in numbers:
            os.killpg(run.process.pid, getattr(signal, f"SIG{name}"))
        code, _ = run.finish()
        assert code == 130, run.said
        assert "Traceback" not in run.said
        assert "Warning" not in run.said
        assert run.said.endswith("interrupted\n")
        assert run.leaves_nothing()
    assert not list(tmp_path.iterdir())


CIRCUMSTANCES = [
    ('"$@" <&-', 0, ""),
    ('"$@" >&-', 4, "error: standard output: bad file descriptor\n"),
    ('"$@" <&- >&-', 4, "error: standard output: bad file descriptor\n"),
    ('"$@" 2>&-', 0, ""),
    ('"$@" <&- 2>&-', 0, ""),
    ('"$@" >/dev/full', 4, "error: standard output: no space left on device\n"),
    ('"$@" 2>/dev/full', 0, ""),
    ('"$@" --output-file report >&-', 0, ""),
    ('unset HOME TERM; export LC_ALL=C TERM=dumb; exec "$@"', 0, ""),
    ('mkdir gone; cd gone; rmdir ../gone; exec "$@"', 0, ""),
    (
        'mkdir gone; cd gone; rmdir ../gone; exec "$@" --output-file report',
        4,
        "error: --output-file report: no such file or directory; nothing was written there\n",
    ),
    ('PATH=/nonexistent; exec "$@"', 0, ""),
    ('ulimit -n 64; exec "$@"', 0, ""),
    ('ulimit -Sn 24; exec "$@"', 0, ""),
    ('ulimit -n 16; exec "$@"', 4, "error: lab: too many open files: allow more of them with 'ulimit -n'\n"),
]
COVERED_BY_OTHERS = (
    '"$@" <&-',
    'unset HOME TERM; export LC_ALL=C TERM=dumb; exec "$@"',
    'PATH=/nonexistent; exec "$@"',
    'mkdir gone; cd gone; rmdir ../gone; exec "$@"',
    'ulimit -n 64; exec "$@"',
    '"$@" <&- >&-',
    '"$@" <&- 2>&-',
    '"$@" --output-file report >&-',
    'mkdir gone; cd gone; rmdir ../gone; exec "$@" --output-file report',
)
"""Two circumstances at once, each of which is tried by itself, or one that is milder or rarer than another."""
TRIED_AT_ONCE = ('"$@" >/dev/full', '"$@" 2>&-', 'ulimit -n 16; exec "$@"')
"""The others are for ``make test-slow``."""
ABOUT_PROGRESS = ('"$@" 2>&-', '"$@" 2>/dev/full')


def quiet_or_telling():
    """Every circumstance with progress shown or without, as matters to it; both ways where no other covers it."""
    for circumstances in CIRCUMSTANCES:
        quiet = circumstances[0] not in ABOUT_PROGRESS
        if circumstances[0] in COVERED_BY_OTHERS:
            yield slow(quiet, *circumstances)
        else:
            yield (quiet, *circumstances) if circumstances[0] in TRIED_AT_ONCE else slow(quiet, *circumstances)
            yield slow(not quiet, *circumstances)


@pytest.mark.parametrize(("quiet", "circumstances", "code", "said"), list(quiet_or_telling()))
def test_circumstances_end_in_a_report_or_in_one_clear_line(quiet, circumstances, code, said, tmp_path):
    command = ["sh", "-c", circumstances, "sh", *COMMAND, *SHORT, *(["-q"] if quiet else [])]
    done = subprocess.run(
        command,
        cwd=tmp_path,
        env=environment(PYTHONPATH=str(ROOT)),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == code, done.stdout + done.stderr
    errors = "".join(
        line
        for line in done.stderr.splitlines(keepends=True)
        if quiet or line.startswith(("error", "internal", "Traceback"))
    )
    assert errors == said
    if ">&-" not in circumstances.replace("2>&-", "") and ">/dev" not in circumstances.replace("2>/dev", ""):
        assert done.stdout.startswith("PASS  " if code == 0 else "")
    assert {path.name for path in tmp_path.iterdir()} <= {"report"}


def test_modules_in_the_working_directory_are_none_of_ours(tmp_path):
    for name in ("auditor", "socket", "gc", "json", "probes"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('taken for a module of ours')")
    program = (sys.executable, "-P", "-m", "auditor")
    with trouble(*SHORT, "-q", command=program, cwd=tmp_path) as run:
        code, _ = run.finish()
    assert (code, run.said) == (0, "")


@pytest.mark.skipif(
    os.geteuid() != 0 or not shutil.which("setpriv"), reason="NOT TESTED: becoming another user needs root"
)
@pytest.mark.parametrize("processes", [*map(slow, (1, 2, 4, 6)), 8, *map(slow, (10, 40))])
def test_a_user_who_may_not_start_enough_processes_is_told_so(processes):
    user = str(1_000_000 + os.getpid() * 10 + processes % 10)  # nobody else's, so that nobody else's processes count
    become = ["setpriv", "--reuid", user, "--regid", user, "--clear-groups"]
    path = os.pathsep.join([str(ROOT), sysconfig.get_paths()["purelib"]])
    surroundings = environment(PYTHONPATH=path, PYTHONDONTWRITEBYTECODE="1")
    if subprocess.run(
        [*become, "/usr/bin/python3", "-c", "import click, yaml, rich, msgspec"], env=surroundings, check=False
    ).returncode:
        pytest.skip("NOT TESTED: no Python here that an ordinary user may run and that finds the project")
    if subprocess.run([*become, "unshare", "-Urn", "true"], check=False, capture_output=True).returncode:
        pytest.skip("NOT TESTED: this kernel gives an ordinary user no user namespace")
    command = [*become, "prlimit", f"--nproc={processes}", "/usr/bin/python3", "-m", "auditor", *SHORT, "-q"]
    done = subprocess.run(command, cwd=ROOT, env=surroundings, capture_output=True, text=True, timeout=60, check=False)
    told = (done.returncode, done.stdout.partition(" ")[0], done.stderr.partition(": ")[0], done.stderr.count("\n"))
    enough, too_few_agents, no_lab = (0, "PASS", "", 0), (3, "INCONCLUSIVE", "", 0), (4, "", "error", 1)
    assert told in {1: [no_lab], 40: [enough]}.get(processes, [too_few_agents, no_lab]), done.stdout + done.stderr


@pytest.mark.parametrize(
    ("enforcer", "options", "code", "beginning"),
    [
        slow("slow:3", ("--late-isolation", "20"), 0, "PASS  "),
        ("slow:3", (), 1, "FAIL  "),
        slow("slow:30", ("--settle", "2"), 1, "FAIL  "),
        slow("flaky:0.3", (), 1, "FAIL  "),
        slow("flaky:0.9", (), 1, "FAIL  "),
    ],
)
def test_slow_and_flaky_enforcers_are_judged_as_what_they_are(enforcer, options, code, beginning):
    with trouble("run", "--lab", "demo", *options, "--enforcer", enforcer) as run:
        ended, report = run.finish()
    summary = report["summary"]
    assert ended == code, summary
    assert summary["inconclusive"] == 0
    if enforcer.startswith("flaky"):
        assert summary["leaks"] == 0
        assert summary["unstable"] + summary["outages"] > 0
        assert all(
            cell["expected"] == "allowed" for cell in report["cells"] if cell["result"] in ("unstable", "outage")
        )
    if enforcer == "slow:3" and code:
        (finding,) = report["findings"]
        assert "open for up to" in finding["title"]
        assert "diagnosis" not in report
        late = [cell for cell in report["cells"] if cell["result"] != "match"]
        assert {cell["result"] for cell in late} == {"unstable"}
        assert {(cell["expected"], cell["observed"]) for cell in late} == {("denied", "dropped")}
    if enforcer == "slow:30":
        assert summary["leaks"] == sum(cell["expected"] == "denied" for cell in report["cells"])


BUSY = "import os, sys\nwhile os.getppid() == int(sys.argv[1]): pass"
"""Ends with the tests, also where they are killed: what goes on for ever would slow down everything else for ever."""


@pytest.mark.slow
@pytest.mark.parametrize("times", [1, 4])
def test_a_busy_machine_makes_no_verdict_wrong(times):
    busy = []
    try:
        busy += (subprocess.Popen([sys.executable, "-c", BUSY, str(os.getpid())]) for _ in range(6))
        for _ in range(times):
            with trouble(*SHORT) as run:
                code, report = run.finish()
            assert code == 0, report["summary"]
    finally:
        for process in busy:
            process.kill()
            process.wait()


async def test_an_end_that_is_cancelled_again_and_again_still_closes_every_stream():
    channels, up = [], asyncio.Event()

    async def enter():
        async with Lab(world(), nodes=NODES) as lab:
            channels.extend([await lab.open(site) for site in lab.sites])
            up.set()
            await asyncio.sleep(60)

    task = asyncio.create_task(enter())
    await asyncio.wait_for(up.wait(), 30)
    for _ in range(5):
        task.cancel()
        await asyncio.sleep(0)
    with pytest.raises(asyncio.CancelledError):
        await task
    assert channels
    assert all(channel._writer.transport.is_closing() for channel in channels)


async def test_agents_at_each_others_sites_are_found_out():
    async with Lab(world(), nodes=NODES) as lab:
        sites = {site.name: site for site in lab.sites}
        places = {**sites, "a/web": sites["a/db"], "a/db": sites["a/web"]}
        cells = [
            Cell(source, to, TCP, 80, Family.IPV4)
            for source in ("a/web", "a/db", "b/client")
            for to in ("a/web", "a/db", "b/web")
        ]
        outcome = await probe(
            cells,
            lab.sites,
            lambda site: lab.open(places[site.name]),
            lambda _: Verdict.ALLOWED,
            ProbingOptions(settle=0.0),
            NoProgress(),
        )
    concerned = {cell for cell in cells if {"a/web", "a/db"} & set(cell[:2])}
    assert {outcome.observations[cell].verdict for cell in concerned} == {Observed.INCONCLUSIVE}
    reasons = {outcome.observations[cell].outcome for cell in concerned}
    said = "agent of {} is not at 10.244.{}.{}: EADDRNOTAVAIL: Cannot assign requested address"
    assert reasons == {said.format("a/web", 0, 10), said.format("a/db", 1, 11)}
    assert {outcome.observations[cell].verdict for cell in set(cells) - concerned} == {Observed.ALLOWED}


class StandingStill(NoProgress):
    """Stops processes just before the main pass, for longer than its timeout."""

    def __init__(self, find):
        self.find = find
        self.stopped = []

    def phase(self, name, attempts):
        if name == "probing":
            self.stopped = self.find()
            for pid in self.stopped:
                os.kill(pid, signal.SIGSTOP)
            asyncio.get_running_loop().call_later(2.0, self.go_on)

    def go_on(self):
        for pid in self.stopped:
            os.kill(pid, signal.SIGCONT)


async def test_an_agent_that_stands_still_for_a_while_is_never_a_denial():
    async with Lab(world(deny(INGRESS)), nodes=NODES, enforcement=Enforcement.parse(("enforces-nothing",))) as lab:
        cells = [
            Cell("b/client", to, protocol, 80, Family.IPV4) for to in ("a/web", "b/web") for protocol in (TCP, UDP)
        ]
        progress = StandingStill(lambda: [agent_at(lab, site) for site in lab.sites if site.name in ("a/web", "b/web")])

        def expected(cell):
            return Verdict.DENIED if cell.destination == "a/web" else Verdict.ALLOWED

        outcome = await probe(cells, lab.sites, lab.open, expected, ProbingOptions(timeout=0.5, settle=0.0), progress)
    assert len(progress.stopped) == 2
    assert {seen.verdict for seen in outcome.observations.values()} == {Observed.ALLOWED}
    assert not any(verdict.is_denied for seen in outcome.observations.values() for verdict in seen.history)
    assert any(Observed.INCONCLUSIVE in seen.history for seen in outcome.observations.values())
    assert not outcome.unstable


async def test_a_datagram_that_arrives_against_the_policy_is_a_leak_though_its_reply_is_lost():
    enforcement = Enforcement.parse(("stateless@n0", "ignores-ingress@n1"))
    snapshot = world(deny(INGRESS))
    async with Lab(snapshot, nodes=NODES, enforcement=enforcement) as lab:
        options = AuditOptions((PortRequest(UDP, 53),), ("a/web",), ("a/db",), probing=ProbingOptions(settle=0.0))
        report = await audit(lab, "one-way", options, NoProgress())
    assert {(result.result, result.observation.outcome) for result in report.cells} == {(Result.LEAK, "reply-lost")}


@pytest.mark.alone
async def test_200_pods_on_4_nodes():
    nodes = [f"node-{number + 1}" for number in range(4)]
    async with Lab(snapshot(200, 4), nodes=nodes, enforcement=Enforcement.parse(("ignores-udp",))) as lab:
        options = AuditOptions(ports=(PortRequest(TCP, 80), PortRequest(UDP, 81)))
        report = await audit(lab, "large", options, NoProgress())
    results = {result.cell: result.result for result in report.cells}
    assert len(results) == 200 * 200 * 2
    # Two hundred agents share this machine: what one of them could not hear for want of its turn has no verdict.
    unheard = {cell for cell, result in results.items() if result is Result.INCONCLUSIVE}
    assert len(unheard) < len(results) / 1000
    heard = {cell: result for cell, result in results.items() if cell not in unheard}
    assert heard == {
        cell: Result.LEAK if cell.protocol is UDP and cell.source != cell.destination else Result.MATCH
        for cell in heard
    }
