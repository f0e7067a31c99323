"""What an intent doesn't look at: connections with addresses outside the cluster, of which only its hosts take part.

"Nobody else reaches the database" is held against the endpoints of the input. Where the policies let in the Internet
beside, people must hear of it.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator
from itertools import product

from auditor.intent.certainty import Certainty
from auditor.intent.resolved_intent import Refined, ResolvedIntent
from auditor.intent.violations import Violation, find_violations
from auditor.model.addresses import IPAddress
from auditor.model.intent import Intent, UncheckedOutside
from auditor.model.snapshot import Snapshot
from auditor.model.verdict import Verdict
from auditor.policy.evaluator import evaluate
from auditor.policy.outside import with_outside


def unchecked_outside(snapshot: Snapshot, intent: Intent) -> tuple[UncheckedOutside, ...]:
    """What the policies of ``snapshot`` certainly allow with addresses outside, by each rule that denies connections
    with everybody and would deny it; nothing for rules that name both ends.
    """
    if not any(rule.verdict is Verdict.DENIED and not (rule.sources and rule.destinations) for rule in intent.rules):
        return ()
    named = {address for addresses in intent.hosts.values() for address in addresses}
    around = with_outside(snapshot)
    resolved = ResolvedIntent(around, intent, trusted=True)
    found = find_violations(Refined(evaluate(around), resolved), resolved)
    certainty = Certainty(resolved)
    return tuple(
        UncheckedOutside(rule, pairs)
        for number, (violations, _) in found.items()
        if (rule := resolved.rules[number]).verdict is Verdict.DENIED
        and (pairs := tuple(_pairs(certainty.of([each for each in violations if any(_outside(each, named))]), named)))
    )


def _outside(violation: Violation, named: Container[IPAddress]) -> Iterator[tuple[str, str]]:
    """The ends of each of its pairs that is about addresses outside, others than those in ``named``."""
    for source, destination in product(violation.source.members, violation.destination.members):
        ranges = (*source.ranges, *destination.ranges)
        if any(each.cidr.num_addresses > 1 or each.cidr.network_address not in named for each in ranges):
            yield source.name, destination.name


def _pairs(violations: Iterable[Violation], named: Container[IPAddress]) -> Iterator[tuple[str, str]]:
    for violation in violations:
        yield from _outside(violation, named)
