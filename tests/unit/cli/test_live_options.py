"""What ``audit run`` makes of its options where there is no lab."""

from __future__ import annotations

import json
import re
import socket
from dataclasses import replace
from ipaddress import ip_address

import pytest

from auditor.cli import live as module
from auditor.cli.application import run
from auditor.cli.live import CONNECTION, read_live_run
from auditor.cli.snapshots import InputOptions, read_input
from auditor.cluster.kubernetes.reading import LiveSnapshot
from auditor.model.errors import ClusterError, UsageError
from auditor.model.ports import ContainerPort, Protocol
from auditor.probe_pods.choice import Mode
from auditor.report.headline import headline
from auditor.run.live import LeftBehindError
from tests.bench.clusters import labelled, pod, policy
from tests.schemas import validator
from tests.unit.cli.test_commands import MANIFESTS
from tests.unit.report.reports import small

NOTHING = {
    "namespaces": (),
    "all_namespaces": False,
    "selector": None,
    "one_per_class": False,
    "per_node": False,
    "all_pods": False,
    "in_place": False,
    "sample": None,
    "externals": (),
    "image": None,
    "start_seconds": 60.0,
    "accept": (),
    "max_probe_pods": 100,
    "seed": None,
    "max_connections": None,
    "coverage": None,
    "everything": False,
    **dict.fromkeys(CONNECTION),
    "request_timeout": 30.0,
    "qps": 50.0,
}


def read(**given):
    return read_live_run({**NOTHING, **given})


def refused(capsys, *arguments):
    """What is said to a command line that makes no sense."""
    assert run(["run", *arguments]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    return captured.err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "say what to audit: -n NAMESPACE, or -A for all namespaces, or --lab SCENARIO"),
        (["-n", "prod", "-A"], "-n and -A exclude each other"),
        (["-A", "--per-node", "--all-pods"], "--per-node and --all-pods exclude each other"),
        (["-n", "Prod"], "'Prod' is not a valid namespace name"),
        (["-n", "prod", "--enforcer", "spec"], "--enforcer goes with --lab"),
        (["-n", "prod", "-f", "snapshot.json"], "-f goes with --dry-run"),
        (["-n", "prod", "--accept", "anything"], "Invalid value for '--accept'"),
        (["-n", "prod", "--start-timeout", "0"], "Invalid value for '--start-timeout'"),
        (["--lab", "three-tier", "-n", "prod"], "--namespace applies to live clusters only"),
        (["--lab", "three-tier", "-f", "snapshot.json"], "--filename applies to live clusters only"),
        (["--lab", "three-tier", "--in-place"], "--in-place applies to live clusters only"),
        (["--lab", "three-tier", "--kubeconfig", "x"], "--kubeconfig applies to live clusters only"),
    ],
)
def test_what_makes_no_sense_is_refused(capsys, arguments, said):
    assert said in refused(capsys, *arguments)


def test_preflight_says_what_is_missing_and_names_no_option_that_it_lacks(capsys):
    assert run(["preflight"]) == 2
    assert capsys.readouterr().err == "error: say what to audit: -n NAMESPACE, or -A for all namespaces\n"


def test_a_format_that_a_dry_run_lacks_is_refused_before_the_cluster_is_read(capsys):
    assert "a dry run has no results" in refused(
        capsys, "-n", "prod", "--dry-run", "-o", "junit", "--kubeconfig", "/absent"
    )


@pytest.mark.parametrize(
    "text",
    [
        "example.com",
        "example.com:",
        "example.com:0",
        "example.com:65536",
        ":443",
        "2001:db8::1:443",
        "[2001:db8::1]",
        "[x]:1",
        "a b:1",
        "a/b:1",
    ],
)
def test_a_host_without_a_port_or_with_a_wrong_one_is_refused(capsys, text):
    assert "write HOST:PORT" in refused(capsys, "-A", "--external", text)


def test_hosts_outside_come_with_all_their_ports_and_one_address_of_each_family(monkeypatch):
    found = {"example.com": ["192.0.2.1", "192.0.2.2", "2001:db8::1"], "2001:db8::9": ["2001:db8::9"]}
    monkeypatch.setattr(
        module.socket,
        "getaddrinfo",
        lambda host, *_, **__: [(0, socket.SOCK_STREAM, 6, "", (address, 0)) for address in found[host]],
    )
    options, again = read(
        all_namespaces=True,
        externals=(("example.com", 443), ("2001:db8::9", 1), ("example.com", 80), ("example.com", 443)),
    )
    first, second = options.externals
    assert (first.name, first.addresses) == ("host/example.com", (ip_address("192.0.2.1"), ip_address("2001:db8::1")))
    assert first.ports == (ContainerPort(Protocol.TCP, 443), ContainerPort(Protocol.TCP, 80))
    assert second.addresses == (ip_address("2001:db8::9"),)
    assert "--external [2001:db8::9]:1" in " ".join(again)


def test_a_host_without_an_address_is_told(monkeypatch):
    def unknown(*_, **__):
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(module.socket, "getaddrinfo", unknown)
    with pytest.raises(UsageError, match="--external nowhere: no address: Name or service not known"):
        read(all_namespaces=True, externals=(("nowhere", 1),))


@pytest.mark.parametrize(
    ("given", "mode"),
    [
        ({}, Mode.TWO_PER_CLASS),
        ({"one_per_class": True}, Mode.ONE_PER_CLASS),
        ({"in_place": True}, Mode.ONE_PER_CLASS),
        ({"per_node": True}, Mode.PER_NODE),
        ({"all_pods": True}, Mode.ALL_PODS),
    ],
)
def test_which_probe_pods(given, mode):
    assert read(all_namespaces=True, **given)[0].mode is mode


def test_the_command_that_reproduces_names_the_same_cluster_and_the_same_pods():
    given = {
        "namespaces": ("prod", "dev", "prod"),
        "selector": "app=web",
        "per_node": True,
        "in_place": True,
        "image": "python:3",
        "accept": ("pdb",),
        "max_probe_pods": 7,
        "kubeconfig": "here",
        "context": "c",
        "impersonate": "u",
    }
    options, again = read(**given)
    assert options.namespaces == ("prod", "dev")
    assert " ".join(again) == (
        "audit run --kubeconfig here --context c --as u --image python:3 -n prod -n dev -n prod"
        " -l app=web --per-node --in-place --max-probe-pods 7 --accept pdb"
    )


@pytest.fixture
def saved(tmp_path):
    path = tmp_path / "saved.yaml"
    path.write_text(MANIFESTS)
    return str(path)


def test_a_dry_run_of_a_saved_snapshot_says_what_would_be_created(capsys, saved):
    assert run(["run", "-A", "--dry-run", "-f", saved]) == 0
    captured = capsys.readouterr()
    assert "would create a probe pod in prod with app=db, for prod/db" in captured.err
    assert "prod/web" in captured.out


OTHERS = """
---
apiVersion: v1
kind: Pod
metadata: {name: cron, namespace: shared, labels: {app: cron}}
spec: {nodeName: node-1, containers: [{name: main, ports: [{containerPort: 53}]}]}
status: {phase: Running, podIP: 10.0.0.3, podIPs: [{ip: 10.0.0.3}]}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: web, namespace: prod}
spec:
  podSelector: {}
  policyTypes: [Ingress]
  ingress: [{from: [{namespaceSelector: {}, podSelector: {matchLabels: {app: dns}}}]}]
"""


def test_a_dry_run_of_one_namespace_shows_what_would_be_tried_and_nothing_between_others(capsys, tmp_path):
    path = tmp_path / "saved.yaml"
    path.write_text(IN_PLACE + OTHERS)
    assert run(["run", "-n", "prod", "--dry-run", "-f", str(path), "-o", "json"]) == 0
    cells = json.loads(capsys.readouterr().out)["cells"]
    pairs = {(cell["source"], cell["destination"]) for cell in cells}
    assert {("prod/web-1", "shared/dns-1"), ("shared/dns-1", "prod/web-1"), ("prod/web-1", "prod/web-1")} <= pairs
    assert all("prod/web-1" in pair for pair in pairs)
    assert run(["run", "-n", "prod", "--dry-run", "-f", str(path)]) == 0
    shown = capsys.readouterr().out
    assert shown.splitlines()[0].startswith(f"DRY RUN  {len(cells):,} connections to try")
    assert "shared/dns-1 → prod/web-1" in shown
    assert "shared/cron → shared" not in shown
    assert "Whatever else would be tried is denied" in shown


IN_PLACE = """
apiVersion: v1
kind: Pod
metadata: {name: web-1, namespace: prod, labels: {app: web}}
spec: {nodeName: node-1, containers: [{name: main, ports: [{containerPort: 80}]}]}
status: {phase: Running, podIP: 10.0.0.1, podIPs: [{ip: 10.0.0.1}]}
---
apiVersion: v1
kind: Pod
metadata: {name: dns-1, namespace: shared, labels: {app: dns}}
spec: {nodeName: node-1, containers: [{name: main, ports: [{containerPort: 53}]}]}
status: {phase: Running, podIP: 10.0.0.2, podIPs: [{ip: 10.0.0.2}]}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: dns, namespace: shared}
spec: {podSelector: {matchLabels: {app: dns}}, policyTypes: [Ingress]}
"""


def test_a_dry_run_of_more_than_is_allowed_is_refused_as_the_run_would_be(capsys, saved):
    assert run(["run", "-A", "--dry-run", "-f", saved, "--everything", "--max-probe-pods", "1"]) == 4
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith(
        "error: this audit would create 2 probe pods in 1 namespace, more than --max-probe-pods 1: "
    )


def test_a_dry_run_of_what_is_chosen_says_what_it_would_notice(capsys, saved):
    assert run(["run", "-A", "--dry-run", "-f", saved, "--max-connections", "2"]) == 0
    captured = capsys.readouterr()
    assert re.search(
        r"would notice \d+ of \d+ ways in which this 1 policy could be ignored or misread; not: ", captured.err
    )
    assert captured.out.startswith("DRY RUN  2 connections to try")


def test_what_there_is_no_room_for_is_told_in_one_line(capsys, tmp_path):
    ends = [
        {**pod(app, {"app": app}, f"10.{number}.0.{last}", f"n{number}")}
        for number in range(6)
        for last, app in enumerate(("a", "b"), 1)
    ]
    policies = [policy("a", f"n{number}", labelled(app="a"), ingress=[]) for number in range(6)]
    path = tmp_path / "saved.json"
    path.write_text(json.dumps({"kind": "List", "apiVersion": "v1", "items": [*ends, *policies]}))
    assert run(["run", "-A", "--dry-run", "-f", str(path), "--max-probe-pods", "2"]) == 0
    left = [line for line in capsys.readouterr().err.splitlines() if line.startswith("would leave out")]
    assert len(left) == 1
    assert re.fullmatch(
        r"would leave out \d+ kinds of audited pods, n\d/a, .* and \d+ more: more than --max-probe-pods 2", left[0]
    )


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--coverage", "0"], "'0': write a percentage above 0 and up to 100, such as 99%"),
        (["--coverage", "much"], "'much': write a percentage"),
        (["--coverage", "nan"], "'nan': write a percentage"),
        (
            ["--coverage", "99%", "--per-node"],
            "--coverage chooses what notices most, --per-node asks for more than that",
        ),
        (["--max-connections", "9", "--everything"], "--max-connections chooses what notices most, --everything asks"),
        (["--max-connections", "9", "--in-place"], "--max-connections chooses what notices most, --in-place asks"),
    ],
)
def test_a_choice_that_makes_no_sense_is_refused(capsys, arguments, said):
    assert said in refused(capsys, "-A", *arguments)


def test_the_command_that_reproduces_chooses_the_same():
    _, again = read(all_namespaces=True, coverage=0.995, max_connections=7)
    assert " ".join(again).endswith("--max-connections 7 --coverage 99.5%")
    assert "--everything" in read(all_namespaces=True, everything=True)[1]


@pytest.mark.parametrize("command", ["run", "preflight"])
def test_nothing_is_asked_of_a_cluster_in_which_too_much_would_be_created(command, capsys, monkeypatch, saved):
    async def read(*_):
        return LiveSnapshot(read_input(InputOptions((saved,))))

    async def connect(_options):
        return None

    class Api:
        place = "there"

        def __init__(self, _connection):
            pass

        async def __aenter__(self):
            return self

        async def __aexit__(self, *_):
            pass

    for module_ in ("auditor.run.live", "auditor.cluster.kubernetes.client.config"):
        monkeypatch.setattr(f"{module_}.connect", connect)
    for module_ in ("auditor.run.live", "auditor.cluster.kubernetes.client.server"):
        monkeypatch.setattr(f"{module_}.ApiServer", Api)
    monkeypatch.setattr("auditor.run.live._read", read)
    quiet = ["-q"] if command == "run" else []
    assert run([command, "-A", *quiet, "--service", "prod/absent"]) == 2
    assert "--service prod/absent: there is no such Service" in capsys.readouterr().err
    assert run([command, "-A", *quiet, "--everything", "--max-probe-pods", "1"]) == 4
    assert capsys.readouterr().err.startswith(
        "error: this audit would create 2 probe pods in 1 namespace, more than --max-probe-pods 1: "
    )


def test_a_dry_run_in_place_says_into_which_pods_something_is_put_and_that_it_stays(capsys, tmp_path):
    path = tmp_path / "saved.yaml"
    path.write_text(IN_PLACE)
    assert run(["run", "-n", "prod", "--in-place", "--dry-run", "-f", str(path)]) == 0
    lines = capsys.readouterr().err.splitlines()
    put = (
        "would put an ephemeral container into pod prod/web-1 on node-1, which lists it until the pod is "
        "recreated; for prod/web-1"
    )
    left = (
        "would leave out shared/dns-1: none of its pods is in an audited namespace, so nothing is put into them: "
        "-n shared audits it, too"
    )
    assert lines[:2] == [put, left]
    assert not [line for line in lines if "create a probe pod" in line]


def test_a_dry_run_in_place_counts_declared_ports_only(capsys, saved):
    shown = {}
    for name, more in (("probe pods", []), ("in place", ["--in-place"])):
        assert run(["run", "-A", "--dry-run", "-f", saved, *more]) == 0
        shown[name] = capsys.readouterr().out.splitlines()[0].split(",")[0]
    # From each of two pods to each of two: on TCP 80, 3306 and 9999 and UDP 9999, and to the one that a rule opens on
    # TCP 3306 on UDP 3306; or on the one port that a pod declares.
    assert shown == {"probe pods": "DRY RUN  17 connections to try", "in place": "DRY RUN  4 connections to try"}


def test_what_could_not_be_removed_is_an_error_of_the_environment(capsys, monkeypatch):
    async def leave_something(*_):
        raise ClusterError("interrupted by x", "the server is gone; 'audit cleanup --run 1' removes what is left")

    monkeypatch.setattr("auditor.run.live.audit_live", leave_something)
    assert run(["run", "-A", "-q"]) == 4
    assert capsys.readouterr().err.splitlines() == [
        "error: interrupted by x",
        "error: the server is gone; 'audit cleanup --run 1' removes what is left",
    ]


def test_a_report_that_is_whole_is_told_though_something_was_left(capsys, monkeypatch):
    async def leave_something(*_):
        raise LeftBehindError("the server is gone; 'audit cleanup --run 1' removes what is left", small())

    monkeypatch.setattr("auditor.run.live.audit_live", leave_something)
    assert run(["run", "-A", "-q", "-o", "json"]) == 4
    shown = capsys.readouterr()
    assert json.loads(shown.out)["conclusion"] == "fail"
    assert shown.err == "error: the server is gone; 'audit cleanup --run 1' removes what is left\n"


def test_what_was_left_is_told_though_the_report_can_not_be_written(capsys, monkeypatch):
    async def leave_something(*_):
        raise LeftBehindError("the server is gone; 'audit cleanup --run 1' removes what is left", small())

    monkeypatch.setattr("auditor.run.live.audit_live", leave_something)
    assert run(["run", "-A", "-q", "--output-file", "/dev/full"]) == 4
    assert capsys.readouterr().err.splitlines() == [
        "error: the server is gone; 'audit cleanup --run 1' removes what is left",
        "error: --output-file /dev/full: no space left on device",
    ]


def test_what_an_audit_cost_the_api_server_is_in_the_report(capsys, monkeypatch):
    async def audited(*_):
        return replace(small(), api={"calls": 1234, "received": 20_400, "sent": 7_000})

    monkeypatch.setattr("auditor.run.live.audit_live", audited)
    run(["run", "-A", "-q", "-o", "json"])
    found = json.loads(capsys.readouterr().out)
    validator("report.schema.json").validate(found)
    assert found["api"] == {"calls": 1234, "received": 20_400, "sent": 7_000}
    run(["run", "-A", "-q"])
    assert "; 1,234 API requests, 20 kB received, 7 kB sent" in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize(("quiet", "told"), [((), True), (("-q",), False)])
def test_what_a_report_in_a_file_comes_to_is_told_beside_it(quiet, told, capsys, monkeypatch, tmp_path):
    async def audited(*_arguments):
        return small()

    monkeypatch.setattr("auditor.run.live.audit_live", audited)
    path = tmp_path / "report.json"
    assert run(["run", "-n", "prod", "-o", "json", "--output-file", str(path), *quiet]) == 1
    shown = capsys.readouterr()
    assert json.loads(path.read_text())["conclusion"] == "fail"
    assert shown.out == ""
    assert (f"FAIL  {headline(small())} ({path})\n" in shown.err) is told


def test_the_trace_that_stays_is_told_before_anything_is_done(capsys, monkeypatch):
    async def audited(*_):
        return small()

    monkeypatch.setattr("auditor.run.live.audit_live", audited)
    run(["run", "-A", "-q", "--in-place"])
    assert "Kubernetes can't take it out again" in capsys.readouterr().err
