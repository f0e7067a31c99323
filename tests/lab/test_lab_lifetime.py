"""How the lab begins and ends: nothing is left behind, whichever process dies, and every failure is one line."""

import asyncio
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import uuid
from contextlib import suppress
from pathlib import Path

import pytest

from auditor.cluster.lab.lab import Lab, find_tools
from auditor.model.errors import ClusterError
from tests.lab.audits_in_trouble import until
from tests.lab.lab_rig import AGENT, INGRESS, NODES, ROOT, deny, listening, make_agent_importable, rigged, world

pytestmark = pytest.mark.lab

BOUND = 30.0
OWN_PROCESSES = str(Path("/proc/self/ns/pid").readlink())
CONTROLLER = """
import asyncio, sys
from tests.lab.lab_rig import *

async def main():
    lab = Lab(world(), nodes=NODES, agent=AGENT)
    print("starting", flush=True)
    async with lab:
        print("built", flush=True)
        rig = await listening(lab)
        print("listening", flush=True)
        if "leave" in sys.argv:
            assert await rig.reaches("a/web", "a/db")
            return
        await asyncio.sleep(60)

try:
    asyncio.run(main())
except KeyboardInterrupt:
    print("interrupted", flush=True)
"""

KILLED_WHILE_IT_FORKS = """
import os, signal, sys
from auditor.cluster.lab import supervisor

fork = os.fork

def fork_and_die():
    until_parent_ends, open_while_parent_lives = os.pipe()
    child = fork()
    if child:
        os.kill(os.getpid(), signal.SIGKILL)
    os.close(open_while_parent_lives)
    os.read(until_parent_ends, 1)
    return child

os.fork = fork_and_die
sys.exit(supervisor.main(sys.argv[1:]))
"""


@pytest.fixture(autouse=True)
def _agent(monkeypatch):
    make_agent_importable(monkeypatch)


@pytest.fixture
def mark(monkeypatch):
    """A word in the environment of everything that the test starts, by which what is left of it can be found."""
    word = f"LAB_MARK={uuid.uuid4()}"
    monkeypatch.setenv(*word.split("="))
    return word


def marked(word):
    """The processes, other than this one, that carry the mark, with their network namespaces."""
    found = {}
    for process in Path("/proc").iterdir():
        if process.name.isdigit() and int(process.name) != os.getpid():
            with suppress(OSError):
                if word.encode() in (process / "environ").read_bytes().split(b"\0"):
                    found[int(process.name)] = str((process / "ns/net").readlink())
    return found


def users_of(networks):
    """The processes that are in any of these network namespaces."""
    found = set()
    for process in Path("/proc").iterdir():
        if process.name.isdigit():
            with suppress(OSError):
                if str((process / "ns/net").readlink()) in networks:
                    found.add(int(process.name))
    return found


def only_child(pid):
    (child,) = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return int(child)


def assert_all_end(word):
    """No process that carries the mark stays; else the failure says what each of them is doing."""
    assert until(lambda: not marked(word)), "\n".join(map(doing, marked(word)))


def doing(pid):
    """The command of a process, its state and where it is in the kernel."""
    process = Path(f"/proc/{pid}")
    with suppress(OSError):
        command = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        return "\n".join([command, (process / "stat").read_text(), (process / "stack").read_text()])
    return f"{pid}: gone"


def controller(*arguments, python=sys.executable, **options):
    return subprocess.Popen(
        [python, "-c", CONTROLLER, *arguments], cwd=ROOT, stdout=subprocess.PIPE, text=True, **options
    )


def read_until(process, word):
    for line in process.stdout:
        if line.strip() == word:
            return
    raise AssertionError(f"the controller ended before it said {word!r}")


@pytest.mark.parametrize(
    ("said", "pause"),
    [("starting", 0.0), ("starting", 0.05), ("starting", 0.1), ("starting", 0.15), ("built", 0), ("listening", 0)],
)
def test_kill_of_the_controller_leaves_nothing(mark, said, pause):
    mounts = Path("/proc/self/mountinfo").read_text()
    process = controller()
    read_until(process, said)
    time.sleep(pause)
    if said != "starting":
        assert len(marked(mark)) > 2
    networks = set(marked(mark).values()) - {str(Path("/proc/self/ns/net").readlink())}
    process.kill()
    process.communicate()
    assert_all_end(mark)
    assert until(lambda: not users_of(networks))
    assert Path("/proc/self/mountinfo").read_text() == mounts


def test_kill_of_the_supervisor_while_it_forks_leaves_nothing(mark):
    near, far = socket.socketpair()
    with near, far:
        arguments = [str(far.fileno()), str(os.getpid()), AGENT, *find_tools()]
        command = [sys.executable, "-c", KILLED_WHILE_IT_FORKS, *arguments]
        process = subprocess.run(command, cwd=ROOT, pass_fds=[far.fileno()], check=False)
        assert process.returncode == -signal.SIGKILL
        assert_all_end(mark)


def test_ctrl_c_reaches_the_controller_alone_and_it_cleans_up(mark):
    process = controller(start_new_session=True)
    read_until(process, "listening")
    os.killpg(process.pid, signal.SIGINT)
    output, _ = process.communicate(timeout=BOUND)
    assert output.split() == ["interrupted"]
    assert marked(mark) == {}


@pytest.mark.parametrize("moment", ["outer", "inner"])
async def test_death_of_the_supervisor_is_an_error_and_leaves_nothing(mark, moment):
    async with rigged(world()) as rig:
        pid = rig.lab.pid
        victim = pid if moment == "outer" else only_child(pid)
        os.kill(victim, signal.SIGKILL)
        assert await asyncio.wait_for(rig.channels["a/web"].receive(), BOUND) == b""
        with pytest.raises(ClusterError, match="supervisor"):
            await asyncio.wait_for(rig.lab.open(rig.lab.sites[0]), BOUND)
        rig.channels.clear()
    assert_all_end(mark)


@pytest.mark.parametrize("pause", [0.0, 0.03, 0.08, 0.15])
async def test_cancelling_the_start_leaves_nothing(mark, pause):
    async def enter():
        async with Lab(world(), nodes=NODES, agent=AGENT) as lab:
            await listening(lab)
            await asyncio.sleep(60)

    task = asyncio.create_task(enter())
    await asyncio.sleep(pause)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert marked(mark) == {}


async def test_cancelling_the_end_as_well_leaves_nothing(mark):
    up = asyncio.Event()

    async def enter():
        async with Lab(world(), nodes=NODES, agent=AGENT) as lab:
            await listening(lab)
            up.set()
            await asyncio.sleep(60)

    task = asyncio.create_task(enter())
    await up.wait()
    for _ in range(3):
        task.cancel()
        await asyncio.sleep(0)
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.to_thread(assert_all_end, mark)


async def test_a_lab_can_be_entered_again():
    lab = Lab(world(deny(INGRESS, app="db")), nodes=NODES, agent=AGENT)
    for _ in range(2):
        async with lab:
            assert await (await listening(lab)).is_silent("a/web", "a/db")


async def test_leaving_waits_until_nothing_is_left(mark):
    async with rigged(world()):
        assert len(marked(mark)) == 9
    assert marked(mark) == {}


async def test_an_agent_that_dies_ends_its_stream_and_can_be_replaced(capfd):
    async with rigged(world()) as rig:
        await rig.channels["a/db"].send(b'{"do": "die"}\n')
        assert await rig.channels["a/db"].receive() == b""
        with pytest.raises(ConnectionError):
            await rig.channels["a/db"].send(b"{}\n")
        assert await rig.outcome("a/web", "a/db") == "refused"
        again = await listening(rig.lab, [site for site in rig.lab.sites if site.name == "a/db"])
        assert await rig.reaches("a/web", "a/db")
        await again.channels["a/db"].close()
        await again.channels["a/db"].close()
        assert await rig.outcome("a/web", "a/db") == "refused"
    assert capfd.readouterr() == ("", "")


async def test_opening_a_site_twice_ends_the_first_agent():
    async with rigged(world()) as rig:
        site = next(site for site in rig.lab.sites if site.name == "a/db")
        second = await listening(rig.lab, [site])
        assert await rig.channels["a/db"].receive() == b""
        await rig.channels["a/db"].close()
        assert await rig.reaches("a/web", "a/db")
        await second.channels["a/db"].close()


async def test_an_agent_holds_its_own_stream_and_no_other():
    async with rigged(world()) as rig:
        seen = [await rig.ask(site.name, "namespaces") for site in rig.lab.sites]
        assert len({each["net"] for each in seen}) == len(seen)
        assert {each["pid"] for each in seen} != {OWN_PROCESSES}
        # Standard streams, its own stream, its six listeners' sockets, and the listing itself.
        assert {each["open"] for each in seen} == {3 + 1 + 10 + 1}


async def test_a_rule_that_nftables_refuses_is_told_with_its_node():
    async with rigged(world()) as rig:
        with pytest.raises(ClusterError, match=r"rules of node/n0: nft: .*Error"):
            await rig.lab._control.request("program", rulesets=[(1, "nonsense\n")], later=[])
        assert await rig.reaches("a/web", "a/db")


async def test_missing_tools_are_named_with_their_packages(monkeypatch, tmp_path):
    monkeypatch.setattr("auditor.cluster.lab.lab.SYSTEM_DIRECTORIES", ())
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ClusterError, match="ip and nft not found: apt-get install iproute2 nftables"):
        async with Lab(world(), nodes=NODES, agent=AGENT):
            pass


async def test_leaving_closes_the_streams_that_nobody_closed():
    async with Lab(world(), nodes=NODES, agent=AGENT) as lab:
        rig = await listening(lab)
    assert await rig.channels["a/web"].receive() == b""
    with pytest.raises(ConnectionError):
        await rig.channels["a/web"].send(b"{}\n")
    await rig.channels["a/web"].close()


async def test_a_lab_that_is_not_up_says_so():
    lab = Lab(world(), nodes=NODES, agent=AGENT)
    with pytest.raises(ClusterError, match="not up"):
        await lab.open(lab.sites[0])


def as_nobody(*command):
    """``command`` for an ordinary user: nobody."""
    return ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", *command]


def nobodys_python():
    for python in (sys.executable, "/usr/bin/python3"):
        # Through a shell, which has nothing left of root when it looks for the interpreter.
        imports = as_nobody("sh", "-c", '"$0" -c "import auditor.cluster.lab.lab"', python)
        tried = subprocess.run(imports, cwd=ROOT, capture_output=True, check=False)
        if tried.returncode == 0:
            return python
    return pytest.skip("NOT TESTED: no Python 3.11 here that an ordinary user may run and that finds the project")


needs_root = pytest.mark.skipif(
    os.geteuid() != 0 or not shutil.which("setpriv"), reason="NOT TESTED: becoming another user needs root"
)


@needs_root
def test_works_without_root_in_a_user_namespace(mark):
    python = nobodys_python()
    if subprocess.run(as_nobody("unshare", "-Urn", "true"), check=False, capture_output=True).returncode:
        pytest.skip("NOT TESTED: this kernel gives an ordinary user no user namespace")
    run = subprocess.run(
        as_nobody(python, "-c", CONTROLLER, "leave"), cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert (run.stdout.split(), run.stderr, run.returncode) == (["starting", "built", "listening"], "", 0)
    assert marked(mark) == {}


@needs_root
@pytest.mark.parametrize(
    ("preparation", "said"),
    [
        ("echo 0 > /proc/sys/user/max_net_namespaces; exec", "sysctl -w user.max_net_namespaces=10000"),
        # Once more into a user namespace, in which the mounts can't be undone.
        (
            "mount --bind /proc/sys /proc/sys; mount -o remount,bind,ro /proc/sys; exec unshare -Urm",
            "/proc/sys writable",
        ),
    ],
)
def test_a_machine_that_refuses_is_told_what_to_do(preparation, said):
    python = nobodys_python()
    if subprocess.run(as_nobody("unshare", "-Urm", "true"), check=False, capture_output=True).returncode:
        pytest.skip("NOT TESTED: this kernel gives an ordinary user no user namespace")
    inside = f'{preparation} "$0" -c "$1"'
    run = subprocess.run(
        as_nobody("unshare", "-Urm", "sh", "-ec", inside, python, CONTROLLER),
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    last = run.stderr.strip().splitlines()[-1]
    assert last.startswith("auditor.model.errors.ClusterError: lab: ")
    assert said in last
