"""Checks of rules that another rule undoes or makes superfluous.

A rule is shadowed if removing it changes no verdict for any endpoint on any port (``rule_cover``).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence

from auditor.lint.covering import BlockIndex, ConditionIndex, PeerIndex, in_order, most_compared
from auditor.lint.dns import OPENSHIFT_DNS_PORT
from auditor.lint.finding import Check, Remark, peer_place, rule_place
from auditor.lint.implication import block_implies, conditions, peer_implies, selector_implies
from auditor.lint.listing import listed_of
from auditor.lint.policy_index import IndexedRule, PolicyIndex
from auditor.lint.rule_cover import Candidate, CoveringRules, are_together, candidates_of, covers_subjects
from auditor.model.dns_seen import DNS_PORT
from auditor.model.labels import LabelSelector
from auditor.model.lint import Severity
from auditor.model.notation import SIDES, brief, brief_block
from auditor.model.policy import IPBlock
from auditor.model.reasons import place
from auditor.model.words import pluralize

ADDITIVE = "https://kubernetes.io/docs/concepts/services-networking/network-policies/#the-two-sorts-of-pod-isolation"
ALLOW_ALL = "https://kubernetes.io/docs/concepts/services-networking/network-policies/#allow-all-ingress-traffic"


def shadowed_rules(policy_index: PolicyIndex) -> Iterator[Remark]:
    """Rules whose removal changes nothing. Of rules that shadow each other, the last ones written are reported."""
    for (namespace, _), candidates in candidates_of(policy_index).items():
        rules = CoveringRules(policy_index, namespace, candidates)
        for candidate in reversed(candidates):
            by = rules.covering(candidate)
            if not by or not all(are_together(candidate.indexed.policy, each.indexed.policy) for each in by):
                continue
            candidate.removed = True
            if not any(cover.indexed.is_allow_all for cover in by):
                indexed = candidate.indexed
                message = (
                    f"removing this rule changes no verdict: {listed_of(by, _name_of)} "
                    f"{'opens' if len(by) == 1 else 'open'} all of it"
                )
                instead = (
                    "Policies add up; a narrower rule takes nothing away from a wider one. Remove this rule, "
                    "or narrow the wider one."
                )
                yield Remark(rule_place(indexed.policy, indexed.direction, indexed.number), message, instead)


def redundant_peers(policy_index: PolicyIndex) -> Iterator[Remark]:
    """Peers of a rule that another peer of the same rule includes. Of equal ones the last are reported."""
    for indexed in policy_index.rules:
        peers = indexed.rule.peers
        if len(peers) < 2:
            continue
        namespace = indexed.policy.namespace
        index = PeerIndex(enumerate(peers), namespace)
        most = most_compared(len(peers))
        removed: set[int] = set()
        for number in reversed(range(len(peers))):
            others = (
                other
                for other in in_order(index.including(peers[number]), most)
                if other != number and other not in removed
            )
            wide = next(
                (peers[other] for other in others if peer_implies(peers[number], peers[other], namespace)), None
            )
            if wide is not None:
                removed.add(number)
                message = (
                    f"{brief(peers[number])} adds nothing beside {brief(wide)}, which includes it: items of "
                    "one list are alternatives"
                )
                yield Remark(
                    peer_place(indexed.policy, indexed.direction, indexed.number, number),
                    message,
                    "Remove it; or the wider one, if only this is meant.",
                )


def _name(indexed: IndexedRule) -> str:
    return place(indexed.policy, indexed.direction, indexed.number)


def _name_of(candidate: Candidate) -> str:
    return _name(candidate.indexed)


def allow_all_undoes(policy_index: PolicyIndex) -> Iterator[Remark]:
    """Rules that open everything to everyone, where that makes other rules meaningless.

    None where a policy of the namespace is there twice, and differently: such files are not all for one cluster.
    """
    twice = {policy.namespace for policy in policy_index.snapshot.variants}
    for candidates in candidates_of(policy_index).values():
        undone_by = _undone(candidates)
        for candidate in candidates:
            indexed = candidate.indexed
            undone = [
                each
                for each in (undone_by.get(indexed.policy.pod_selector, ()) if indexed.is_allow_all else ())
                if are_together(indexed.policy, each.indexed.policy)
            ]
            if undone and indexed.policy.namespace not in twice:
                number = pluralize(len(undone), "other rule")
                message = (
                    f"allows everything to {policy_index.names(indexed.subjects)}, so {number} of these pods "
                    f"{'means' if len(undone) == 1 else 'mean'} nothing: {listed_of(undone, _name_of)}"
                )
                instead = f"Policies add up: the widest rule wins. {_less_than_all(indexed)}"
                yield Remark(rule_place(indexed.policy, indexed.direction, indexed.number), message, instead)


def _is_for_dns(indexed: IndexedRule) -> bool:
    """Whether a rule opens DNS alone, as is often written beside whatever else is open, and narrows nothing."""
    ports = indexed.rule.ports
    return bool(ports) and all(port.number in (DNS_PORT, OPENSHIFT_DNS_PORT) and not port.end_port for port in ports)


def _undone(candidates: Sequence[Candidate]) -> dict[LabelSelector, list[Candidate]]:
    """For the subjects of each rule that allows all: the narrower rules for the same pods.

    A selector with too many others to compare is left out altogether, rather than counted too low.
    """
    wide = list(dict.fromkeys(each.indexed.policy.pod_selector for each in candidates if each.indexed.is_allow_all))
    if not wide:
        return {}
    index = ConditionIndex((number, conditions(selector)) for number, selector in enumerate(wide))
    narrow: dict[LabelSelector, list[int]] = defaultdict(list)
    for number, each in enumerate(candidates):
        if not each.indexed.is_allow_all and not _is_for_dns(each.indexed):
            narrow[each.indexed.policy.pod_selector].append(number)
    found: dict[LabelSelector, list[int]] = defaultdict(list)
    left = len(candidates) * most_compared(len(candidates))
    for selector, numbers in narrow.items():
        for position in in_order(index.including(conditions(selector)), left):
            left -= 1
            if selector_implies(selector, wide[position]):
                found[wide[position]] += numbers
                left -= len(numbers)
        if left <= 0:
            return {}
    return {selector: [candidates[number] for number in sorted(numbers)] for selector, numbers in found.items()}


def _less_than_all(indexed: IndexedRule) -> str:
    """What to do about a rule that allows everything. A policy whose only rule goes isolates all the same."""
    side = SIDES[indexed.direction]
    if len(indexed.policy.rules(indexed.direction)) > 1:
        return f"Remove this rule, or give it {side} and ports."
    return (
        f"Give it {side} and ports, or remove the policy: without this rule alone it would cut off everyone "
        "that no other rule admits."
    )


def except_opened_again(policy_index: PolicyIndex) -> Iterator[Remark]:
    """Ranges that an ipBlock excepts and another item for the same pods and ports lets in again."""
    for candidates in candidates_of(policy_index).values():
        blocks = [
            (each, number, peer.ip_block)
            for each in candidates
            for number, peer in enumerate(each.indexed.rule.peers)
            if peer.ip_block
        ]
        index = BlockIndex((position, block) for position, (_, _, block) in enumerate(blocks))
        most = most_compared(sum(len(block.excepts) for _, _, block in blocks))
        for candidate, number, block in blocks:
            indexed = candidate.indexed
            for excepted in block.excepts:
                lost = IPBlock(excepted)
                others = (blocks[position] for position in in_order(index.including(lost), most))
                found = next(((by, again) for by, _, again in others if _readmits(by, again, candidate, lost)), None)
                if found is not None:
                    by, again = found
                    message = (
                        f"except {excepted} has no effect: ipBlock {brief_block(again)} in {_name_of(by)} "
                        "opens that range again"
                    )
                    instead = "except takes away from its own cidr only. " + _taking_away(by.indexed, again, lost)
                    yield Remark(
                        peer_place(indexed.policy, indexed.direction, indexed.number, number), message, instead
                    )


def _taking_away(indexed: IndexedRule, block: IPBlock, lost: IPBlock) -> str:
    """How to keep ``lost`` out of ``block``, a peer of ``indexed``: excepts are parts of the cidr, and a rule without
    peers is for all.
    """
    if block.cidr != lost.cidr:
        return "Give the other ipBlock the same except."
    return f"Remove the other {'ipBlock' if len(indexed.rule.peers) > 1 else 'rule'}, or this except."


def _readmits(other: Candidate, block: IPBlock, candidate: Candidate, lost: IPBlock) -> bool:
    """Whether ``other`` opens ``lost`` with ``block`` to the pods of ``candidate`` on its ports."""
    return (
        not candidate.ports.atoms & ~other.ports.atoms
        and candidate.ports.names <= other.ports.names
        and covers_subjects(other.indexed, candidate.indexed)
        and block_implies(lost, block)
        and are_together(other.indexed.policy, candidate.indexed.policy)
    )


CHECKS = (
    Check(
        "allow-all-undoes-others",
        Severity.WARNING,
        "A rule that allows everything and so undoes others",
        "Policies add up, and no rule can deny. One rule without from (or to) and without ports opens its pods to "
        "everyone, whatever the "
        "other rules for the same pods say.",
        allow_all_undoes,
        ALLOW_ALL,
        needs_pods=False,
    ),
    Check(
        "shadowed-rule",
        Severity.INFO,
        "A rule that other rules make superfluous",
        "Removing the rule changes no verdict for any endpoint on any port, now or later. It is left over, or was "
        "meant to narrow "
        "what a wider rule opens, which no rule can do.",
        shadowed_rules,
        ADDITIVE,
        needs_pods=False,
    ),
    Check(
        "redundant-peer",
        Severity.INFO,
        "A peer that another peer of the same rule includes",
        "Items of from and to are alternatives. A peer that another one includes is left over, or was meant to "
        "narrow the other one, for "
        "which both selectors have to stand in one item.",
        redundant_peers,
    ),
    Check(
        "except-opened-again",
        Severity.WARNING,
        "An excepted range that another ipBlock opens again",
        "except takes addresses away from the cidr beside it and from nothing else. Another ipBlock that has them, "
        "for the same pods and "
        "ports, opens them all the same.",
        except_opened_again,
        needs_pods=False,
    ),
)
