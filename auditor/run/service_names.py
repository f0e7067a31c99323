"""What the cluster's DNS says of the names of Services, asked as workloads ask: from audited pods that policies let
reach it, at the address in resolv.conf.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from ipaddress import ip_address
from typing import NamedTuple

from auditor.model.dns_seen import LookupCell, LookupExpectation, LookupResult
from auditor.model.snapshot import Service
from auditor.model.verdict import Observed, Result, Verdict
from auditor.model.words import in_brief, pluralize
from auditor.probing.attempts import AttemptResult
from auditor.probing.batches import HALF_ANSWERED
from auditor.probing.lookup_run import LookupOutcome, LookupTry
from auditor.probing.sites import ProbeSite
from auditor.run.lookups import Standing, judged_lookup

HALF_TOLD = "one of two questions got no answer, and the other has no address"


@dataclass(frozen=True, slots=True)
class NamesAsked:
    """The lookups of names of Services: ``demands`` has what policies say of each that is tried, ``services`` whose
    name it is, and ``denied`` why policies keep ``cut_off`` audited pods from asking.
    """

    demands: Mapping[LookupCell, LookupExpectation]
    services: Mapping[LookupCell, Service]
    tries: tuple[LookupTry, ...]
    cut_off: int = 0
    denied: tuple[str, ...] = ()

    @property
    def named(self) -> dict[str, str]:
        """The Service of each name, as ``NAMESPACE/NAME``."""
        return {cell.name: each.place for cell, each in self.services.items()}

    def judged(self, outcome: LookupOutcome, state: Standing) -> Iterator[LookupResult]:
        """What came of each that was tried, as things stand."""
        for cell, expected in self.demands.items():
            plain = judged_lookup(cell, expected, outcome, state)
            answers = outcome.answers.get(cell, ())
            is_answered = plain.observation.verdict is Observed.ALLOWED and bool(answers)
            yield judged_name(plain, answers, self.services[cell]) if is_answered else plain

    def facts(self) -> Iterator[str]:
        if self.denied:
            pods = pluralize(self.cut_off, "pod")
            yield f"from {pods} no Service's name was looked up: {in_brief(self.denied, 2)}"


def names_asked(
    asked: Sequence[tuple[ProbeSite, LookupCell]],
    proving: Sequence[tuple[ProbeSite, LookupCell]],
    services: Sequence[Service],
    domain: str,
    expectation: Callable[[LookupCell], LookupExpectation],
) -> NamesAsked:
    """The lookups of the names of ``services`` in ``domain`` by those of ``asked`` whom policies let reach the DNS;
    those of ``proving`` show that it answers.
    """
    demands, of, tries, denied = {}, {}, [], {}
    for site, plain in asked:
        expected = expectation(plain)
        if expected.demanded is Verdict.DENIED:
            denied[site.name] = expected.why
            continue
        for service in services:
            cell = plain._replace(name=name_of(service, domain))
            demands[cell], of[cell] = expected, service
            tries.append(LookupTry(cell, expected.demanded, site, expected.behind))
    proofs = [
        LookupTry(plain._replace(name=name_of(service, domain)), None, site, judged=False)
        for site, plain in proving
        for service in services[:1]
    ]
    return NamesAsked(
        demands, of, (*tries, *(proofs if tries else ())), len(denied), tuple(dict.fromkeys(denied.values()))
    )


def name_of(service: Service, domain: str) -> str:
    """The name by which workloads know ``service``."""
    return f"{service.name}.{service.namespace}.svc.{domain}"


def judged_name(plain: LookupResult, answers: Sequence[AttemptResult], service: Service) -> LookupResult:
    """``plain``, a lookup that was answered, with what ``answers`` make of it: they ought to name the ClusterIPs of
    ``service``, whatever policies say.
    """
    said = [each for each in (_said(one, service) for one in answers) if each is not None]
    wrong = [each for each in said if not each.is_right]
    verdict, told, result = Observed.ALLOWED, "", Result.MATCH
    if not said:
        verdict, told, result = Observed.INCONCLUSIVE, HALF_TOLD, Result.INCONCLUSIVE
    elif not wrong:
        told = f"resolves to {in_brief(said[0].addresses, 2)}"
    elif len(wrong) < len(said):
        told, result = f"{len(said) - len(wrong)} of {len(said)} times as it should, else {wrong[0]}", Result.UNSTABLE
    elif any(each.addresses for each in wrong):
        verdict, told, result = Observed.MISDELIVERED, str(max(wrong, key=_has_any)), Result.MISDELIVERED
    else:
        verdict, told, result = Observed.REFUSED, str(wrong[0]), Result.OUTAGE
    return replace(plain, observation=replace(plain.observation, verdict=verdict, outcome=told), result=result)


class _Said(NamedTuple):
    """One answer: the addresses in it, and those that it ought to name."""

    addresses: tuple[str, ...]
    own: tuple[str, ...]
    code: str

    @property
    def is_right(self) -> bool:
        return bool(self.addresses) and set(self.addresses) <= set(self.own)

    def __str__(self) -> str:
        if self.addresses:
            return f"resolves to {in_brief(self.addresses, 2)}, and its ClusterIP is {in_brief(self.own, 2)}"
        return f"the DNS answers {self.code}" if self.code else "the DNS has no address of it"


def _has_any(said: _Said) -> bool:
    return bool(said.addresses)


def _said(one: AttemptResult, service: Service) -> _Said | None:
    """What ``one`` says of ``service``; None where half of it is missing, and the other half says nothing."""
    families = {address.version for address in service.cluster_ips}
    # What is made up for the other family (DNS64) is left alone, where there is an address of its own family, too.
    alike = tuple(each for each in one.addresses if ip_address(each).version in families)
    code = one.outcome.partition(": ")[2]
    if not (one.addresses or code) and one.outcome.startswith(HALF_ANSWERED):
        return None
    return _Said(alike or one.addresses, tuple(map(str, service.cluster_ips)), code)
