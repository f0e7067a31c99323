"""The check that both halves of a path are open."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace
from ipaddress import ip_network

from auditor.lint.covering import FEW, in_order, most_compared
from auditor.lint.finding import Check, Remark, peer_place
from auditor.lint.policy_index import IndexedRule, PolicyIndex, meet
from auditor.model.lint import Place, Severity
from auditor.model.policy import Direction
from auditor.model.ports import EVERY_PORT
from auditor.model.words import in_brief
from auditor.policy.bits import bits

TWO_SIDES = "https://kubernetes.io/docs/concepts/services-networking/network-policies/#the-two-sorts-of-pod-isolation"
MOST_PORTS = 20
OTHER_SIDE = {Direction.INGRESS: Direction.EGRESS, Direction.EGRESS: Direction.INGRESS}
POD_NETWORKS = tuple(map(ip_network, ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "fc00::/7")))
"""Where pods have their addresses (RFC 1918, 6598 and 4193)."""


def half_open(policy_index: PolicyIndex) -> Iterator[Remark]:
    """Peers that one side admits and the other side's policies cut off entirely: no port between any two of the pods is
    open.
    """
    answers = _Answers(policy_index)
    for indexed in policy_index.rules:
        if indexed.subjects and indexed.ports:
            for number, (peer, reach) in enumerate(zip(indexed.rule.peers, indexed.reach, strict=True)):
                if reach and policy_index.is_all_known(peer) and _cut_off(policy_index, indexed, reach, answers):
                    place = peer_place(indexed.policy, indexed.direction, indexed.number, number)
                    yield _half_open_remark(policy_index, indexed, reach, place)


class _Answers:
    """The rules that can open the other half of a path, by the pods that they are for."""

    def __init__(self, policy_index: PolicyIndex) -> None:
        self._few: dict[tuple[Direction, int], list[int]] = defaultdict(list)
        self._many: dict[tuple[Direction, str], list[int]] = defaultdict(list)
        self._rules = [
            _with_unknown_addresses(policy_index, indexed) if indexed.subjects else indexed
            for indexed in policy_index.rules
        ]
        self._representatives = policy_index.groups.representatives
        self._most = most_compared(len(self._rules))
        for number, indexed in enumerate(self._rules):
            if indexed.subjects.bit_count() <= FEW:
                for group in bits(indexed.subjects):
                    self._few[indexed.direction, group].append(number)
            else:
                self._many[indexed.direction, indexed.policy.namespace].append(number)
        self._namespaces: dict[int, set[str]] = {}

    def may_meet(self, indexed: IndexedRule, reach: int) -> bool:
        """Whether any rule of the pods ``reach`` lets through something that ``indexed`` opens to them, or nobody can
        say because there are too many.
        """
        other = OTHER_SIDE[indexed.direction]
        from_here = IndexedRule(
            indexed.policy,
            indexed.direction,
            indexed.number,
            indexed.rule,
            indexed.subjects,
            (reach,),
            reach,
            indexed.ports,
        )
        if reach not in self._namespaces:
            self._namespaces[reach] = {self._representatives[group].namespace for group in bits(reach)}
        buckets = [
            self._many[other, namespace] for namespace in self._namespaces[reach] if (other, namespace) in self._many
        ]
        buckets += [self._few[other, group] for group in bits(reach) if (other, group) in self._few]
        compared = 0
        for number in in_order(buckets, self._most):
            compared += 1
            if meet(from_here, self._rules[number]):
                return True
        return compared >= self._most


def _cut_off(policy_index: PolicyIndex, indexed: IndexedRule, reach: int, answers: _Answers) -> bool:
    other = OTHER_SIDE[indexed.direction]
    if reach & (~policy_index.isolated[other] | policy_index.uncertain) or (
        reach == indexed.subjects and reach.bit_count() == 1 and policy_index.count(reach) == 1
    ):
        return False
    return not answers.may_meet(indexed, reach)


def _with_unknown_addresses(policy_index: PolicyIndex, indexed: IndexedRule) -> IndexedRule:
    """``indexed`` with the pods whose address isn't known among its peers, if one of its ipBlocks may hold them."""
    blocks = [peer.ip_block.cidr for peer in indexed.rule.peers if peer.ip_block is not None]
    may_hold = any(
        block.version == network.version and block.overlaps(network) for block in blocks for network in POD_NETWORKS
    )
    return replace(indexed, peers=indexed.peers | policy_index.without_address) if may_hold else indexed


def _half_open_remark(policy_index: PolicyIndex, indexed: IndexedRule, reach: int, place: Place) -> Remark:
    ingress = indexed.direction is Direction.INGRESS
    ports = in_brief(indexed.rule.ports, MOST_PORTS) or EVERY_PORT
    subjects, others = policy_index.names(indexed.subjects), policy_index.names(reach)
    if ingress:
        message = f"admits {others} to {subjects} on {ports}, but the egress policies of {others} let none of that out"
        need, section = f"a policy that selects {others} has to let it out", "egress:\n- to"
    else:
        message = f"lets {subjects} out to {others} on {ports}, but the ingress policies of {others} admit none of that"
        need, section = f"a policy that selects {others} has to admit it", "ingress:\n- from"
    hint = f"A connection needs both sides; {need}:\n{section}: [...]  # {subjects}\n  ports: [...]  # {ports}"
    return Remark(place, message, hint)


CHECKS = (
    Check(
        "half-open-path",
        Severity.WARNING,
        "One side of a connection is allowed, the other is not",
        "A connection needs the source's egress and the destination's ingress. Where both are isolated, a rule on "
        "one side alone opens "
        "nothing. Reported only where nothing at all gets through between the pods of a peer and those of the policy.",
        half_open,
        TWO_SIDES,
    ),
)
