"""Checks of what is written in a policy and means something else than it looks like, whatever pods there are."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_network

from auditor.lint.finding import Check, Remark, policy_place
from auditor.lint.policy_index import PolicyIndex
from auditor.model.lint import Place, Severity
from auditor.model.policy import Oddity, OddityKind

RESOURCE = "https://kubernetes.io/docs/concepts/services-networking/network-policies/#networkpolicy-resource"
OPENS = {
    "from": "the rule admits everybody",
    "to": "the rule lets everything out, to everybody",
    "ports": "the rule opens every port",
}
OWN_SELECTOR = "spec.podSelector"
MEANS = {
    OddityKind.NULL_RULE: "the rule is null and so opens everything to everybody",
    OddityKind.NULL_SELECTOR: "{} is null, as if it weren't there: it narrows nothing down",
}


def _oddities(policy_index: PolicyIndex, *kinds: OddityKind) -> Iterator[tuple[Oddity, Place]]:
    for policy in policy_index.snapshot.policies:
        for oddity in policy.oddities:
            if oddity.kind in kinds:
                yield oddity, policy_place(policy, oddity.path, oddity.line)


def rendered_empty(policy_index: PolicyIndex) -> Iterator[Remark]:
    """Rules, lists and selectors that are null, as a template leaves them that was given no value."""
    kinds = (OddityKind.NULL_RULE, OddityKind.NULL_LIST, OddityKind.NULL_SELECTOR)
    for oddity, place in _oddities(policy_index, *kinds):
        if oddity.path == OWN_SELECTOR:
            continue  # a default deny is often written so
        if oddity.kind is OddityKind.NULL_LIST:
            message = f"{oddity.text} is null, as if it weren't there: {OPENS[oddity.text]}"
        else:
            message = MEANS[oddity.kind].format(oddity.text)
        hint = "Fill it in; where everybody is meant, leave it out."
        yield Remark(place, message, hint, cause=f"{oddity.kind} {oddity.text} {oddity.path}")


def empty_list(policy_index: PolicyIndex) -> Iterator[Remark]:
    """Lists of peers or ports that are written as empty."""
    for oddity, place in _oddities(policy_index, OddityKind.EMPTY_LIST):
        message = f"{oddity.text}: [] is as if it weren't there: {OPENS[oddity.text]}"
        hint = f"If that is intended, leave {oddity.text} out, or people will read the rule as one that opens nothing."
        yield Remark(place, message, hint, cause=oddity.text)


def host_bits(policy_index: PolicyIndex) -> Iterator[Remark]:
    """CIDRs with bits beyond their prefix."""
    for oddity, place in _oddities(policy_index, OddityKind.HOST_BITS):
        network = ip_network(oddity.text, strict=False)
        address = oddity.text.partition("/")[0]
        yield Remark(
            place,
            f"{oddity.text} is read as {network}, and Kubernetes 1.36 and later refuse it in new objects",
            f"Write {network} or, for that address alone, {address}/{network.max_prefixlen}.",
            cause=oddity.text,
        )


CHECKS = (
    Check(
        "rendered-empty",
        Severity.WARNING,
        "A rule, list or selector that is null",
        "A null is as if it weren't there, and what isn't there narrows nothing down: a rule without from is for "
        "everybody, one without ports for every port. Templates leave it where a value was forgotten.",
        rendered_empty,
        RESOURCE,
        needs_pods=False,
    ),
    Check(
        "cidr-with-host-bits",
        Severity.WARNING,
        "A CIDR with bits beyond its prefix",
        "10.1.2.3/8 is all of 10.0.0.0/8: either the address or the prefix isn't what was meant. Kubernetes 1.36 and "
        "later refuse such CIDRs in new objects.",
        host_bits,
        RESOURCE,
        needs_pods=False,
    ),
    Check(
        "empty-list",
        Severity.INFO,
        "A list of peers or ports that is empty",
        "from: [] looks as if it admitted nobody, but it admits everybody: an empty list counts as a missing one.",
        empty_list,
        RESOURCE,
        needs_pods=False,
    ),
)
