"""What a hypothesis costs, in bits: the one formula by which hypotheses are put in order and one is called the cause.

    price = rarity of each fault + rarity of its place + NOISE for each connection against it + what chance has to do

*Rarity* is a prior: minus the logarithm of the share of reports, in the public trackers of 22 enforcers, that are of
such a fault, or of a fault in such a place; which node, namespace, policy or pod it is costs the logarithm of their
number. *Noise* is a likelihood: one try in a thousand is seen otherwise than it is, and what differs is tried twice.
*Chance* is what lossy enforcers leave to it.

Against that stands an unknown fault. It need not agree with the hypothesis anywhere, so each place where the two could
have parted and did not, speaks for the hypothesis: ``PLACE_TELLS`` bits. docs/diagnosis.md has how the numbers were
measured.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import log2

from auditor.model.diagnosis import Hypothesis, ScopeKind
from auditor.model.dialect import Dialect

REPORTS: Mapping[Dialect, int] = {
    Dialect.ENFORCES_NOTHING: 21,
    Dialect.KNOWS_NO_PODS: 13,
    Dialect.IGNORES_NAMED_PORTS: 9,
    Dialect.STALE: 9,
    Dialect.SHUTS_PODS: 8,
    Dialect.BLOCKS_SELF: 7,
    Dialect.BLOCKS_OWN_NODE: 6,
    Dialect.SLOW: 5,
    Dialect.IGNORES_EXCEPT: 5,
    Dialect.IGNORES_IPV6: 4,
    Dialect.OWN_NAMESPACE_ONLY: 4,
    Dialect.IP_BLOCK_SKIPS_PODS: 3,
    Dialect.FLAKY: 3,
    Dialect.IGNORES_END_PORT: 2,
    Dialect.IGNORES_PORTS: 2,
    Dialect.ISOLATES_BOTH_DIRECTIONS: 2,
    Dialect.IGNORES_EGRESS: 1,
    Dialect.IGNORES_INGRESS: 1,
    Dialect.FIRST_POLICY_ONLY: 1,
    Dialect.STATELESS: 1,
    Dialect.SHARES_DIRECTIONS: 1,
    Dialect.NAMES_OF_ANY_POD: 1,
}
"""How many public reports there are of each; of the others, none."""

PLACES_REPORTED: Mapping[ScopeKind, int] = {
    ScopeKind.CLUSTER: 45,
    ScopeKind.POD: 12,
    ScopeKind.PEER: 8,
    ScopeKind.NODE: 6,
    ScopeKind.FAMILY: 5,
    ScopeKind.POLICY: 5,
    ScopeKind.PROTOCOL: 1,
}
"""How many of the reports are of a fault in such a part of a cluster; of the others, none."""

UNREPORTED = 0.5
"""What counts for a report where there is none."""

NOISE = 20.0
"""Bits for each connection that contradicts a hypothesis, or that it doesn't explain."""

PLACE_TELLS = 2.75
"""Bits for each place where a hypothesis and an unknown fault could have parted, and did not."""


def rarity(dialect: Dialect) -> float:
    """The bits that it costs to suppose ``dialect``."""
    every = sum(REPORTS.values()) + UNREPORTED * (len(Dialect) - len(REPORTS))
    return log2(every / REPORTS.get(dialect, UNREPORTED))


def rarity_of_place(kind: ScopeKind) -> float:
    """The bits that it costs to suppose a fault in a part of the cluster of this kind."""
    every = sum(PLACES_REPORTED.values()) + UNREPORTED * (len(ScopeKind) - len(PLACES_REPORTED))
    return log2(every / PLACES_REPORTED.get(kind, UNREPORTED))


class Prices:
    """Prices in a cluster with ``parts``: how many nodes, namespaces and so on there are to choose from."""

    def __init__(self, parts: Mapping[ScopeKind, int]) -> None:
        self._of_dialect = {dialect: rarity(dialect) for dialect in Dialect}
        self._of_place = {kind: rarity_of_place(kind) + log2(max(1, parts.get(kind, 1))) for kind in ScopeKind}

    def of_place(self, faults: Hypothesis) -> float:
        """The bits that it costs to say where ``faults`` are."""
        return sum(self._of_place[fault.scope.kind] for fault in faults)

    def of(self, faults: Hypothesis) -> float:
        """The bits that it costs to suppose ``faults``, whatever is seen."""
        return sum(self._of_dialect[fault.dialect] for fault in faults) + self.of_place(faults)
