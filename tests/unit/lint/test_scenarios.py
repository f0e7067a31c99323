"""Every warning and error about the scenarios has been looked at: what is listed here is true and useful, and there is
no other.
"""

from __future__ import annotations

import pytest

from auditor.lint import lint
from auditor.model.lint import Severity
from auditor.run.sources import load_scenario, scenario_names

KNOWN = {
    "rule-01-egress-rule-implies-egress": ["egress-without-dns x/app"],
    "rule-02-section-outside-policy-types": [
        "section-without-policy-type x/job",
        "section-without-policy-type x/server",
        "egress-without-dns x/job",
    ],
    "rule-02-directions-apart": ["egress-without-dns front/web", "egress-without-dns back/back"],
    "rule-04-and-or": ["two-peers-one-dash x/or"],
    "rule-06-end-port": ["egress-without-dns x/client"],
    "rule-07-named-port-egress": ["egress-without-dns x/client"],
    "rule-07-which-ports-count": ["named-port-undeclared x/server"],
    "rule-08-both-sides": ["egress-without-dns x/client-to-servers"],
    "rule-09-except": ["egress-without-dns x/server"],
    "rule-09-host-bits": ["cidr-with-host-bits x/server", "cidr-with-host-bits x/server"],
    "rule-09-ip-block-and-pods": ["block-covers-pods x/server"],
    "rule-12-service-target-port": ["service-port-not-target-port x/server"],
    "rule-16-older-kinds": ["admin-rule-never-reached AdminNetworkPolicy no-bots"],
    "seed-extra-dash": ["two-peers-one-dash prod/db-policy"],
    "seed-extra-dash-any-namespace": ["two-peers-one-dash data/dbpolicy"],
    "seed-forgotten-dns": ["egress-without-dns prod/web-egress"],
    "seed-kangaroo": ["egress-without-dns zoo/kangaroo-network-policy"],
    "seed-kangaroo-as-written": [
        "egress-without-dns zoo/kangaroo-network-policy",
        "pod-label-in-namespace-selector zoo/kangaroo-network-policy",
    ],
    "seed-three-tier": ["egress-without-dns shop/frontend", "egress-without-dns shop/backend"],
}
SAID = {
    "seed-pod-selector-alone": "prod/db may open any connection: a policy for Ingress says nothing about egress",
    "seed-ingress-only-leaves-egress-open": "prod/db may open any connection: a policy for Ingress says nothing "
    "about egress",
    "seed-policies-are-per-namespace": "policies are per namespace",
    "seed-extra-dash": "two items, so either one is enough",
    "seed-extra-dash-any-namespace": "pods with app=backend of namespace data",
    "seed-forgotten-dns": "prod/web may send, but not to DNS",
}


@pytest.mark.parametrize("name", scenario_names())
def test_warnings_of_scenarios_are_known(name):
    grave = [each for each in lint(load_scenario(name).snapshot) if each.severity is not Severity.INFO]
    assert [f"{each.check} {each.place.subject}" for each in grave] == KNOWN.get(name, [])


@pytest.mark.parametrize("name", SAID)
def test_pitfalls_of_the_documents_are_named(name):
    assert any(SAID[name] in finding.message for finding in lint(load_scenario(name).snapshot))
