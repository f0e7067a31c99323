"""What rules open to pods that are not in the input: a repository without the monitoring stack still opens ports to it.

A selector in a rule that no pod of the input is sure to match stands for pods elsewhere, of which only the labels are
known that it asks for. So no more is said than what the rules that name it open; which policies there are on the other
side is not known. What is open to everyone, since no policy isolates it, is not opened by any rule.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from auditor.model.admin_policy import AdminTier
from auditor.model.policy import Direction, NetworkPolicy, Peer, PolicyPort
from auditor.model.ports import PortRequest
from auditor.model.reasons import place
from auditor.model.snapshot import Endpoint, Snapshot
from auditor.policy.groups import Groups
from auditor.policy.matrix import MatrixView
from auditor.policy.traits import admin_selects


@dataclass(frozen=True, slots=True)
class Exposure:
    """What is open between ``pods`` of the input and any pod that ``peer`` selects: from it (Ingress) or to it
    (Egress), if nothing forbids it on its side.

    ``ports`` are those of the rules, all without any; ``rules`` say where these stand. ``before`` are policies of
    administrators about some of the pods that decide before these rules, and are not taken into account.
    """

    peer: str
    direction: Direction
    pods: tuple[str, ...]
    ports: tuple[PolicyPort, ...]
    rules: tuple[str, ...]
    before: tuple[str, ...] = ()


def exposures(snapshot: Snapshot) -> tuple[Exposure, ...]:
    """What is open to pods that are not in ``snapshot``, in the order of its policies."""
    found: dict[tuple[str, Direction, tuple[PolicyPort, ...]], tuple[int, list[str]]] = {}
    groups = Groups.by_labels(snapshot)
    for policy, direction, peer, ports, where in peers_without_pods(snapshot, groups):
        key = (peer_in_words(peer, policy.namespace), direction, ports)
        subjects, rules = found.get(key, (0, []))
        found[key] = (subjects | groups.selected_by(policy), [*rules, where])
    members = list(zip(snapshot.endpoints, groups.of_endpoint, strict=True))
    return tuple(
        Exposure(
            peer,
            direction,
            tuple(endpoint.name for endpoint, group in members if subjects >> group & 1),
            ports,
            tuple(dict.fromkeys(rules)),
        )
        for (peer, direction, ports), (subjects, rules) in found.items()
    )


def ends_shown(view: MatrixView) -> dict[Direction, tuple[Endpoint, ...]]:
    """The endpoints of ``view`` to which pods that are not in the input may come (INGRESS), and from which something
    may go to such (EGRESS): none where the other end is chosen, since they are not among what is, nor where the view
    shows what would be tried.
    """
    everybody = len(view.matrix.snapshot.endpoints)
    if view.pairs is not None:
        return dict.fromkeys(Direction, ())
    return {
        Direction.INGRESS: view.destinations if len(view.sources) == everybody else (),
        Direction.EGRESS: view.sources if len(view.destinations) == everybody else (),
    }


def view_exposures(view: MatrixView) -> tuple[Exposure, ...]:
    """Those of the pods that ``view`` shows (``ends_shown``)."""
    snapshot = view.matrix.snapshot
    shown = {direction: {end.name: end for end in ends} for direction, ends in ends_shown(view).items()}
    if not any(shown.values()):
        return ()
    found = (
        _of_pods(each, snapshot, [shown[each.direction][name] for name in each.pods if name in shown[each.direction]])
        for each in exposures(snapshot)
        if not view.ports or any(_may_be(port, asked) for port in each.ports or (None,) for asked in view.ports)
    )
    return tuple(each for each in found if each.pods)


def _of_pods(exposure: Exposure, snapshot: Snapshot, pods: Sequence[Endpoint]) -> Exposure:
    """``exposure`` of ``pods`` alone, with the policies of administrators that stand before its rules."""
    first = [
        policy.full_name
        for policy in snapshot.admin_policies
        if policy.tier is AdminTier.ADMIN
        and policy.rules(exposure.direction)
        and any(admin_selects(policy, snapshot.namespaces, pod) for pod in pods)
    ]
    return replace(exposure, pods=tuple(pod.name for pod in pods), before=tuple(first))


def _may_be(port: PolicyPort | None, asked: PortRequest) -> bool:
    """Whether ``port`` of a rule, None for all, may be the one that is ``asked`` for; a name may be any number."""
    if port is None:
        return True
    if port.protocol is not asked.protocol:
        return False
    if port.name or asked.name or port.number is None:
        return not (port.name and asked.name) or port.name == asked.name
    first, last = port.bounds
    return first <= asked.number <= last


def peer_in_words(peer: Peer, namespace: str) -> str:
    """``[pods app=prometheus in namespaces team=obs]``, of a peer with selectors in a policy of ``namespace``."""
    selector = peer.pod_selector
    pods = "pods" if selector is None or selector.is_empty else f"pods {selector}"
    if peer.namespace_selector is None:
        return f"[{pods} in namespace {namespace}]"
    if peer.namespace_selector.is_empty:
        return f"[{pods} in any namespace]"
    return f"[{pods} in namespaces {peer.namespace_selector}]"


def peers_without_pods(
    snapshot: Snapshot, groups: Groups
) -> Iterator[tuple[NetworkPolicy, Direction, Peer, tuple[PolicyPort, ...], str]]:
    """Every peer with selectors that no pod is sure to match, of policies that are sure to select one: with the policy,
    the ports of the rule, and where that stands. ``groups`` are those of ``snapshot``.
    """
    for policy in snapshot.policies:
        if not groups.selected_by(policy):
            continue
        for direction in sorted(policy.directions, reverse=True):
            for number, rule in enumerate(policy.rules(direction)):
                for peer in rule.peers:
                    if peer.ip_block is None and not groups.named_by(peer, policy.namespace):
                        yield policy, direction, peer, rule.ports, place(policy, direction, number)
