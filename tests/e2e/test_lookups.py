"""Names looked up by the cluster's own DNS: who is cut off by policies is said; who resolves all the same is a leak."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager

from tests.e2e import world
from tests.e2e.auditing import audit, left_behind, run_arguments
from tests.e2e.kubectl import Kubectl

DNS = {"to": [world.peer({"k8s-app": "kube-dns"}, {world.NAMESPACE_NAME: "kube-system"})], "ports": [world.udp(53)]}
EGRESS = "egress to kube-system/kube-dns {}/53 is denied by "


@contextmanager
def only_web_over_udp(kubectl: Kubectl) -> Iterator[None]:
    """Policies that open DNS to the web alone, and over UDP alone."""
    before = next(each for each in world.policies() if each["metadata"]["name"] == "allow-dns")
    kubectl.apply([world.policy(world.PROD, "allow-dns", {"app": "web"}, egress=[DNS])])
    try:
        yield
    finally:
        kubectl.apply([before])


def looked_up(kubectl, image, *more):
    done = audit(kubectl, *run_arguments(image, "-n", world.OTHER, "--dns", *more))
    assert done.stdout, done.stderr
    report = json.loads(done.stdout)
    found = report["dns"]
    assert found["name"] == "kubernetes.default.svc.cluster.local"
    assert {each["service"] for each in found["lookups"]} == {"kube-system/kube-dns"}
    assert found["pairs_lost"] == []
    unheard = [each for each in found["lookups"] if each["observed"] == "inconclusive"]
    assert unheard == []
    return report


def test_who_is_cut_off_by_policies_is_said_and_services_are_reached_by_whom_policies_let(spec, kubectl, image):
    services = [f"{world.PROD}/api", f"{world.OTHER}/web"]
    with only_web_over_udp(kubectl):
        spec.settle()
        report = looked_up(kubectl, image, *(word for name in services for word in ("--service", name)))
    found = report["dns"]
    by_place = {}
    for each in found["lookups"]:
        workload = each["source"].split("/")[1].split("-")[0]
        by_place.setdefault((each["source"].split("/")[0], workload, each["protocol"]), set()).add(each["observed"])
    for name in ("api", "db"):
        assert by_place[world.PROD, name, "UDP"] == by_place[world.PROD, name, "TCP"] == {"dropped"}
    assert by_place[world.PROD, "web", "UDP"] == {"allowed"}
    assert by_place[world.PROD, "web", "TCP"] == {"dropped"}
    assert {seen for (space, *_), some in by_place.items() if space == world.OTHER for seen in some} == {"allowed"}
    assert {each["result"] for each in found["lookups"]} == {"match"}
    *cut_off, over_udp = found["warnings"]
    assert cut_off
    assert all("can't resolve names: " + EGRESS.format("UDP") in each for each in cut_off)
    assert "over UDP alone" in over_udp
    assert EGRESS.format("TCP") in over_udp

    assert report["reached"]["services"] == services
    names = report["reached"]["names"]
    assert {(each["of"], each["result"]) for each in names} == {(name, "match") for name in services}, names
    asking = {each["source"].split("/")[1].split("-")[0] for each in names if each["source"].startswith(world.PROD)}
    assert asking == {"web"}
    reached = report["reached"]["connections"]
    assert {each["result"] for each in reached} == {"match"}, reached
    by_end = {
        (each["source"].split("/")[1].split("-")[0], each["service"]): each["observed"]
        for each in reached
        if each["source"].startswith(f"{world.PROD}/")
    }
    assert by_end["web", services[0]] == "allowed"
    assert by_end["db", services[0]] == "dropped"
    assert report["conclusion"] == "pass", [each["title"] for each in report["findings"]]
    assert left_behind(kubectl) == []


def test_where_nothing_is_enforced_who_is_to_be_cut_off_resolves_names(plain, kubectl, image):
    with only_web_over_udp(kubectl):
        report = looked_up(kubectl, image)
    found = report["dns"]["lookups"]
    assert {each["observed"] for each in found} == {"allowed"}
    assert {each["result"] for each in found if each["expected"] == "denied"} == {"leak"}
    assert any(each["expected"] == "allowed" for each in found)
