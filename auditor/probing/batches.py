"""Batches of attempts as the agents' wire format has them (see ``probes.agent``), and their results."""

from __future__ import annotations

import itertools
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from ipaddress import ip_address
from typing import Any, NamedTuple

from auditor.model.ports import Protocol
from auditor.model.printable import printable
from auditor.probing.attempts import Answer, AttemptId, AttemptResult, Origin
from auditor.probing.keys import RunKey

_NUMBERS = itertools.count(secrets.randbits(32))
"""Batches are told apart by nonces that begin with their names, so names are counted: drawn ones would meet now and
then.
"""

WIRE_PROTOCOLS = {Protocol.TCP: "tcp", Protocol.UDP: "udp"}


class Target(NamedTuple):
    """One attempt: where it goes, and the identity that has to answer; without one, a completed TCP handshake is all
    that is wanted or, with a name to ``lookup``, a response of the DNS server there.
    """

    address: str
    protocol: Protocol
    port: int
    identity: str | None
    lookup: str = ""


class Attempt(NamedTuple):
    """What one agent is to try: the names of its site and of the one that it tries to reach, and the target."""

    source: str
    destination: str
    target: Target


class Loss(NamedTuple):
    """Packets as their source saw them: ``sent`` SYNs and datagrams for attempts that were answered, ``lost`` those
    sent in vain.
    """

    sent: int = 0
    lost: int = 0


class BadAnswerError(Exception):
    """An agent's line that its wire format doesn't know; the text quotes it."""


WRONG_IDENTITY = "wrong-identity"
ANSWERED, HALF_ANSWERED = "answered", "half-answered"
"""Outcomes of lookups: all questions were answered, or one of the two that went out from one socket at once."""
MOST_ADDRESSES = 16
"""As many as an agent tells of one lookup at most."""
NOTHING: Mapping[str, Any] = {}
LONGEST_WORDS = 200
LONGEST_SECONDS = 24 * 3600.0
"""What no time that an agent measures can exceed."""
LARGEST_COUNT = 1 << 53


def number(message: Mapping[str, Any], key: str, most: float) -> float | None:
    """The number at ``key``, from 0 to ``most``; None when there is no such number."""
    value = message.get(key)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= most:
        return None
    return float(value)


def count(message: Mapping[str, Any], key: str) -> int | None:
    """The count at ``key``; None when there is none."""
    value = message.get(key)
    return value if type(value) is int and 0 <= value <= LARGEST_COUNT else None


def words(text: str) -> str:
    """What an agent says, fit for people: at most 200 characters, all of them printable. Raises TypeError where it is
    no text.
    """
    if not isinstance(text, str):
        raise TypeError("no text")
    text = printable(text[: LONGEST_WORDS + 1])
    return text if len(text) <= LONGEST_WORDS else text[: LONGEST_WORDS - 1] + "…"


def _milliseconds(microseconds: object) -> float:
    value = number({"microseconds": microseconds}, "microseconds", LONGEST_SECONDS * 1e6)
    if value is None:
        raise ValueError("microseconds that make no sense")
    return value / 1000


def origin(address: object, port: object) -> Origin:
    """A socket as an agent reports it. Raises TypeError or ValueError where it is not one."""
    return Origin(_address(address), port_number(port))


def port_number(port: object) -> int:
    """A port as an agent reports it. Raises ValueError where it is not one."""
    if type(port) is not int or not 0 < port < 1 << 16:
        raise ValueError("no port")
    return port


def _address(text: object) -> str:
    if not isinstance(text, str):
        raise TypeError("no address")
    return _normal(text)


def _addresses(texts: object) -> tuple[str, ...]:
    if not isinstance(texts, (list, tuple)) or len(texts) > MOST_ADDRESSES:
        raise TypeError("no addresses")
    return tuple(dict.fromkeys(map(_address, texts)))


@lru_cache(maxsize=1 << 12)
def _normal(address: str) -> str:
    """The one spelling of an address; agents report the same few again and again."""
    return str(ip_address(address))


@dataclass(slots=True)
class Batch:
    """Attempts for one agent, in order, and what has come back of them. ``timeout`` in seconds, ``slowest`` too.

    ``loss`` is known once the batch is finished.
    """

    targets: Sequence[Target]
    timeout: float
    datagrams: int
    window: int
    name: str = field(default_factory=lambda: f"{next(_NUMBERS) & 0xFFFFFFFF:08x}")
    slowest: float = 0.0
    loss: Loss = field(default_factory=Loss)
    tries: list[AttemptResult | None] = field(init=False)

    def __post_init__(self) -> None:
        self.tries = [None] * len(self.targets)

    def command(self, run: RunKey) -> dict[str, Any]:
        """The ``probe`` command; neighbours that differ by port alone share a target."""
        targets: list[dict[str, Any]] = []
        last: tuple[str, Protocol, str | None, str] | None = None
        for target in self.targets:
            if (target.address, target.protocol, target.identity, target.lookup) != last:
                last = (target.address, target.protocol, target.identity, target.lookup)
                protocol = WIRE_PROTOCOLS[target.protocol]
                mark = None if target.identity is None else run.marks[target.identity]
                targets.append({"address": target.address, "protocol": protocol, "identity": mark, "ports": []})
                if target.lookup:
                    targets[-1]["lookup"] = target.lookup
            targets[-1]["ports"].append(target.port)
        return {
            "do": "probe",
            "batch": self.name,
            "timeout": self.timeout,
            "datagrams": self.datagrams,
            "window": self.window,
            "targets": targets,
        }

    def take(self, message: dict[str, Any], run: RunKey) -> int:
        """Take in a ``results`` message; how many attempts it had. Raises BadAnswerError when it isn't one, or brings
        nothing new.
        """
        try:
            allowed, others = message["allowed"], message["others"]
            for attempt, microseconds in zip(allowed[::2], allowed[1::2], strict=True):
                self._store(attempt, Answer.ALLOWED, self._proof(attempt), _milliseconds(microseconds))
            for attempt, verdict, outcome, detail, more in others:
                self._store_other(attempt, Answer(verdict), words(outcome), words(detail), more, run)
        except (AttributeError, KeyError, TypeError, ValueError, IndexError) as error:
            raise BadAnswerError(f"results that can't be understood: {words(repr(error))}") from error
        results = len(allowed) // 2 + len(others)
        if not results:
            raise BadAnswerError("results without results")
        return results

    def _proof(self, attempt: int) -> str:
        if self.targets[attempt].lookup:
            raise ValueError("a lookup that was answered by nobody knows what")
        return "connected" if self.targets[attempt].identity is None else "token"

    def _store_other(  # noqa: PLR0913, PLR0917 - as the wire has them
        self, attempt: int, answer: Answer, outcome: str, detail: str, more: dict[str, Any], run: RunKey
    ) -> None:
        milliseconds: float | None = None
        if answer is Answer.ALLOWED and not self.targets[attempt].lookup:
            outcome, milliseconds = self._proof(attempt), _milliseconds(more["microseconds"])
        else:
            milliseconds = _milliseconds(more["microseconds"]) if answer is Answer.ALLOWED else None
            if milliseconds is not None and outcome not in (ANSWERED, HALF_ANSWERED):
                raise ValueError("a lookup that was answered otherwise")
            detail = run.site(detail) if outcome == WRONG_IDENTITY else detail
            outcome = f"{outcome}: {detail}" if detail else outcome
        self._store(attempt, answer, outcome, milliseconds, more)

    def _store(
        self, attempt: int, answer: Answer, outcome: str, milliseconds: float | None, more: Mapping[str, Any] = NOTHING
    ) -> None:
        if type(attempt) is not int or attempt < 0 or self.tries[attempt] is not None:
            raise ValueError(f"attempt {attempt!r} twice, or none")
        seen, socket = more.get("seen"), more.get("socket")
        attempt_id = AttemptId(self.name, attempt, None if socket is None else origin(*socket))
        again = count(more, "again") if "again" in more else 0
        if again is None:
            raise ValueError("packets sent again that are no number")
        self.tries[attempt] = AttemptResult(
            answer,
            outcome,
            milliseconds,
            attempt_id,
            "" if seen is None else _address(seen),
            again=again,
            addresses=_addresses(more.get("addresses", ())),
        )

    def finish(self, message: dict[str, Any]) -> None:
        """Take in the ``done`` message. Raises BadAnswerError when attempts are missing, or numbers are not numbers."""
        if missing := self.tries.count(None):
            raise BadAnswerError(f"done, with {missing} attempts missing")
        slowest = number(message, "slowest", LONGEST_SECONDS)
        sent, lost = count(message, "sent"), count(message, "lost")
        if slowest is None or sent is None or lost is None or lost > sent:
            raise BadAnswerError("done, without numbers that make sense")
        self.slowest, self.loss = slowest, Loss(sent, lost)

    @property
    def unfinished(self) -> list[int]:
        """The attempts that have no result yet."""
        return [attempt for attempt, one in enumerate(self.tries) if one is None]

    def rest(self) -> Batch:
        """A new batch of the unfinished attempts, in order."""
        return Batch([self.targets[attempt] for attempt in self.unfinished], self.timeout, self.datagrams, self.window)

    def give_up(self, reason: str) -> None:
        """Mark what has no result as failed for ``reason``."""
        failed = AttemptResult(Answer.ERROR, reason)
        self.tries = [failed if one is None else one for one in self.tries]

    def results(self) -> list[AttemptResult]:
        """One try for each target. Call it once the batch is finished or given up."""
        return [one for one in self.tries if one is not None]
