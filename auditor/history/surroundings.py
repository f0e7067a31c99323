"""What a cluster is like, as far as it was read for the audit anyway, and what is different from one run to the next:
it often says why there are findings.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from hashlib import sha256

import msgspec

from auditor.history.identity import stable_labels
from auditor.model.intent import IntentFinding
from auditor.model.labels import Labels
from auditor.model.night import NETWORK_AGENT, NightFinding, Surroundings
from auditor.model.policy import NetworkPolicy, Rule
from auditor.model.snapshot import EndpointKind, Snapshot
from auditor.model.workloads import workload_name

MOST_EVIDENCE = 2000
"""Connections of one finding of the intent that are kept one by one."""


def surroundings_of(
    snapshot: Snapshot,
    namespaces: Collection[str] = (),
    versions: Mapping[str, str] | None = None,
    intent: Iterable[IntentFinding] | None = None,
) -> Surroundings:
    """What ``snapshot`` was like in ``namespaces`` (none: all). ``intent``: what was found of it, None without one."""
    pods = [endpoint for endpoint in snapshot.endpoints if endpoint.kind is EndpointKind.POD]
    nodes = {endpoint.node for endpoint in snapshot.endpoints if endpoint.node}
    audited = [pod for pod in pods if not namespaces or pod.namespace in namespaces]
    labels: dict[str, Labels] = {}
    for pod in sorted(audited, key=lambda pod: pod.name):
        labels[workload_name(pod)] = _common(labels.get(workload_name(pod)), stable_labels(pod.labels))
    policies = {policy.full_name: digest(policy) for policy in snapshot.policies}
    policies |= {policy.full_name: "can't be read" for policy in snapshot.unknown}
    return Surroundings(
        policies=dict(sorted(policies.items())),
        namespaces={name: dict(sorted(each.labels.items())) for name, each in sorted(snapshot.namespaces.items())},
        labels=labels,
        nodes=tuple(sorted(nodes)),
        versions=dict(sorted((versions or {}).items())),
        intent=None if intent is None else intent_findings(intent, snapshot),
    )


def _common(one: Labels | None, other: Labels) -> Labels:
    """The labels that the pods of a workload share."""
    return other if one is None else {key: value for key, value in one.items() if other.get(key) == value}


def digest(policy: NetworkPolicy) -> str:
    """A digest of what ``policy`` says: the same wherever it stands, another one for another spec."""
    bare = replace(
        policy, file="", line=0, ingress=tuple(map(_bare, policy.ingress)), egress=tuple(map(_bare, policy.egress))
    )
    said = {**_builtins(bare), "directions": sorted(policy.directions)}
    return sha256(msgspec.json.encode(said, order="deterministic")).hexdigest()[:12]


def _bare(rule: Rule) -> Rule:
    peers = tuple(replace(peer, line=0) for peer in rule.peers)
    return replace(rule, line=0, peers=peers, ports=tuple(replace(port, line=0) for port in rule.ports))


def _builtins(policy: NetworkPolicy) -> dict[str, object]:
    made: dict[str, object] = msgspec.to_builtins(policy, enc_hook=str)
    del made["namespace_assumed"]  # says nothing of the policy, and records of before don't have it
    return made


def intent_findings(findings: Iterable[IntentFinding], snapshot: Snapshot) -> tuple[NightFinding, ...]:
    """``findings`` as they are reported again on other nights, with their connections."""
    names = {endpoint.name: workload_name(endpoint) for endpoint in snapshot.endpoints}
    merged: dict[tuple[str, str], NightFinding] = {}
    for each in findings:
        key = (f"intent: {each.kind}", each.rule.name)
        before = merged.get(key, NightFinding(key[0], key[1:], each.title))
        merged[key] = replace(before, evidence=tuple(sorted({*before.evidence, *_evidence(each, names)})))
    return tuple(merged.values())


def _evidence(finding: IntentFinding, names: Mapping[str, str]) -> tuple[str, ...]:
    found: set[str] = set()
    for group in finding.groups:
        sources = {names.get(name, name) for name in group.sources}
        destinations = {names.get(name, name) for name in group.destinations}
        ports = ", ".join(map(str, group.ports))
        if len(sources) * len(destinations) > MOST_EVIDENCE:
            found.add(f"{', '.join(sorted(sources))} -> {', '.join(sorted(destinations))} {ports}")
        else:
            found |= {f"{source} -> {destination} {ports}" for source in sources for destination in destinations}
    return tuple(sorted(found))


@dataclass(frozen=True, slots=True)
class Change:
    """One difference in words. ``namespace`` or ``workload`` is what it is about; neither: all of the cluster."""

    text: str
    namespace: str = ""
    workload: str = ""
    is_policy: bool = False

    def concerns(self, namespaces: Collection[str], workloads: Collection[str]) -> bool:
        """Whether it may have to do with a finding between ``workloads`` in ``namespaces``."""
        if self.workload:
            return self.workload in workloads
        return not self.namespace or self.namespace in namespaces


def changes_between(before: Surroundings | None, after: Surroundings | None) -> tuple[Change, ...]:
    """What is different, versions first; nothing where one of both is not known."""
    if before is None or after is None:
        return ()
    return (
        *_versions(before.versions, after.versions),
        *_nodes(before.nodes, after.nodes),
        *_policies(before.policies, after.policies),
        *_labels("namespace", before.namespaces, after.namespaces),
        *_labels("", before.labels, after.labels),
    )


def version_changes(before: Mapping[str, str], after: Mapping[str, str]) -> Iterator[str]:
    """Which versions are others, in words."""
    for name in sorted(before.keys() & after.keys()):
        if before[name] != after[name]:
            yield f"{name}: {before[name]} before, {after[name]} now"


def _versions(before: Mapping[str, str], after: Mapping[str, str]) -> Iterator[Change]:
    yield from map(Change, version_changes(before, after))
    one, other = ({name for name in each if name.startswith(NETWORK_AGENT)} for each in (before, after))
    if one and other:  # with none, it was not looked at, or is under a name that we don't know
        for name in sorted(one ^ other):
            yield Change(f"{name} is {'new' if name in other else 'gone'}")


def _nodes(before: Collection[str], after: Collection[str]) -> Iterator[Change]:
    if not before or not after:
        return
    for name in sorted({*before} ^ {*after}):
        yield Change(f"node {name} is {'new' if name in after else 'gone'}")


def _policies(before: Mapping[str, str], after: Mapping[str, str]) -> Iterator[Change]:
    for name in sorted(before.keys() | after.keys()):
        if before.get(name) == after.get(name):
            continue
        what = "is new" if name not in before else "is gone" if name not in after else "has changed"
        yield Change(f"policy {name} {what}", namespace=name.partition("/")[0], is_policy=True)


def _labels(what: str, before: Mapping[str, Labels], after: Mapping[str, Labels]) -> Iterator[Change]:
    for name in sorted(before.keys() & after.keys()):
        old, new = before[name], after[name]
        told = [
            f"{key}: {old.get(key, 'none')!s} before, {new.get(key, 'none')!s} now"
            for key in sorted(old.keys() | new.keys())
            if old.get(key) != new.get(key)
        ]
        if told:
            text = f"labels of {f'{what} ' if what else ''}{name}: {'; '.join(told)}"
            yield Change(text, namespace=name if what else "", workload="" if what else name)
