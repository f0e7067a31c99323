"""What an audit says at its end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from auditor.model.diagnosis import Diagnosis, Unexercised
from auditor.model.dns_seen import DnsSeen, ReachedSeen
from auditor.model.draw import Draw
from auditor.model.intent import IntentFinding
from auditor.model.lint import Place
from auditor.model.night import Surroundings
from auditor.model.noticing import Noticing
from auditor.model.policy import Direction
from auditor.model.service_seen import ServicesSeen
from auditor.model.snapshot import Endpoint
from auditor.model.standing import Comparison
from auditor.model.verdict import Cell, Note, Observation, Observed, Result, Verdict


@dataclass(frozen=True, slots=True)
class CellResult:
    """A cell with what was expected of it, what was observed, and how the two compare."""

    cell: Cell
    expected: Verdict
    observation: Observation
    result: Result
    notes: tuple[Note, ...] = ()


@dataclass(frozen=True, slots=True)
class Finding:
    """What a person reads: cells of one kind that differ for one reason.

    ``title`` is one line. ``expected_by`` has one line for each policy or rule that decided the expectation.
    ``reproduce`` is a shell command, ``advice`` one sentence on what to do. ``places`` are those of the policies, or of
    the rules, that decided; without a file where they were read from a cluster. ``filters`` are the nodes whose filters
    judge the cells, by direction: of leaks only where these ought to deny.
    """

    kind: Result
    title: str
    cells: tuple[CellResult, ...]
    expected_by: tuple[str, ...]
    reproduce: str
    advice: str
    places: tuple[Place, ...] = ()
    filters: Mapping[Direction, tuple[str, ...]] = field(default_factory=dict, hash=False)


@dataclass(frozen=True, slots=True)
class Summary:
    """Counts of cells. ``allowed`` and ``denied`` count observed verdicts, the rest counts results."""

    cells: int
    allowed: int
    denied: int
    leaks: int
    outages: int
    unstable: int
    misdelivered: int
    cni_dependent: int
    undefined: int
    inconclusive: int
    skipped: int

    @classmethod
    def of(cls, cells: tuple[CellResult, ...]) -> Summary:
        """Count ``cells``."""
        results = Counter(cell.result for cell in cells)
        return cls(
            cells=len(cells),
            allowed=sum(cell.observation.verdict is Observed.ALLOWED for cell in cells),
            denied=sum(cell.observation.verdict.is_denied for cell in cells),
            leaks=results[Result.LEAK],
            outages=results[Result.OUTAGE],
            unstable=results[Result.UNSTABLE],
            misdelivered=results[Result.MISDELIVERED],
            cni_dependent=results[Result.CNI_DEPENDENT],
            undefined=results[Result.UNDEFINED],
            inconclusive=results[Result.INCONCLUSIVE],
            skipped=results[Result.SKIPPED],
        )

    @property
    def faults(self) -> int:
        """The cells that make an audit fail."""
        return self.leaks + self.outages + self.unstable + self.misdelivered

    @property
    def coverage(self) -> float:
        """The share of cells, 0 to 1, that got a verdict; 1 when there are none."""
        return 1 - (self.inconclusive + self.skipped) / self.cells if self.cells else 1.0


@dataclass(frozen=True, slots=True)
class PolicyRemark:
    """What lint says of a policy as it is written: the check's id, its severity, the place, and one sentence."""

    check: str
    severity: str
    place: str
    message: str


@dataclass(frozen=True, slots=True)
class UntestedPolicy:
    """A policy, in one direction, of which nothing in an audit shows whether it is enforced.

    ``connections`` counts the planned ones of which a single verdict would have shown it; ``reasons``, in words, say
    why there is none, the most frequent first. ``accepted``: the user has named the policy, so that it doesn't count.
    """

    policy: str
    direction: Direction
    connections: int
    reasons: tuple[str, ...]
    accepted: bool = False

    def __str__(self) -> str:
        return f"{self.policy} ({self.direction.lower()})"


@dataclass(frozen=True, slots=True)
class PolicyTests:
    """How far an audit puts policies to the test.

    ``in_scope`` counts the policies that select a pod that the audit was asked about, ``without_pods`` those of the
    same namespaces that select no pod at all. ``deciding_nothing`` are those, by full name and direction, that are for
    such a pod and decide none of the connections that were to be tried, since no rule of an administrators' policy
    matches any, or such policies decide all of them before: they are not in scope. ``unfinished``, if not empty, says
    why none of this is known.
    """

    in_scope: int = 0
    without_pods: int = 0
    untested: tuple[UntestedPolicy, ...] = ()
    unfinished: str = ""
    deciding_nothing: tuple[tuple[str, Direction], ...] = ()

    @property
    def open(self) -> tuple[UntestedPolicy, ...]:
        """Those that are untested and that nobody has accepted."""
        return tuple(each for each in self.untested if not each.accepted)

    @property
    def accepted(self) -> tuple[str, ...]:
        """The full names of those that are untested and accepted as such."""
        return tuple(dict.fromkeys(each.policy for each in self.untested if each.accepted))

    @property
    def tested(self) -> int:
        """How many are tested in every direction that was asked about."""
        return self.in_scope - len({each.policy for each in self.untested})


@dataclass(frozen=True, slots=True)
class Report:
    """The result of one audit.

    ``subject`` names what was audited in words. ``facts`` are lines worth knowing beside the findings (how long
    convergence took, which kinds of objects were ignored); ``seconds`` has the wall time of each phase, in order.
    ``api`` counts the requests to an API server (``calls``) and the bytes ``received`` and ``sent`` there; empty on the
    lab. ``diagnosis`` is None where nothing differs from the specification; ``policies`` says which policies were put
    to the test at all, ``unexercised`` has the parts of policies about which the cells say nothing. ``lint`` is what is
    likely not meant in the policies, whatever enforces them; ``intent`` is where they differ from what was meant, when
    somebody said what that is. ``began`` is when the run began, as ``2026-11-21T18:24:06Z``. ``surroundings`` are what
    the cluster was like; ``comparison`` is how the findings stand against earlier runs, None where they were held
    against none. ``noticing`` says how much the connections would have noticed, where that is known, ``draw``
    which of equivalent pods were taken, where these take turns.
    ``services`` is what came of connections through Services, ``dns`` of lookups, ``reached`` of those to
    Services of the cluster's own, where those were tried.
    """

    subject: str
    run_id: str
    endpoints: tuple[Endpoint, ...]
    cells: tuple[CellResult, ...]
    findings: tuple[Finding, ...]
    summary: Summary
    min_coverage: float = 0.0
    facts: tuple[str, ...] = ()
    seconds: Mapping[str, float] = field(default_factory=dict, hash=False)
    attempts: int = 0
    api: Mapping[str, int] = field(default_factory=dict, hash=False)
    diagnosis: Diagnosis | None = None
    policies: PolicyTests = PolicyTests()
    unexercised: tuple[Unexercised, ...] = ()
    lint: tuple[PolicyRemark, ...] = ()
    intent: tuple[IntentFinding, ...] = ()
    began: str = ""
    surroundings: Surroundings | None = None
    comparison: Comparison | None = None
    noticing: Noticing | None = None
    draw: Draw | None = None
    services: ServicesSeen | None = None
    dns: DnsSeen | None = None
    reached: ReachedSeen | None = None

    @property
    def beside(self) -> tuple[ServicesSeen | DnsSeen | ReachedSeen, ...]:
        """What was tried beside the matrix, part by part."""
        return tuple(part for part in (self.services, self.dns, self.reached) if part is not None)
