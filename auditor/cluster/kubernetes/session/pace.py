"""How often the Leases of a run are renewed, so that many of them leave room for other requests and none looks dead
meanwhile.

Each namespace is judged by its own Lease, so each Lease must be renewed. A few are every ten seconds; of hundreds each
is less often, and says itself that it lasts longer.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil

from auditor.cluster.kubernetes.objects import LEASE_SECONDS, LONGEST_LEASE_SECONDS
from auditor.model.errors import ClusterError

SHARE = 0.2
"""The part of all requests that renewals are to take up, unless there are so many Leases that they have to take more,
up to ``MOST``.
"""
MOST = 0.5
LIVES = 3
"""How many renewals fit into the life of a Lease: one that fails or hangs, and the one after it, too, cost nothing."""


@dataclass(frozen=True, slots=True)
class Pace:
    """Each Lease is renewed ``every`` so many seconds and ``lasts`` so many; as many renewals as ``at_once`` may be
    under way.

    A renewal that hangs is given up after ``within`` seconds.
    """

    every: float
    lasts: int
    at_once: int
    within: float


def pace_for(leases: int, qps: float, every: float, within: float) -> Pace:
    """The pace for so many ``leases``. ``every`` and ``within`` are what one alone gets.

    Raises ClusterError where ``qps`` requests per second don't keep them alive.
    """
    longest = LONGEST_LEASE_SECONDS / LIVES
    needed = leases / longest / MOST
    if qps < needed:
        allow = f"allow {ceil(10 * needed) / 10:g}, or audit fewer"
        raise ClusterError(f"--qps {qps:g} is too little to keep the Leases of {leases:,} namespaces renewed: {allow}")
    spread = min(longest, max(every, leases / (SHARE * qps)))
    # While the server answers there is hardly ever more than one; room for a quarter is for one that lets each of them
    # hang.
    return Pace(spread, max(LEASE_SECONDS, ceil(LIVES * spread)), 8 + leases // 4, within + 2 / qps)
