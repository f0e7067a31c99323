"""Why a pod that is not in the input can or can't talk to one that is: by the rules on the side of the latter.

Such a pod is what a selector in a rule asks for, under the name that ``audit expect`` gives it. The policies on its own
side are not known, and what they forbid does not count.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

from auditor.model.errors import UsageError
from auditor.model.policy import Direction, NetworkPolicy
from auditor.model.ports import PortRequest, Protocol
from auditor.model.reasons import Side, policy_place
from auditor.model.snapshot import Endpoint, EndpointKind, Family, Snapshot
from auditor.model.verdict import Cell, Verdict
from auditor.model.words import in_brief
from auditor.policy.absent_peers import AbsentPeer, Admission, Opening, absent_peers
from auditor.policy.atoms import PortAtoms, cut_atoms, policy_ports, port_names
from auditor.policy.explain import Decision
from auditor.policy.services import behind
from auditor.policy.tiers import Judgement, TierAnswer
from auditor.policy.traits import admin_ports
from auditor.run.explanation import Explained, Explanation
from auditor.run.service_connections import ServiceQuestion

TIER = "NetworkPolicy"
MOST_NAMED = 3


def absent_peer_called(snapshot: Snapshot, text: str) -> AbsentPeer | None:
    """The pods, not in ``snapshot``, that ``text`` means, such as ``[pods app=prometheus in namespaces team=obs]``;
    None where it doesn't look like any. Raises UsageError where no rule has such a peer.
    """
    if not text.startswith("["):
        return None
    known = {str(peer): peer for peer, _ in absent_peers([snapshot])}
    if text in known:
        return known[text]
    there = in_brief([repr(name) for name in known], MOST_NAMED) if known else "none"
    raise UsageError(f"no rule opens anything to {text}; pods that rules name and the input doesn't have: {there}")


def explain_absent(
    snapshot: Snapshot, source: Endpoint | AbsentPeer, destination: Endpoint | AbsentPeer | str, port: PortRequest
) -> Explanation:
    """Why ``source`` can or can't reach ``destination``, an endpoint or the full name of a Service, on ``port``, where
    one of them is not in ``snapshot``.

    Raises UsageError where neither is, for a Service that leads nowhere, and for a port that has no number at the
    destination.
    """
    if isinstance(source, AbsentPeer) and not isinstance(destination, AbsentPeer):
        service = _service_asked_for(snapshot, source, destination, port)
        if service is not None:
            return _to_service(service, source)
    if isinstance(source, Endpoint) and isinstance(destination, AbsentPeer):
        question = _Question(snapshot, source, destination, Direction.EGRESS)
    elif isinstance(source, AbsentPeer) and isinstance(destination, Endpoint):
        question = _Question(snapshot, destination, source, Direction.INGRESS)
    else:
        raise UsageError(f"{source} and {destination}: one of the two has to be in the input")
    explained = tuple(question.explained(port.protocol, number) for number in question.numbers(port))
    return Explanation(explained, left_out=snapshot.left_out)


def _service_asked_for(
    snapshot: Snapshot, source: AbsentPeer, destination: Endpoint | str, port: PortRequest
) -> ServiceQuestion | None:
    """The Service that is meant by its name, or by a node or address that leads to it, asked for by ``source``."""
    asking = Endpoint(str(source), EndpointKind.POD, source.namespace)
    if isinstance(destination, str):
        return ServiceQuestion.by_name(snapshot, asking, destination, port)
    found = behind(snapshot, destination, port)
    return None if found is None else ServiceQuestion(snapshot, asking, found[0], found[1], destination)


def _to_service(asked: ServiceQuestion, source: AbsentPeer) -> Explanation:
    """What becomes of a connection to a Service: to each backend, whose policies see the source itself unless the way
    leads through a node.
    """
    through = asked.at.name if asked.at is not None and not asked.at.selectable else "a node" if asked.by_node else ""
    hidden = f"the way leads through {through}, whose address policies may see as the source" if through else ""
    ends = {endpoint.name: endpoint for endpoint in asked.snapshot.endpoints}
    explained = []
    for cell in asked.cells:
        question = _Question(asked.snapshot, ends[cell.destination], source, Direction.INGRESS)
        each = question.explained(cell.protocol, cell.port)
        explained.append(replace(each, doubt=each.doubt or hidden))
    return Explanation(tuple(explained), asked.answer, asked.snapshot.left_out)


@dataclass(frozen=True)
class _Question:
    """What ``pod`` admits of ``peer`` (INGRESS), or may send to it (EGRESS)."""

    snapshot: Snapshot
    pod: Endpoint
    peer: AbsentPeer
    direction: Direction

    @property
    def other(self) -> Direction:
        """The direction in which the policies on the side of the peer count."""
        return self.direction.opposite

    @cached_property
    def atoms(self) -> PortAtoms:
        items = [*policy_ports(self.snapshot.policies), *admin_ports(self.snapshot.admin_policies)]
        return cut_atoms(items, port_names(items), self.snapshot.endpoints)

    @cached_property
    def admission(self) -> Admission:
        return Admission(self.snapshot, self.atoms)

    @cached_property
    def opening(self) -> Opening:
        return self.admission.between(self.pod, self.peer, self.direction)

    @cached_property
    def isolating(self) -> tuple[NetworkPolicy, ...]:
        policies = self.snapshot.policies
        return tuple(each for each in policies if self.direction in each.directions and self.pod.is_selected_by(each))

    def numbers(self, port: PortRequest) -> tuple[int, ...]:
        """What ``port`` is at the destination. Raises UsageError where nobody knows."""
        listener = self.pod if self.direction is Direction.INGRESS else None
        if not port.name:
            return (port.number,)
        numbers = listener.resolve(port.protocol, port.name) if listener else ()
        if not numbers:
            whose = listener.name if listener else str(self.peer)
            raise UsageError(f"which {port.protocol} port {whose} calls {port.name!r} is not known: give its number")
        return numbers

    def explained(self, protocol: Protocol, number: int) -> Explained:
        ends = (str(self.peer), self.pod.name)
        source, destination = ends if self.direction is Direction.INGRESS else ends[::-1]
        cell = Cell(source, destination, protocol, number, next(iter(self.pod.families), Family.IPV4))
        atom = 1 << self.atoms.index(protocol, number)
        allowed = bool(self.opening.certain & atom)
        answer = TierAnswer.ACCEPT if allowed else TierAnswer.DENY
        unknown = f"which policies there are for {self.peer} is not known; what they forbid does not count"
        chain = {
            self.direction: (Judgement(TIER, answer, tuple(self._reasons(atom))),),
            self.other: (Judgement(TIER, TierAnswer.NEXT, (f"{self.other.lower()}: {unknown}",)),),
        }
        sides = {each: Side(each, self.pod.name if each is self.direction else str(self.peer)) for each in Direction}
        verdict = Verdict.ALLOWED if allowed else Verdict.DENIED
        decision = Decision(cell, verdict, sides[Direction.EGRESS], sides[Direction.INGRESS], chain=chain)
        return Explained(decision, (), self._doubt(atom))

    def _reasons(self, atom: int) -> list[str]:
        side = self.direction.lower()
        if not self.opening.certain & atom:
            named = in_brief([policy_place(policy) for policy in self.isolating], MOST_NAMED)
            by = f"is isolated by {named}" if named else "may be isolated"
            sure = "is sure to allow" if self.opening.possible & atom else "allows"
            return [f"{side}: {self.pod.name} {by}, and no rule {sure} it"]
        if not self.isolating:
            return [f"{side}: no policy isolates {self.pod.name}"]
        return [text for opened, text in self.opening.rules if opened & atom]

    def _doubt(self, atom: int) -> str:
        _, doubtful = self.admission.verdicts(self.pod, self.peer, self.direction)
        if not doubtful & atom:
            return ""
        if not self.opening.certain & atom:
            return f"whether a rule or a policy counts hangs on what the input does not say of {self.peer}"
        policies = [policy_place(each) for each in self.admission.isolating(self.peer, self.other)]
        return f"{in_brief(policies, MOST_NAMED)} may isolate {self.peer}, whose other labels are not known"
