"""Manifests of large clusters, made by rule, for benchmarks."""

from __future__ import annotations

import random
from collections.abc import Iterator
from ipaddress import ip_address, ip_network

from auditor.model.labels import LabelSelector
from auditor.model.policy import Direction, IPBlock, NetworkPolicy, Peer, PolicyPort, Rule
from auditor.model.ports import ContainerPort, Protocol
from auditor.model.snapshot import Endpoint, EndpointKind, Namespace, Snapshot

APPS = 10
TEAMS = 10
NUMBERS = (80, 443, 3306, 5432, 6379, 8080, 9090)
FIRST_ADDRESS = int(ip_address("10.0.0.1"))


def _selector(**labels: str) -> LabelSelector:
    return LabelSelector(tuple(sorted(labels.items())))


def _peer(dice: random.Random, *, blocks: bool) -> Peer:
    app, team = _selector(app=f"app-{dice.randrange(APPS)}"), _selector(team=f"team-{dice.randrange(TEAMS)}")
    block = IPBlock(ip_network(f"10.0.{dice.randrange(40)}.0/24")) if blocks else IPBlock(ip_network("192.168.5.10/32"))
    return dice.choice([Peer(app), Peer(app), Peer(None, team), Peer(app, team), Peer(ip_block=block)])


def _rule(dice: random.Random, *, blocks: bool) -> Rule:
    ports = [PolicyPort(Protocol.TCP, dice.choice(NUMBERS)), PolicyPort(Protocol.UDP, 53), PolicyPort(name="http")]
    return Rule(
        tuple(_peer(dice, blocks=blocks) for _ in range(dice.randint(1, 3))), tuple(ports[: dice.randint(1, 3)])
    )


def cluster(pods: int, namespaces: int, policies: int, seed: int = 1, *, blocks: bool = False) -> Snapshot:
    """Pods of ten apps in every namespace, teams of namespaces, and policies with all kinds of peers, numbered and
    named ports.

    With ``blocks`` the ipBlocks cover pods, /24 by /24, so that nearly every pod is a class of its own.
    """
    dice = random.Random(seed)
    endpoints = []
    for number in range(pods):
        namespace, app = f"ns-{number % namespaces}", f"app-{number // namespaces % APPS}"
        port = ContainerPort(Protocol.TCP, 8000 + number // namespaces % 2, "http")
        address = ip_address(FIRST_ADDRESS + number)
        labels = {"app": app, "pod": str(number)}
        endpoints.append(
            Endpoint(f"{namespace}/pod-{number}", EndpointKind.POD, namespace, labels, (address,), (port,))
        )
    made = []
    for number in range(policies):
        directions = frozenset(dice.choice([(Direction.INGRESS,), (Direction.EGRESS,), tuple(Direction)]))
        rules = {
            direction: tuple(_rule(dice, blocks=blocks) for _ in range(2)) if direction in directions else ()
            for direction in Direction
        }
        subjects = _selector(app=f"app-{dice.randrange(APPS)}")
        made.append(
            NetworkPolicy(
                f"ns-{number % namespaces}",
                f"policy-{number}",
                subjects,
                directions,
                rules[Direction.INGRESS],
                rules[Direction.EGRESS],
            )
        )
    known = {
        f"ns-{number}": Namespace.of(f"ns-{number}", {"team": f"team-{number % TEAMS}"}) for number in range(namespaces)
    }
    return Snapshot(known, tuple(endpoints), tuple(made))


def manifests(snapshot: Snapshot) -> Iterator[str]:
    """The snapshot as YAML documents, block style, as people and tools write them."""
    for namespace in snapshot.namespaces.values():
        yield (
            f"apiVersion: v1\nkind: Namespace\nmetadata:\n  name: {namespace.name}\n  "
            f"labels:\n{_labels(namespace.labels, 4)}"
        )
    for pod in snapshot.endpoints:
        yield (
            f"apiVersion: v1\nkind: Pod\nmetadata:\n  name: {pod.name.partition('/')[2]}\n  namespace: "
            f"{pod.namespace}\n"
            f"  labels:\n{_labels(pod.labels, 4)}spec:\n  containers:\n  - name: main\n    image: "
            "registry.example/app:1\n    ports:\n"
            + "".join(f"    - name: {port.name}\n      containerPort: {port.number}\n" for port in pod.ports)
            + f"status:\n  phase: Running\n  podIP: {pod.addresses[0]}\n  podIPs:\n  - ip: {pod.addresses[0]}\n"
        )
    for policy in snapshot.policies:
        yield _policy(policy)


def _labels(labels: object, indent: int) -> str:
    return "".join(f'{" " * indent}{key}: "{value}"\n' for key, value in dict(labels).items())  # type: ignore[call-overload]


def _policy(policy: NetworkPolicy) -> str:
    text = (
        f"apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata:\n  name: {policy.name}\n  namespace: "
        f"{policy.namespace}\n"
        f"spec:\n  podSelector:\n    matchLabels:\n{_labels(policy.pod_selector.match_labels, 6)}  policyTypes:\n"
        + "".join(f"  - {direction}\n" for direction in sorted(policy.directions))
    )
    for direction, section, side in ((Direction.INGRESS, "ingress", "from"), (Direction.EGRESS, "egress", "to")):
        if direction in policy.directions:
            text += f"  {section}:\n" + "".join(_rule_text(rule, side) for rule in policy.rules(direction))
    return text


def _rule_text(rule: Rule, side: str) -> str:
    text = f"  - {side}:\n"
    for peer in rule.peers:
        dash = "- "
        if peer.ip_block is not None:
            text += f"    - ipBlock:\n        cidr: {peer.ip_block.cidr}\n"
        for field, selector in (("podSelector", peer.pod_selector), ("namespaceSelector", peer.namespace_selector)):
            if selector is not None:
                text += f"    {dash}{field}:\n        matchLabels:\n{_labels(selector.match_labels, 10)}"
                dash = "  "
    text += "    ports:\n"
    for port in rule.ports:
        text += f"    - protocol: {port.protocol}\n      port: {port.name or port.number}\n"
    return text
