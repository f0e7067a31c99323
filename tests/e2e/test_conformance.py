"""Conformance on the real cluster: what its enforcer behaves like, and nothing left behind."""

from __future__ import annotations

import json

import pytest

from tests.e2e.auditing import audit, left_behind
from tests.marking import slow
from tests.schemas import validator

FEW = (
    "rule-05-not-in-missing-key",
    "rule-06-end-port",
    "rule-06-rules-stand-apart",
    "rule-08-replies",
    "rule-09-ip-block-and-pods",
    "rule-15-policy-changed",
    "seed-extra-dash",
)


def conform(kubectl, image, *more):
    """The exit code and the scorecard of a few scenarios."""
    chosen = [word for name in FEW for word in ("--scenario", name)]
    done = audit(kubectl, "conformance", "--image", image, "-o", "json", "-q", "--late-isolation", "60", *chosen, *more)
    assert done.stdout, done.stderr
    card = json.loads(done.stdout)
    validator("scorecard.schema.json").validate(card)
    return done.returncode, card


@pytest.fixture(autouse=True)
def leaves_nothing(kubectl):
    yield
    assert left_behind(kubectl, patience=90) == []


def test_the_network_as_it_is_enforces_nothing(plain, kubectl, image):
    code, card = conform(kubectl, image)
    assert code == 1
    assert card["behaviour"].startswith("this CNI behaves like: enforces-nothing")


def test_the_specification_conforms_and_follows_every_change(spec, kubectl, image):
    code, card = conform(kubectl, image)
    assert code == 0, card
    assert card["behaviour"] == "this CNI behaves like: spec"
    assert [each["late"] for each in card["convergence"]] == [[]] * len(card["convergence"])
    assert {each["feature"]: each["score"] for each in card["features"]}["through-services"] == "conforms"


@pytest.mark.parametrize("dialect", ["ignores-end-port", slow("ignores-ingress")])
def test_a_dialect_is_named(dialect, faulty, kubectl, image):
    faulty.use(dialect)
    code, card = conform(kubectl, image)
    assert code == 1
    assert card["behaviour"] == f"this CNI behaves like: spec except {dialect}"


@pytest.mark.slow
def test_a_dialect_on_one_node_is_named_with_the_node(faulty, kubectl, image):
    node = next(item["spec"]["nodeName"] for item in kubectl.items("pods", "-n", "e2e-prod"))
    faulty.use(f"ignores-ingress@{node}")
    code, card = conform(kubectl, image)
    assert code == 1
    assert f"ignores-ingress on node {node}" in card["behaviour"]


def test_an_enforcer_that_is_late_at_new_pods_departs_in_that_from_their_first_moments_on(faulty, kubectl, image):
    """This enforcer takes in all that changes within a window, so that must outlast the time until a new pod comes."""
    faulty.use("slow:12")
    names = ("rule-02-section-outside-policy-types", "rule-02-directions-apart")
    chosen = [word for name in names for word in ("--scenario", name)]
    patient = ("--late-isolation", "1", "--settle", "20")
    done = audit(kubectl, "conformance", "--image", image, "-o", "json", "-q", *patient, *chosen)
    assert done.stdout, done.stderr
    card = json.loads(done.stdout)
    assert done.returncode == 1
    assert [each["feature"] for each in card["features"] if each["score"] == "departs"] == ["isolated-start"], card
    (fact,) = [fact for fact in card["facts"] if "tried what should be closed" in fact]
    assert float(fact.partition(" from ")[2].partition(" s ")[0]) < 3
