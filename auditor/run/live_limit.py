"""How many probe pods an audit may create at most, and what is said where it would be more.

Every policy of the cluster has a say in that number, those of tenants too: one of a few lines can tell the pods of all
namespaces apart, and each of these needs a probe pod beside the real ones.
"""

from __future__ import annotations

from collections.abc import Sequence

from auditor.model.errors import LimitError
from auditor.model.probe_pod import ProbePod
from auditor.model.snapshot import Snapshot
from auditor.model.words import pluralize
from auditor.probe_pods.choice import Mode, ProbeRequest
from auditor.probe_pods.class_counts import ClassCounts

COUNTED_TO = 20
"""How far beyond the limit classes are counted, as a multiple of it."""
OPTIONS = {Mode.PER_NODE: "--per-node", Mode.ALL_PODS: "--all-pods"}
TOLD_APART = "the policies in force tell too many groups of pods apart"
MORE = "allow more with --max-probe-pods"


def exceeds(snapshot: Snapshot, limit: int) -> bool:
    """Whether one probe pod for each class would be more than ``limit``."""
    counts = ClassCounts(snapshot, snapshot.endpoints, limit)
    return counts.tally.more or counts.tally.number > limit


def check_classes(snapshot: Snapshot, request: ProbeRequest, limit: int, *, in_place: bool) -> None:
    """Raise LimitError where ``request`` is certain to need more than ``limit`` pods, be they created or joined
    (``in_place``).

    This is known before any class is compared with any other.
    """
    audited = [endpoint for endpoint in snapshot.endpoints if request.audits(endpoint)]
    counts = ClassCounts(snapshot, audited if in_place else snapshot.endpoints, limit * COUNTED_TO)
    if counts.tally.number > limit or counts.tally.more:
        raise LimitError(
            _too_many(
                _size(str(counts.tally), counts.namespaces, in_place=in_place), limit, _blame(counts, in_place=in_place)
            )
        )
    usable = [endpoint for endpoint in audited if request.can_use(endpoint.node)]
    if request.mode is Mode.ALL_PODS and len(usable) > limit:
        namespaces = len({endpoint.namespace for endpoint in usable})
        raise LimitError(
            _too_many(_size(f"{len(usable):,}", namespaces, in_place=in_place), limit, _asked_for(request.mode))
        )
    if in_place and (everything := ClassCounts(snapshot, snapshot.endpoints, limit * COUNTED_TO)).tally.more:
        what = f"this audit would be about {everything.tally} groups of pods"
        raise LimitError(_too_many(what, limit, _blame(everything, in_place=False), COUNTED_TO))


def check_number(probes: Sequence[ProbePod], request: ProbeRequest, limit: int, *, in_place: bool = False) -> None:
    """Raise LimitError where ``probes``, which ``request`` needs, are more than ``limit``."""
    if len(probes) > limit:
        namespaces = len({probe.namespace for probe in probes})
        raise LimitError(_too_many(_size(f"{len(probes):,}", namespaces, in_place=in_place), limit, _why(request.mode)))


def _size(number: str, namespaces: int, *, in_place: bool) -> str:
    what = f"put an ephemeral container into {number} pods" if in_place else f"create {number} probe pods"
    return f"this audit would {what} in {pluralize(namespaces, 'namespace')}"


def _too_many(what: str, limit: int, why: str, times: int = 1) -> str:
    return f"{what}, more than {f'{times} times ' if times > 1 else ''}--max-probe-pods {limit}: {why}"


def _why(mode: Mode) -> str:
    if mode is Mode.TWO_PER_CLASS:
        return f"a second one shows what pods of one group send each other; leave it out by --one-per-class, or {MORE}"
    return _asked_for(mode) if mode in OPTIONS else f"{TOLD_APART}; {MORE}"


def _asked_for(mode: Mode) -> str:
    return f"{OPTIONS[mode]} asks for them; narrow it down by -n or -l, leave {OPTIONS[mode]} out, or {MORE}"


def _blame(counts: ClassCounts, *, in_place: bool) -> str:
    """Whose doing it is, and what to do."""
    found = counts.culprit()
    narrower = "narrow it down by -n or -l, or " if in_place else ""
    if found is None:
        return f"{TOLD_APART}; {narrower}{MORE}"
    labels = f", by the {'labels' if len(found.keys) > 1 else 'label'} {' and '.join(found.keys)}" if found.keys else ""
    if found.policy:
        who, it, change = f"policy {found.namespace}/{found.policy} tells", "it", "have it changed"
    else:
        who, it, change = f"the policies of namespace {found.namespace} tell", "them", "have them changed"
    return (
        f"{who} too many pods apart{labels}: without {it} there would be {found.without}; {change}, "
        f"{narrower or 'or '}{MORE}"
    )
