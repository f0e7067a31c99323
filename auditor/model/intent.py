"""What people meant: who may reach whom, whatever the policies say; and where the policies say something else.

An intent is held against the expected matrix, and never against packets: so a policy that isn't what was meant is
reported apart from a network that doesn't enforce it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

from auditor.model.addresses import IPAddress
from auditor.model.admin_policy import AdminPolicy
from auditor.model.checks import ExpectedCheck
from auditor.model.policy import NetworkPolicy, PolicyPort
from auditor.model.ports import PortRange
from auditor.model.skipped import NOTHING_LEFT_OUT, LeftOut
from auditor.model.snapshot import Endpoint, EndpointKind, Family, Snapshot
from auditor.model.verdict import Cell, Conclusion, Verdict


@dataclass(frozen=True, slots=True)
class IntentRule:
    """One thing that was meant: from ``sources`` to ``destinations`` on ``ports`` is ``verdict``.

    Ends are selections (``prod/app=api``); none means every endpoint, and no ``ports`` every port of every protocol. A
    ``closing`` rule speaks only of cells of which no other rule does.
    """

    name: str
    verdict: Verdict
    sources: tuple[str, ...] = ()
    destinations: tuple[str, ...] = ()
    ports: tuple[PolicyPort, ...] = ()
    closing: bool = False
    file: str = field(default="", compare=False)
    line: int = field(default=0, compare=False)

    @property
    def place(self) -> str:
        """Where it stands: ``intent.yaml:12``."""
        return f"{self.file}:{self.line}" if self.line else self.file

    def __str__(self) -> str:
        return f"{self.name} ({self.place})"


@dataclass(frozen=True, slots=True)
class Intent:
    """All that was meant. ``rules`` come before the ``closing`` ones; ``hosts`` are addresses outside the cluster, by
    name. ``expect`` are single connections for tests, and no part of what policies are held against.
    """

    rules: tuple[IntentRule, ...]
    hosts: Mapping[str, tuple[IPAddress, ...]] = field(default_factory=dict, hash=False)
    file: str = ""
    expect: tuple[ExpectedCheck, ...] = ()

    def with_hosts(self, snapshot: Snapshot) -> Snapshot:
        """``snapshot`` with the hosts that it lacks."""
        known = {endpoint.name for endpoint in snapshot.endpoints}
        hosts = (
            Endpoint(f"host/{name}", EndpointKind.HOST, addresses=addresses) for name, addresses in self.hosts.items()
        )
        return replace(snapshot, endpoints=(*snapshot.endpoints, *(host for host in hosts if host.name not in known)))


class IntentKind(StrEnum):
    """In which way policies and intent part."""

    OPEN = "open"
    """Meant denied, and the policies allow it."""
    CLOSED = "closed"
    """Meant allowed, and the policies deny it."""
    EMPTY = "empty"
    """The rule speaks of nothing that there is: whether it holds can't be said."""


@dataclass(frozen=True, slots=True)
class CellGroup:
    """Cells that are alike: from each of ``sources`` to each of ``destinations`` (names of endpoints) on ``ports``.

    Left out is what no policy can cut: an endpoint and itself, a pod and its own node. ``families`` are the address
    families, none for all that the two ends have in common.
    """

    sources: tuple[str, ...]
    destinations: tuple[str, ...]
    ports: tuple[PortRange, ...]
    families: tuple[Family, ...] = ()


@dataclass(frozen=True, slots=True)
class Edit:
    """One policy changed, of whichever API: ``before`` None for a new one, ``after`` None for one that goes."""

    before: NetworkPolicy | AdminPolicy | None
    after: NetworkPolicy | AdminPolicy | None

    @property
    def of_administrators(self) -> bool:
        """Whether it is one of theirs."""
        return isinstance(self.before or self.after, AdminPolicy)


@dataclass(frozen=True, slots=True)
class ProposedChange:
    """A change of policies that was evaluated: it mends every cell of its finding, no cell is further from the intent
    than before, and none that the intent doesn't speak of is closed, those of DNS and of addresses outside included.

    ``title`` says what to do, ``yaml`` is what to write then. ``unspecified`` counts pairs of endpoints between which
    it opens something that the intent doesn't speak of.
    """

    title: str
    yaml: str
    edits: tuple[Edit, ...]
    unspecified: int = 0


@dataclass(frozen=True, slots=True)
class AlsoCloses:
    """Why no change is proposed: what even the least harmful, ``title``, would close that the intent doesn't speak of.
    ``pairs`` of endpoints; ``examples`` as ``prod/web -> DNS in kube-system``.
    """

    title: str
    pairs: int
    examples: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class IntentFinding:
    """Cells that one rule of the intent means otherwise than the policies, for one reason.

    ``pairs`` counts the pairs of endpoints; ``example`` is one of the cells, and ``because`` says what decides it, one
    line for each policy rule or isolation. ``change`` is None where none was found; ``tried`` counts the changes that
    were evaluated. ``closes``: what the least harmful change would close beside, where every change closes more.
    ``decided_before`` names the rules of administrators that decide the example before NetworkPolicies are asked.
    """

    kind: IntentKind
    rule: IntentRule
    title: str
    pairs: int = 0
    groups: tuple[CellGroup, ...] = ()
    example: Cell | None = None
    because: tuple[str, ...] = ()
    change: ProposedChange | None = None
    tried: int = 0
    closes: AlsoCloses | None = None
    decided_before: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class UncheckedOutside:
    """What ``rule`` would deny and the policies allow between pods and addresses outside the cluster, which no rule
    speaks of unless they are hosts of the intent: the names of both ends of each pair.
    """

    rule: IntentRule
    pairs: tuple[tuple[str, str], ...]

    def __str__(self) -> str:
        source, destination = self.pairs[0]
        more = f" and {len(self.pairs) - 1:,} more" if len(self.pairs) > 1 else ""
        return (
            f"addresses outside the cluster, of which only those under 'hosts' take part: {self.rule} would deny "
            f"{source} -> {destination}{more}, which the policies allow"
        )


@dataclass(frozen=True, slots=True)
class IntentReport:
    """The findings about ``rules`` rules of the file ``intent``, held against the policies of ``subject``.

    ``unknown`` names policies in force that can't be read: with any, nothing is certain; ``doubts`` say what else is
    not. ``not_checked``: what the rules would deny with addresses outside.
    """

    intent: str
    subject: str
    rules: int
    policies: int
    findings: tuple[IntentFinding, ...]
    unknown: tuple[str, ...] = ()
    left_out: LeftOut = NOTHING_LEFT_OUT
    doubts: tuple[str, ...] = ()
    not_checked: tuple[UncheckedOutside, ...] = ()

    @property
    def conclusion(self) -> Conclusion:
        """Inconclusive where nothing was found but not everything is known."""
        if self.findings:
            return Conclusion.FAIL
        return Conclusion.INCONCLUSIVE if self.unknown or self.left_out.problems or self.doubts else Conclusion.PASS
