"""What tests say: ``netpol("shop/web").reaches("shop/db", 5432)``.

An answer is true where it is reached and false where it is denied. Where it is neither, asking raises: nothing that is
not known passes for a denial.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from auditor.model.checks import Answer, Check, ExpectedCheck, Outcome, RulesResult
from auditor.model.errors import AuditError, UsageError
from auditor.model.ports import PortRequest
from auditor.model.snapshot import Snapshot
from auditor.model.verdict import Conclusion
from auditor.testing import asked
from auditor.testing.backends import Backend
from auditor.testing.intents import check_rules, expected_in, read_intent_at
from auditor.testing.questions import ends_called, possible_sources

MOST_SHOWN = 10


class InconclusiveError(AuditError):
    """Nothing certain is known, so that neither ``reaches`` nor ``not reaches`` holds."""


class NetpolWarning(UserWarning):
    """A check came out as its test wants, though packets went otherwise than the policies demand."""


class Reached:
    """The answer to one check, to be asserted: true where reached, false where denied.

    Raises InconclusiveError, when asked, where it is neither.
    """

    def __init__(self, answer: Answer) -> None:
        self.answer = answer

    @property
    def outcome(self) -> Outcome:
        return self.answer.outcome

    def __bool__(self) -> bool:
        __tracebackhide__ = True
        asked.note(self.answer)
        return require_known(self.answer) is Outcome.REACHED

    def __repr__(self) -> str:
        return f"<{self.answer.headline}>"

    def __str__(self) -> str:
        return "\n".join(self.answer.lines)


class ReachedBy:
    """Who reaches a destination, held against who alone should; to be asserted.

    Raises InconclusiveError, when asked, where nothing certain is known of somebody.
    """

    def __init__(self, wrong: Sequence[Answer], unknown: Sequence[Answer], right: Sequence[Answer]) -> None:
        self.wrong = tuple(wrong)
        self._unknown = tuple(unknown)
        self._right = tuple(right)

    def __bool__(self) -> bool:
        __tracebackhide__ = True
        for answer in (*self._right, *self._unknown, *self.wrong):
            asked.note(answer)
        if self.wrong:
            return False
        for answer in self._unknown:
            raise InconclusiveError(*answer.lines)
        return True

    def __repr__(self) -> str:
        if not self.wrong:
            return f"<reached by these only: {len(self._right)} sources tried>"
        listed = ", ".join(f"{each.check.source} is {each.outcome}" for each in self.wrong[:MOST_SHOWN])
        return f"<not reached by these only: {listed}>"


class Subject:
    """One end of connections: a pod, a workload, a Service, labels or a host, by its name."""

    def __init__(self, netpol: Netpol, name: str) -> None:
        self._netpol = netpol
        self.name = name

    def __repr__(self) -> str:
        return f"<subject {self.name}>"

    def reaches(self, destination: str, port: int | str) -> Reached:
        """Whether it reaches ``destination`` on ``port``: 5432, ``UDP/53`` or ``TCP/http``."""
        return Reached(self._netpol.answers([check_of(self.name, destination, port)])[0])

    def reached_by_only(self, *sources: str, port: int | str) -> ReachedBy:
        """Whether ``sources`` reach it on ``port``, and no other pod, host or address that is known."""
        return self._netpol.reached_by_only(self.name, sources, port)


class Netpol:
    """Questions about one cluster, answered by ``backend``."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    def __repr__(self) -> str:
        return f"<netpol {self._backend.made_on}>"

    def __call__(self, name: str) -> Subject:
        """The subject called ``name``, as ``audit explain`` takes names: ``shop/web``, ``svc/shop/db``, ``app=web``."""
        return Subject(self, name)

    def answers(self, checks: Sequence[Check]) -> Sequence[Answer]:
        """The answers to ``checks``, all made together."""
        return self._backend.answers(checks)

    def expecting(self, checks: Iterable[Check] = (), *, ports: Iterable[int | str] = ()) -> None:
        """Have what is made next try ``checks`` as well, and ``ports`` everywhere, so that they cost nothing later."""
        remember = getattr(self._backend, "expecting", None)
        if remember is not None:
            remember(tuple(checks), tuple(map(port_of, ports)))

    def forget(self) -> None:
        """Have the next question make an audit anew, where one was made: something has changed in the cluster."""
        forget = getattr(self._backend, "forget", None)
        if forget is not None:
            forget()

    def reached_by_only(self, destination: str, sources: Sequence[str], port: int | str) -> ReachedBy:
        """As ``Subject.reached_by_only``."""
        wanted = self.answers([check_of(source, destination, port) for source in sources])
        snapshot = self._backend.everybody()
        named = {end for source in sources for end in _names(snapshot, source)}
        others = [end.name for end in possible_sources(snapshot, destination) if end.name not in named]
        rest = self.answers([check_of(name, destination, port) for name in others])
        wrong = [each for each in wanted if each.outcome is Outcome.DENIED]
        wrong += [each for each in rest if each.outcome is Outcome.REACHED]
        answers = [*wanted, *rest]
        unknown = [each for each in answers if each.outcome is Outcome.INCONCLUSIVE]
        right = [each for each in answers if each not in wrong and each not in unknown]
        return ReachedBy(wrong, unknown, right)

    def matrix(self, sources: Iterable[str], destinations: Iterable[str], ports: Iterable[int | str]) -> dict[str, str]:
        """``reached`` or ``denied`` for each connection between these, by ``SOURCE->DESTINATION:PORT``, to be compared.

        An end and itself are left out. Raises InconclusiveError where one is neither.
        """
        __tracebackhide__ = True
        ends, wanted = list(destinations), list(ports)
        checks = [check_of(source, end, port) for source in sources for end in ends if end != source for port in wanted]
        if not checks:
            raise UsageError("a matrix without a connection says nothing")
        found = {}
        for answer in self.answers(checks):
            asked.note(answer)
            found[answer.check.id] = str(require_known(answer))
        return found

    def assert_expected(self, *expected: ExpectedCheck) -> None:
        """Fail unless each check comes out as it is expected. Raises InconclusiveError where one is not known."""
        __tracebackhide__ = True
        answers = self.answers([each.check for each in expected])
        for answer in answers:
            asked.note(answer)
        wrong = [
            (each, answer)
            for each, answer in zip(expected, answers, strict=True)
            if answer.outcome not in (each.wanted, Outcome.INCONCLUSIVE)
        ]
        if wrong:
            raise AssertionError("\n".join(line for each, answer in wrong for line in _unmet(each, answer)))
        for answer in answers:
            require_known(answer)

    def assert_intent(self, path: str | Path) -> None:
        """Fail unless the policies are what the intent in ``path`` means, and each connection that it expects is so."""
        __tracebackhide__ = True
        intent = read_intent_at(path)
        if intent.expect:
            self.assert_expected(*intent.expect)
        if intent.rules:
            self._assert_rules(check_rules(intent, self._backend.snapshot()))

    @staticmethod
    def _assert_rules(result: RulesResult) -> None:
        __tracebackhide__ = True
        if result.conclusion is Conclusion.FAIL:
            raise AssertionError(f"the policies are not what {result.file} means:\n" + "\n".join(result.findings))
        if result.conclusion is Conclusion.INCONCLUSIVE:
            raise InconclusiveError(
                f"{result.file}: whether the policies are what it means is in doubt", *result.doubts
            )

    def assert_no_findings(self, *namespaces: str) -> None:
        """Fail for what an audit finds about ``namespaces`` (none: all), and on manifests for what lint finds.

        Raises InconclusiveError where something could not be found out.
        """
        __tracebackhide__ = True
        remarks = self._backend.remarks(namespaces)
        if remarks.findings:
            more = len(remarks.findings) - MOST_SHOWN
            shown = [*remarks.findings[:MOST_SHOWN], *([f"and {more} more"] if more > 0 else [])]
            raise AssertionError(f"{len(remarks.findings)} findings {self._backend.made_on}:\n" + "\n".join(shown))
        if remarks.unknown:
            raise InconclusiveError(
                f"no finding {self._backend.made_on}, but not everything is known", *remarks.unknown
            )

    @contextmanager
    def applied(self, path: str | Path) -> Iterator[Netpol]:
        """The policies in the file ``path`` in force beside the others, until the block ends."""
        with self._backend.applied(str(path)):
            yield self


def require_known(answer: Answer) -> Outcome:
    """Its outcome. Raises InconclusiveError for one that is none; warns where packets went otherwise than the policies
    demand.
    """
    __tracebackhide__ = True
    if answer.outcome is Outcome.INCONCLUSIVE:
        raise InconclusiveError(*answer.lines)
    if answer.differs:
        warnings.warn(
            f"{answer.headline}, and not as the policies demand ({answer.expected})", NetpolWarning, stacklevel=3
        )
    return answer.outcome


def check_of(source: str, destination: str, port: int | str) -> Check:
    """The check that these say. Raises UsageError for a port that is none."""
    return Check(source, destination, port_of(port))


def port_of(port: int | str) -> PortRequest:
    """The port that ``port`` says. Raises UsageError where it is none."""
    try:
        return PortRequest.parse(str(port))
    except ValueError as error:
        raise UsageError(str(error)) from None


def netpol_cells(path: str | Path) -> tuple[str, list[Any]]:
    """What ``@pytest.mark.parametrize(*netpol_cells("intent.yaml"))`` takes: a parameter ``netpol_cell`` for each
    connection that the file expects. Raises UsageError where it expects none: nothing would be tested.
    """
    import pytest  # noqa: PLC0415 - only suites that use it have it

    return "netpol_cell", [
        pytest.param(each, id=f"{each.check.id}-{each.verdict}") for each in expected_in(read_intent_at(path))
    ]


def _unmet(expected: ExpectedCheck, answer: Answer) -> list[str]:
    name = f" ({expected.name})" if expected.name else ""
    return [f"{expected.place}{name}: {expected.check} must be {expected.verdict}", *(f"  {x}" for x in answer.lines)]


def _names(snapshot: Snapshot, name: str) -> set[str]:
    return {end.name for end in ends_called(snapshot, name)}
