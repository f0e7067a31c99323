"""Manifests of large clusters, made by rule, for benchmarks."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace
from ipaddress import ip_address, ip_network
from typing import Any

from auditor.model.admin_policy import Action, AdminPeer, AdminPolicy, AdminRule, AdminTier
from auditor.model.labels import LabelSelector
from auditor.model.policy import Direction, IPBlock, NetworkPolicy, Peer, PolicyPort, Rule
from auditor.model.ports import ContainerPort, Protocol
from auditor.model.snapshot import Endpoint, EndpointKind, Namespace, Snapshot

Document = dict[str, Any]

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


def administered(snapshot: Snapshot, number: int, seed: int = 1, *, blocks: bool = False) -> Snapshot:
    """``snapshot`` with policies of administrators of both tiers and all actions, of which some name single pods. With
    ``blocks`` their networks cover pods.
    """
    dice = random.Random(seed)

    def pods() -> AdminPeer:
        selectors = [_selector(app=f"app-{dice.randrange(APPS)}"), _selector(pod=str(dice.randrange(200)))]
        teams = [_selector(team=f"team-{dice.randrange(TEAMS)}"), LabelSelector()]
        return AdminPeer(dice.choice(teams), dice.choice([*selectors, LabelSelector()]))

    def rule(peers: tuple[AdminPeer, ...]) -> AdminRule:
        ports = (PolicyPort(Protocol.TCP, dice.choice(NUMBERS)),) if dice.random() < 0.5 else ()
        return AdminRule(dice.choice(list(Action)), (dice.choice(peers),), ports)

    made = []
    for each in range(number):
        subject = pods()
        assert subject.namespace_selector is not None
        assert subject.pod_selector is not None
        block = IPBlock(ip_network(f"{'10.0' if blocks else '192.168'}.{dice.randrange(40)}.0/24"))
        made.append(
            AdminPolicy(
                "ClusterNetworkPolicy",
                f"policy-{each}",
                dice.choice(list(AdminTier)),
                dice.randrange(1000),
                subject.namespace_selector,
                subject.pod_selector,
                tuple(rule((pods(),)) for _ in range(3)),
                tuple(rule((pods(), AdminPeer(networks=(block,)))) for _ in range(3)),
            )
        )
    return replace(snapshot, admin_policies=tuple(made))


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


def namespace(name: str, labels: dict[str, str] | None = None) -> Document:
    """A Namespace."""
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels or {}}}


def pod(name: str, labels: dict[str, str], address: str, where: str = "shop", port: int = 8080) -> Document:
    """A running Pod that declares one port."""
    ports = [{"name": "http", "containerPort": port}]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": where, "labels": labels},
        "spec": {"containers": [{"name": "main", "image": "app", "ports": ports}]},
        "status": {"phase": "Running", "podIP": address, "podIPs": [{"ip": address}]},
    }


def policy(name: str, where: str = "shop", subjects: Document | None = None, **sections: list[Document]) -> Document:
    """A NetworkPolicy with the ``ingress`` and ``egress`` given, for these directions."""
    spec = {"podSelector": subjects or {}, "policyTypes": [each.capitalize() for each in sections], **sections}
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": name, "namespace": where},
        "spec": spec,
    }


def labelled(**labels: str) -> Document:
    """A selector."""
    return {"matchLabels": labels}


PLATFORM_APPS = ("web", "api", "worker", "db", "cache", "cron")


def platform(namespaces: int, *, pods: int = 60, nodes: int = 500, crons: bool = False) -> Iterator[Document]:
    """A cluster as platform teams run it: a namespace for each team with six workloads and the same four policies, a
    team that calls the next one, DNS and an ingress controller beside them. With ``crons`` a fifth policy lets cron
    call workers.
    """
    for number in range(nodes):
        status = {"addresses": [{"type": "InternalIP", "address": str(ip_address("172.16.0.1") + number)}]}
        yield {"apiVersion": "v1", "kind": "Node", "metadata": {"name": f"node-{number}"}, "status": status}
    addresses = (str(ip_address(FIRST_ADDRESS + number)) for number in range(1 << 24))
    for name, app in (("kube-system", "kube-dns"), ("ingress", "nginx")):
        yield namespace(name, {"role": name})
        yield {**pod(app, {"app": app}, next(addresses), name, 53 if app == "kube-dns" else 80)}
    for number in range(namespaces):
        name = f"team-{number}"
        yield namespace(name, {"team": name})
        for each in range(pods):
            app = PLATFORM_APPS[each % len(PLATFORM_APPS)]
            made = pod(f"{app}-{each}", {"app": app}, next(addresses), name, 8080)
            made["spec"]["nodeName"] = f"node-{(number * pods + each) % nodes}"
            yield made
        yield from _policies_of_team(name, f"team-{(number + 1) % namespaces}", f"team-{(number - 1) % namespaces}")
        if crons:
            calls = {"to": [{"podSelector": labelled(app="worker")}], "ports": [{"protocol": "TCP", "port": 8080}]}
            yield policy("cron", name, labelled(app="cron"), egress=[calls])


def _policies_of_team(team: str, caller: str, called: str) -> Iterator[Document]:
    def app(name: str, **also: Document) -> Document:
        return {"podSelector": labelled(app=name), **also}

    def on(*ports: int, protocol: str = "TCP") -> list[Document]:
        return [{"protocol": protocol, "port": port} for port in ports]

    system = {"namespaceSelector": labelled(role="kube-system")}
    dns = {"to": [app("kube-dns", **system)], "ports": [*on(53, protocol="UDP"), *on(53)]}
    yield policy("default", team, ingress=[], egress=[dns])
    nginx = app("nginx", namespaceSelector=labelled(role="ingress"))
    yield policy(
        "web",
        team,
        labelled(app="web"),
        ingress=[{"from": [nginx], "ports": on(8080)}],
        egress=[{"to": [app("api")], "ports": on(8080)}],
    )
    callers = [app("web"), app("api", namespaceSelector=labelled(team=caller))]
    yield policy(
        "api",
        team,
        labelled(app="api"),
        ingress=[{"from": callers, "ports": on(8080)}],
        egress=[
            {"to": [app("db")], "ports": on(5432)},
            {"to": [app("cache")], "ports": on(6379)},
            {"to": [app("api", namespaceSelector=labelled(team=called))], "ports": on(8080)},
        ],
    )
    stores = {"matchExpressions": [{"key": "app", "operator": "In", "values": ["db", "cache"]}]}
    yield policy("stores", team, stores, ingress=[{"from": [app("api"), app("worker")], "ports": on(5432, 6379)}])
