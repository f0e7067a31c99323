"""What changes between two clusters, as ``audit diff`` tells it: the words that its formats share."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from auditor.model.ports import EVERY_PORT, FIRST_PORT, LAST_PORT, PortRange, Protocol, numbers_in_words
from auditor.model.verdict import Conclusion, Note
from auditor.model.words import in_brief, pluralize
from auditor.policy.differences import Change, ChangeKind, Difference

MOST_NAMES = 10
MOST_LINES = 50
"""So many changes of one kind are told to people; programs get them all."""
MOST_REASONS = 4
TITLES = {
    ChangeKind.OPENED: "Opened",
    ChangeKind.CLOSED: "Closed",
    ChangeKind.IN_DOUBT: "In doubt (may open or close)",
}

DOUBTS: Mapping[str, str] = {
    Note.ADDRESS_UNKNOWN: "an ipBlock may cover an address that the input does not give",
    Note.CNI_DEPENDENT: "an ipBlock covers an address inside the cluster, which is up to the CNI",
    Note.LABELS_UNKNOWN: "depends on labels that are not in the input",
    Note.UNDEFINED: "undefined for hostNetwork pods, and where policies with one priority differ",
}


class FailOnChange(StrEnum):
    """Which changes make the command fail."""

    NOTHING = "nothing"
    OPENED = "opened"
    CLOSED = "closed"
    ANY = "any"
    """What opens or closes."""


@dataclass(frozen=True, slots=True)
class ComparedClusters:
    """``difference`` is what changes from ``old`` to ``new``, both in words."""

    old: str
    new: str
    difference: Difference
    fail_on: FailOnChange

    @property
    def conclusion(self) -> Conclusion:
        """A change that fails is one whatever else is in doubt. Where nothing was compared, nothing is known."""
        pairs = self.difference.pairs
        opened, closed = pairs[ChangeKind.OPENED], pairs[ChangeKind.CLOSED]
        failing = {
            FailOnChange.NOTHING: 0,
            FailOnChange.OPENED: opened,
            FailOnChange.CLOSED: closed,
            FailOnChange.ANY: opened + closed,
        }[self.fail_on]
        if failing:
            return Conclusion.FAIL
        unsure = self.difference.unsure or pairs[ChangeKind.IN_DOUBT] or not self.difference.compared
        return Conclusion.INCONCLUSIVE if unsure else Conclusion.PASS

    def of_kind(self, kind: ChangeKind) -> list[Change]:
        """The changes of one kind."""
        return [change for change in self.difference.changes if change.kind is kind]


def headline(compared: ComparedClusters) -> str:
    """The difference in one sentence."""
    difference = compared.difference
    opened, closed, doubtful = (
        difference.pairs[kind] for kind in (ChangeKind.OPENED, ChangeKind.CLOSED, ChangeKind.IN_DOUBT)
    )
    total = pluralize(difference.compared, "workload or endpoint", "workloads and endpoints")
    return (
        f"connections opened between {pluralize(opened, 'pair')} of endpoints, closed between {closed:,}, in doubt "
        f"between {doubtful:,} ({total} compared)"
    )


def others(compared: ComparedClusters) -> list[str]:
    """What else is different, a line for each: workloads and policies that come, go or change."""
    difference = compared.difference
    lines = [
        f"{title}: {listed(names)}"
        for title, names in (
            ("Workloads only in the new input", difference.workloads.added),
            ("Workloads only in the old input", difference.workloads.removed),
            ("Policies added", difference.policies.added),
            ("Policies removed", difference.policies.removed),
            ("Policies changed", difference.policies.changed),
        )
        if names
    ]
    if not difference.compared:
        lines.append("Nothing was compared: no workload is in both.")
    elif difference.workloads.added or difference.workloads.removed:
        lines.append("Connections of workloads that are only in one of the two are not compared.")
    return lines


def listed(names: Sequence[str]) -> str:
    """``names`` in one line, the first of them where there are too many to read."""
    return in_brief(names, MOST_NAMES)


def ports_in_words(change: Change) -> str:
    """``TCP/80,8000-8080 UDP/53``, with the families where it is not so in all of them."""
    if is_every_port(change.ports):
        words = EVERY_PORT
    else:
        by_protocol: dict[Protocol, list[str]] = {}
        for ports in change.ports:
            by_protocol.setdefault(ports.protocol, []).append(numbers_in_words(ports.first, ports.last))
        words = " ".join(f"{protocol}/{listed_ports(ranges)}" for protocol, ranges in by_protocol.items())
    return words + (f" ({', '.join(map(str, change.families))})" if change.families else "")


def listed_ports(ranges: Sequence[str]) -> str:
    """Ranges of ports of one protocol, the first of them where there are very many."""
    return ",".join(ranges[:MOST_NAMES]) + (f" and {len(ranges) - MOST_NAMES:,} more" * (len(ranges) > MOST_NAMES))


def is_every_port(ports: Iterable[PortRange]) -> bool:
    """Whether ``ports`` are all ports of all protocols."""
    return sum((each.first, each.last) == (FIRST_PORT, LAST_PORT) for each in ports) == len(Protocol)


def reasons(change: Change) -> list[str]:
    """Why, a line each: what makes it doubtful, then the rules behind it, the first of them where there are many."""
    lines = [*(f"in doubt: {DOUBTS.get(doubt, doubt)}" for doubt in change.doubts), *change.because[:MOST_REASONS]]
    left = len(change.because) - MOST_REASONS
    return [*lines, f"and {left} more, see -o json"] if left > 0 else lines


def left_out(compared: ComparedClusters, kind: ChangeKind) -> str:
    """That more changes are not told, empty where all of them are."""
    left = len(compared.of_kind(kind)) - MOST_LINES
    return f"and {left:,} more; -o json has them all" if left > 0 else ""
