"""Changes in the tier of administrators that decides, where no NetworkPolicy can have it as it was meant: one more rule
before the one that decides, a policy before its policy, or that rule taken away. Whether they do is found out by
evaluating them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace

from auditor.intent.admin_notation import admin_policy_yaml, admin_rule_yaml
from auditor.intent.causes import Cause
from auditor.intent.drafts import Draft, ends_of
from auditor.intent.notation import object_name, peers_for
from auditor.intent.resolved_intent import ResolvedIntent
from auditor.model.admin_policy import (
    CURRENT,
    EVERY_LABEL,
    NAMED_DEFAULT,
    Action,
    AdminPeer,
    AdminPolicy,
    AdminRule,
    AdminTier,
)
from auditor.model.intent import Edit, IntentRule
from auditor.model.policy import Direction, PolicyPort
from auditor.model.ports import Protocol
from auditor.model.verdict import Verdict
from auditor.model.words import unused_name
from auditor.policy.tiers import Judgement, TierAnswer

MOST_RULES = {CURRENT: 25}
"""So many rules a policy of a kind may have in one direction; of others, 100."""
RULE = re.compile(r"\[(\d+)\]\Z")
SAYS = {Action.ACCEPT: "accepts it", Action.DENY: "denies it", Action.PASS: "leaves it to NetworkPolicies"}


def deciding_tier(cause: Cause, direction: Direction) -> AdminTier | None:
    """The tier of administrators a rule of which decides the example of ``cause`` in ``direction`` otherwise than it is
    meant; None where none does.
    """
    judgement = cause.decision.deciding(direction)
    if judgement is None or judgement.decider is None or judgement.tier not in tuple(AdminTier):
        return None
    meant = cause.decision.verdict is Verdict.DENIED
    against = judgement.answer is (TierAnswer.DENY if meant else TierAnswer.ACCEPT)
    return AdminTier(judgement.tier) if against else None


def administering(resolved: ResolvedIntent, cause: Cause, direction: Direction) -> Iterator[Draft]:
    """Ways to have it as meant in ``direction`` by a change of the policy that decides, or one before it."""
    judgement = cause.decision.deciding(direction)
    found = _rule_of(resolved, judgement) if judgement is not None else None
    if found is None:
        return
    policy, number = found
    rule = resolved.rules[cause.rule]
    for meant in _meant(resolved, rule, policy, direction, cause):
        for place in dict.fromkeys((number, 0)):
            yield from _before(policy, direction, place, meant)
        yield from _beside(resolved, rule, policy, direction, meant)
    rules = policy.rules(direction)
    after = policy.with_rules(direction, (*rules[:number], *rules[number + 1 :]))
    yield Draft(f"remove {policy.place(direction, number)}", "", (Edit(policy, after),))


def _rule_of(resolved: ResolvedIntent, judgement: Judgement) -> tuple[AdminPolicy, int] | None:
    """The policy that decides, and the number of its rule."""
    decider = judgement.decider
    number = RULE.search(decider.path) if decider is not None else None
    if decider is None or number is None:
        return None
    same = (each for each in resolved.snapshot.admin_policies if each.full_name == decider.policy)
    policy = next((each for each in same if each.tier == judgement.tier), None)
    return (policy, int(number[1])) if policy is not None else None


def _meant(
    resolved: ResolvedIntent, rule: IntentRule, policy: AdminPolicy, direction: Direction, cause: Cause
) -> Iterator[AdminRule]:
    """Rules that say what ``rule`` means."""
    incoming = direction is Direction.INGRESS
    ends = (each.source if incoming else each.destination for each in cause.violation)
    names = tuple(dict.fromkeys(member.name for end in ends for member in end.members))
    actions: tuple[Action, ...]
    if rule.verdict is Verdict.DENIED:
        actions = (Action.DENY,)
    elif policy.tier is AdminTier.ADMIN:
        actions = (Action.PASS, Action.ACCEPT)
    else:
        actions = (Action.ACCEPT,)
    for texts in dict.fromkeys((ends_of(rule, direction)[1], names)):
        peers = _peers(resolved, texts, incoming=incoming)
        for action in actions if peers else ():
            yield AdminRule(action, peers, _ports(rule.ports), rule.name[:100])


def _peers(resolved: ResolvedIntent, texts: Sequence[str], *, incoming: bool) -> tuple[AdminPeer, ...]:
    """The peers that mean what the selections ``texts`` do; empty where none can."""
    found = peers_for(texts, resolved.snapshot, "")
    if found is None:
        return ()
    blocks = [peer.ip_block for peer in found if peer.ip_block is not None]
    if blocks and (incoming or any(block.excepts for block in blocks)):
        return ()
    pods = (
        AdminPeer(peer.namespace_selector or EVERY_LABEL, peer.pod_selector or EVERY_LABEL)
        for peer in found
        if peer.ip_block is None
    )
    networks = [AdminPeer(networks=tuple(blocks))] if blocks else []
    return tuple(dict.fromkeys((*pods, *networks))) or (AdminPeer(EVERY_LABEL, EVERY_LABEL),)


def _ports(ports: Sequence[PolicyPort]) -> tuple[PolicyPort, ...]:
    """``ports`` as these policies have them: a name is one of every protocol."""
    protocols = tuple(Protocol)
    each = (
        replace(port, protocol=protocol)
        for port in ports
        for protocol in (protocols if port.name is not None else (port.protocol,))
    )
    return tuple(dict.fromkeys(each))


def _before(policy: AdminPolicy, direction: Direction, number: int, rule: AdminRule) -> Iterator[Draft]:
    """``policy`` with ``rule`` before the one with this ``number``."""
    rules = policy.rules(direction)
    if len(rules) < MOST_RULES.get(policy.kind, 100):
        after = policy.with_rules(direction, (*rules[:number], rule, *rules[number:]))
        title = f"before {policy.place(direction, number)}, a rule that {SAYS[rule.action]}"
        yield Draft(title, admin_rule_yaml(rule, policy.kind, direction), (Edit(policy, after),))


def _beside(
    resolved: ResolvedIntent, rule: IntentRule, policy: AdminPolicy, direction: Direction, meant: AdminRule
) -> Iterator[Draft]:
    """A policy for the pods that ``rule`` names alone, that comes before ``policy``: where its kind has priorities, and
    one is free.
    """
    mine = _peers(resolved, ends_of(rule, direction)[0], incoming=True)
    tier = [each for each in resolved.snapshot.admin_policies if each.tier is policy.tier]
    free = set(range(policy.priority)) - {each.priority for each in tier}
    if len(mine) != 1 or not free or policy.kind == NAMED_DEFAULT:
        return
    taken = {each.name for each in resolved.snapshot.admin_policies}
    called = unused_name(object_name(rule.name), taken)
    subject = (mine[0].namespace_selector or EVERY_LABEL, mine[0].pod_selector or EVERY_LABEL)
    new = AdminPolicy(policy.kind, called, policy.tier, max(free), *subject).with_rules(direction, (meant,))
    article = "an" if policy.kind.startswith("A") else "a"
    title = f"add {article} {policy.kind} that {SAYS[meant.action]} before {policy.full_name}"
    yield Draft(title, admin_policy_yaml(new), (Edit(None, new),))
