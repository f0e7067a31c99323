"""What is new in a run, what is known, what is gone, and what nobody can say.

A connection is held against the latest earlier run that had a verdict on it. *Gone* is said only of what was looked at
again, in the same places, and is as expected; *new* only of what was looked at before and was as expected. Everything
else is incomparable, and reported as that.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import product

from auditor.history.beside import is_service
from auditor.history.identity import finding_id, fingerprint
from auditor.history.suppressions import Accepted
from auditor.history.surroundings import Change, changes_between
from auditor.model.night import FIRST_FINDING, NO_VERDICT, NOT_PLANNED, Connection, Night, NightFinding, Nodes
from auditor.model.standing import Age, Comparison, Departed, FailOn, Standing

MOST_EXAMPLES = 3
MOST_REASONS = 3
NOTHING_ACCEPTED = Accepted((), "")


@dataclass(frozen=True)
class Faulty:
    """A finding of ``night`` with its connections, each with the nodes between which it shows."""

    night: Night
    number: int
    connections: Mapping[Connection, frozenset[Nodes]]

    @property
    def finding(self) -> NightFinding:
        return self.night.findings[self.number]

    @cached_property
    def id(self) -> str:
        return finding_id(self.finding.kind, self.finding.reason)


def compare(
    night: Night,
    past: Sequence[Night],
    against: str,
    fail_on: FailOn,
    accepted: Accepted = NOTHING_ACCEPTED,
) -> Comparison:
    """Hold ``night`` against ``past`` runs, the latest first. ``against`` names them in words."""
    changes = changes_between(past[0].surroundings, night.surroundings) if past else ()
    found: list[Faulty | NightFinding] = [*faulty_of(night, past, accepted), *_of_intent(night)]
    standings = tuple(_standing(each, past, changes, accepted) for each in found)
    departed = tuple(_departed(night, past, changes)) + tuple(_departed_intent(night, past, changes))
    told = tuple(change.text for change in changes)
    return Comparison(against, fail_on, standings, departed, told, accepted.expired, accepted.unused)


def faulty_of(night: Night, others: Sequence[Night] = (), accepted: Accepted = NOTHING_ACCEPTED) -> list[Faulty]:
    """The findings of ``night`` that are made of connections.

    Of workloads that one probe pod stands for, here and in all ``others``, and that are accepted alike, one speaks for
    all.
    """
    if not night.findings:
        return []
    speakers = [_speakers(end.workloads, others, accepted) for end in night.ends]
    faults = [
        [(night.ports[port], state - FIRST_FINDING) for port, state in states.items() if state >= FIRST_FINDING]
        for states in night.states
    ]
    found: list[dict[Connection, set[Nodes]]] = [{} for _ in night.findings]
    for source, row in enumerate(night.rows):
        for destination, pattern in enumerate(row):
            nodes = Nodes(night.ends[source].node, night.ends[destination].node)
            for (port, finding), one, other in product(faults[pattern], speakers[source], speakers[destination]):
                found[finding].setdefault(Connection(one, other, port), set()).add(nodes)
    return [
        Faulty(night, number, {connection: frozenset(nodes) for connection, nodes in sorted(connections.items())})
        for number, connections in enumerate(found)
    ]


def _speakers(workloads: Iterable[str], others: Sequence[Night], accepted: Accepted) -> tuple[str, ...]:
    speakers: dict[object, str] = {}
    for workload in workloads:
        places = tuple(other.places.get(workload, ()) for other in others)
        speakers.setdefault((places, accepted.marks(workload)), workload)
    return tuple(speakers.values())


def _of_intent(night: Night) -> list[NightFinding]:
    """The findings of the intent: of them, nothing was probed."""
    return list((night.surroundings and night.surroundings.intent) or ())


def _standing(
    found: Faulty | NightFinding, past: Sequence[Night], changes: Sequence[Change], accepted: Accepted
) -> Standing:
    if isinstance(found, NightFinding):
        return _standing_intent(found, past, changes)
    ages: dict[Connection, Age] = {}
    kind = found.finding.kind
    for connection, nodes in found.connections.items():
        ages[connection] = accepted.age(kind, connection) or _age(kind, connection, nodes, past)
    since, nights = _since(found, past)
    news = [connection for connection, age in ages.items() if age not in (Age.KNOWN, Age.ACCEPTED)]
    return Standing(
        found.id,
        kind,
        found.finding.title,
        Counter(ages.values()),
        fingerprint(ages),
        since,
        nights,
        tuple(map(str, news[:MOST_EXAMPLES])),
        accepted.of(kind, ages),
        changes=_about(changes, found.connections) if news else (),
    )


def _age(kind: str, connection: Connection, nodes: frozenset[Nodes], past: Iterable[Night]) -> Age:
    elsewhere = False
    for night in past:
        seen = {place: state for place, state in night.look(connection).items() if state != NO_VERDICT}
        here = [seen[place] for place in nodes if place in seen]
        if any(night.kind(state) != kind for state in here):
            return Age.NEW
        if here or (not elsewhere and any(night.kind(state) == kind for state in seen.values())):
            return Age.KNOWN
        elsewhere = elsewhere or bool(seen)  # it was as expected, but between other nodes
    return Age.INCOMPARABLE


def _since(found: Faulty, past: Iterable[Night]) -> tuple[str, int]:
    """When the first of the runs began that show the finding without a break, and how many these are."""
    since, nights = found.night.began, 1
    for night in past:
        match standing_in(found, night):
            case True:
                since, nights = night.began, nights + 1
            case False:
                break
    return since, nights


def standing_in(found: Faulty, night: Night) -> bool | None:
    """Whether ``night`` shows any connection of the finding as one of its kind; None where it had no verdict on any."""
    looked = False
    for connection in found.connections:
        for state in night.look(connection).values():
            if night.kind(state) == found.finding.kind:
                return True
            looked = looked or state != NO_VERDICT
    return False if looked else None


def _departed(night: Night, past: Sequence[Night], changes: Sequence[Change]) -> Iterator[Departed]:
    """The findings of ``past`` of which no connection is at fault any more, as far as anybody can say."""
    told: set[str] = set()
    for number, earlier in enumerate(past):
        for found in faulty_of(earlier, (night, *past[:number])):
            open_still = {
                connection: nodes
                for connection, nodes in found.connections.items()
                if not any(_has_verdict(later, connection) for later in past[:number])
            }
            if not open_still or found.id in told:
                continue
            told.add(found.id)
            yield from _outcome(replace(found, connections=open_still), night, changes)


def _has_verdict(night: Night, connection: Connection) -> bool:
    return any(state != NO_VERDICT for state in night.look(connection).values())


def _outcome(found: Faulty, night: Night, changes: Sequence[Change]) -> Iterator[Departed]:
    reasons: Counter[str] = Counter()
    for connection, nodes in found.connections.items():
        seen = night.look(connection)
        if any(night.kind(state) for state in seen.values()):
            return  # it stands, or is a finding of another kind: one of this night's
        if why := _unseen(night, connection, nodes, seen):
            reasons[why] += 1
    yield Departed(
        found.id,
        found.finding.kind,
        found.finding.title,
        Age.INCOMPARABLE if reasons else Age.GONE,
        found.night.began,
        tuple(reason for reason, _ in reasons.most_common(MOST_REASONS)),
        _about(changes, found.connections),
    )


def _unseen(night: Night, connection: Connection, nodes: frozenset[Nodes], seen: Mapping[Nodes, int]) -> str:
    """Why nobody can say that ``connection`` is as expected now; empty where that was seen."""
    for workload in (connection.source, connection.destination):
        if workload not in night.places:
            return f"{workload} was not {'tried' if is_service(workload) else 'audited'}"
    if not seen:
        return f"{connection.port} was not tried"
    if all(state == NO_VERDICT for state in seen.values()):
        return "it got no verdict"
    for place in sorted(nodes):
        if seen.get(place, NOT_PLANNED) in (NOT_PLANNED, NO_VERDICT):
            return f"it was not looked at {_where(place)}"
    return ""


def _where(nodes: Nodes) -> str:
    known = list(dict.fromkeys(filter(None, nodes)))
    if len(known) == 2:
        return f"from {known[0]} to {known[1]}"
    return f"on {known[0]}" if known else "on the same nodes"


def _about(changes: Iterable[Change], connections: Iterable[Connection]) -> tuple[str, ...]:
    """Those of ``changes`` that may have to do with ``connections``."""
    ends = {end for connection in connections for end in (connection.source, connection.destination)}
    namespaces = {end.partition("/")[0] for end in ends}
    return tuple(change.text for change in changes if change.concerns(namespaces, ends))


def _standing_intent(found: NightFinding, past: Sequence[Night], changes: Sequence[Change]) -> Standing:
    known = _latest_intent(past)
    mine = [each for each in known or () if (each.kind, each.reason) == (found.kind, found.reason)]
    before = {line for each in mine for line in each.evidence}
    news = [line for line in found.evidence if line not in before]
    age = Age.INCOMPARABLE if known is None else Age.NEW
    ages = Counter({age: len(news) or (not mine), Age.KNOWN: len(found.evidence) - len(news)})
    if not +ages:
        ages = Counter({Age.KNOWN: 1})
    return Standing(
        finding_id(found.kind, found.reason),
        found.kind,
        found.title,
        +ages,
        fingerprint(found.evidence),
        examples=tuple(news[:MOST_EXAMPLES]),
        changes=tuple(change.text for change in changes if change.is_policy) if news else (),
    )


def _latest_intent(past: Iterable[Night]) -> tuple[NightFinding, ...] | None:
    findings = (night.surroundings.intent for night in past if night.surroundings is not None)
    return next((each for each in findings if each is not None), None)


def _departed_intent(night: Night, past: Sequence[Night], changes: Sequence[Change]) -> Iterator[Departed]:
    now = None if night.surroundings is None else night.surroundings.intent
    kept = {(each.kind, each.reason) for each in now or ()}
    for each in _latest_intent(past) or ():
        if (each.kind, each.reason) not in kept:
            yield Departed(
                finding_id(each.kind, each.reason),
                each.kind,
                each.title,
                Age.INCOMPARABLE if now is None else Age.GONE,
                past[0].began,
                ("no intent was given",) if now is None else (),
                tuple(change.text for change in changes if change.is_policy),
            )
