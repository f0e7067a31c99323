"""Conformance on the lab, with real packets: scores, likeness, and changes that are followed or not."""

from __future__ import annotations

import json
from dataclasses import replace
from ipaddress import ip_network
from xml.etree import ElementTree as ET

import pytest

from auditor.cluster.lab.addresses import AddressSet
from auditor.cluster.lab.policing import Policing
from auditor.model.dialect import Enforcement
from auditor.model.scorecard import ChangeKind, Score
from auditor.probing.options import NoProgress, ProbingOptions
from auditor.run.conformance.on_lab import LabConformanceOptions, conform_on_lab
from tests.lab import scenarios
from tests.schemas import validator
from tests.unit.cli.audit_process import audit_process

pytestmark = [pytest.mark.lab, pytest.mark.slow]

FEW = (
    "rule-05-not-in-missing-key",
    "rule-06-end-port",
    "rule-08-replies",
    "rule-15-policy-changed",
    "seed-cross-namespace",
    "seed-extra-dash",
    "seed-kangaroo",
    "seed-final-yaml",
)
OF_ADMINISTRATORS = tuple(name for name in scenarios.names() if name.startswith("rule-16-"))
REPLACING = ("rule-02-directions-apart", "rule-05-empty-value", "rule-06-port-omitted", "rule-06-end-port")
"""A few of which one has a pod replaced."""
PATIENT = ProbingOptions(timeout=0.5, settle=4.0)
HASTY = ProbingOptions(timeout=0.5, settle=0.5)


async def run(*enforcers, probing=HASTY, names=FEW):
    options = LabConformanceOptions(Enforcement.parse(enforcers), "x", probing)
    return await conform_on_lab([scenarios.read(name) for name in names], options, NoProgress())


async def test_the_specification_conforms_and_follows_every_change():
    card = await run(probing=PATIENT)
    assert card.behaviour == "this CNI behaves like: spec"
    assert card.score is Score.CONFORMS
    timed = set(ChangeKind) - {ChangeKind.LAST_PEER_DELETED}
    assert {each.change for each in card.convergence} == timed
    assert [each.late for each in card.convergence] == [()] * len(timed)
    assert card.summary.faults == card.summary.inconclusive == 0
    assert {each.feature: each.score for each in card.features}["through-services"] is Score.CONFORMS


@pytest.mark.parametrize("enforcer", ["ignores-end-port", "not-in-needs-key", "stale", "ignores-egress"])
async def test_a_departure_is_named(enforcer):
    card = await run(enforcer)
    assert card.score is Score.DEPARTS
    assert card.behaviour == f"this CNI behaves like: spec except {enforcer}"


async def test_policies_of_administrators_are_scored_together_with_others():
    card = await run("ignores-networks", names=(*OF_ADMINISTRATORS, "rule-06-end-port"))
    assert card.behaviour == "this CNI behaves like: spec except ignores-networks"
    assert {"admin-tier", "baseline-tier", "tier-pass", "tier-networks"} < {each.feature for each in card.features}


async def test_a_departure_on_one_node_is_named_with_the_node():
    card = await run("ignores-ingress@node-1")
    assert "ignores-ingress on node node-1" in card.behaviour


async def test_what_goes_wrong_through_services_alone_departs_in_just_that():
    card = await run("hairpin-policed", names=("rule-08-both-sides",))
    assert [each.feature for each in card.features if each.score is Score.DEPARTS] == ["through-services"]
    assert card.behaviour.startswith(
        "this CNI behaves like: spec; what a pod sends to itself through a Service is filtered: "
    )
    assert card.summary.faults == 0


async def test_whoever_rejects_conforms():
    card = await run("rejects")
    assert card.score is Score.CONFORMS
    assert card.behaviour.startswith("this CNI behaves like: rejects")


async def test_a_slow_enforcer_conforms_and_its_slowness_is_told():
    card = await run("slow:0.7", probing=PATIENT)
    assert card.score is Score.CONFORMS
    taken = [seconds for each in card.convergence for seconds in each.seconds.values()]
    assert max(taken) >= 0.7 - PATIENT.timeout


async def test_an_enforcer_that_is_late_at_new_pods_departs_in_that():
    probing = ProbingOptions(timeout=0.5, settle=6.0, late_isolation=1.0)
    card = await run("slow:2.5", probing=probing, names=("rule-02-section-outside-policy-types",))
    assert [each.feature for each in card.features if each.score is Score.DEPARTS] == ["isolated-start"]
    assert "; new pods are open for up to " in card.behaviour


async def test_who_opens_a_rule_to_everybody_once_its_last_peer_is_gone_departs_in_that(monkeypatch):
    peers, nobody = Policing._peers, AddressSet()
    everybody = AddressSet.of(map(ip_network, ("0.0.0.0/0", "::/0")))
    monkeypatch.setattr(Policing, "_peers", lambda *of: everybody if peers(*of) == nobody else peers(*of))
    card = await run(names=("rule-06-rules-stand-apart",))
    assert "lost-peers" in {each.feature for each in card.features if each.score is Score.DEPARTS}


async def test_who_gives_a_pod_what_its_address_had_before_departs_in_that(monkeypatch):
    known, selects = {}, Policing._selects

    def as_known_before(policing, policy, pod):
        labels = known.setdefault(pod.name, [pod.labels])
        labels += [pod.labels] * (pod.labels != labels[-1])
        return selects(policing, policy, replace(pod, labels=labels[-2:][0]))

    monkeypatch.setattr(Policing, "_selects", as_known_before)
    card = await run(names=REPLACING)
    assert "replaced-pods" in {each.feature for each in card.features if each.score is Score.DEPARTS}


async def test_a_stale_enforcer_never_follows():
    card = await run("stale", names=("rule-15-policy-changed",))
    (convergence,) = card.convergence
    assert convergence.late == ("rule-15-policy-changed",)


def test_the_command_tells_by_its_exit_code_and_in_every_format(tmp_path):
    words = ("conformance", "--lab", "--scenario", "rule-06-end-port", "--timeout", "0.5", "--settle", "0.5", "-q")
    assert audit_process(*words).returncode == 0
    done = audit_process(*words, "--enforcer", "ignores-end-port", "-o", "json")
    assert done.returncode == 1, done.stderr
    validator("scorecard.schema.json").validate(json.loads(done.stdout))
    file = tmp_path / "card.xml"
    assert (
        audit_process(*words, "--enforcer", "ignores-end-port", "-o", "junit", "--output-file", str(file)).returncode
        == 1
    )
    assert int(ET.fromstring(file.read_text()).get("failures", "0")) > 0  # noqa: S314 - our own output


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (("--enforcer", "spec"), "--enforcer goes with --lab"),
        (("--lab", "--image", "x"), "--image applies to live clusters only"),
        (("--lab", "--scenario", "rule-06-end-prot"), "did you mean rule-06-end-port"),
        (("--lab", "--enforcer", "spec@nowhere"), "no scenario has a node 'nowhere'"),
        (("--lab", "--enforcer", "unheard-of"), "unknown enforcer"),
    ],
)
def test_wrong_usage(words, complaint):
    done = audit_process("conformance", *words)
    assert done.returncode == 2
    assert complaint in done.stderr
