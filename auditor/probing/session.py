"""A conversation with one agent.

An agent can die, hang or talk nonsense at any moment, and a run must go on without it. So nothing here raises for such
a failure: the session ends, ``ended`` says why in words, and every later request is answered with nothing. Each wait is
bounded.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, NamedTuple

from auditor.model.snapshot import Family
from auditor.probing.attempts import Arrival, AttemptId, Listener, Origin
from auditor.probing.batches import (
    LONGEST_SECONDS,
    LONGEST_WORDS,
    WIRE_PROTOCOLS,
    BadAnswerError,
    Batch,
    count,
    number,
    origin,
    port_number,
    words,
)
from auditor.probing.keys import RunKey
from auditor.probing.sites import AgentChannel, ProbeSite

PATIENCE = 15.0
"""Seconds of silence, beyond what its task explains, after which an agent counts as hung."""
CLOSE_SECONDS = 5.0
LONGEST_LINE = 1 << 20
"""Bytes of one line of an agent."""
MOST_FOR_EACH = 1 << 10
"""Bytes that there can be to say about one attempt."""
MOST_ASKED_FOR = 1 << 10
"""Arrivals that one question may be about."""
MOST_RESOLVERS = 32
"""Servers, or domains, that a resolv.conf may have."""
WIRE_NAMES = {name: protocol for protocol, name in WIRE_PROTOCOLS.items()}


class Health(NamedTuple):
    """What may have kept an agent from answering for a while.

    ``lag`` is the longest time, in seconds, for which it had no turn. Its network namespace threw away ``udp_overruns``
    datagrams for want of room in a receive buffer and ``listen_overflows`` connections for want of room at a listener;
    None where nobody can tell.
    """

    lag: float
    udp_overruns: int | None = None
    listen_overflows: int | None = None


class Resolvers(NamedTuple):
    """What resolv.conf says: the DNS servers, as it has them, and the domains that names are searched in."""

    servers: tuple[str, ...] = ()
    search: tuple[str, ...] = ()


class AgentSession:
    """The agent at one site. Requests are made one at a time.

    ``started`` is when the container of a pod of ours began, by ``time.monotonic`` and no earlier than it was; None
    where the agent can't tell, or the pod is not new.
    """

    def __init__(self, site: ProbeSite, channel: AgentChannel, run: RunKey, patience: float | None = None) -> None:
        self.site = site
        self.ended = ""
        self.unbound: Mapping[Listener, str] = {}
        self.started: float | None = None
        self._channel = channel
        self._run = run
        self._heard = 0
        self._commanded: Batch | None = None
        self._patience = PATIENCE if patience is None else patience

    @property
    def lost(self) -> bool:
        """Whether it ended because its stream broke, and another agent may be started in its place."""
        return bool(self.ended) and self._channel.broken

    async def listen(self, listeners: Sequence[Listener], then: Batch | None = None) -> None:
        """Make the agent listen; ``unbound`` then has the listeners that could not be opened, and why.

        An agent that is not at its site's addresses ends the session. The command for a batch that is to run next
        can go out with this one: ``then`` must be the next one to be passed to ``run``.
        """
        self._commanded = then if then is not None and then.targets else None
        command = self._listen_command(listeners)
        commands = [command] if self._commanded is None else [command, self._commanded.command(self._run)]
        answer = await self._ask(commands, "listening", "before it was ready")
        unbound: dict[Listener, str] = {}
        self.unbound = unbound
        while answer is not None:
            try:
                more = self._take_listening(answer, unbound)
            except (KeyError, TypeError, ValueError) as error:
                self._end(f"sent something that is not an answer: {words(repr(error))}")
                return
            answer = await self._receive("before it was ready", 0.0) if more else None

    def _listen_command(self, listeners: Sequence[Listener]) -> dict[str, Any]:
        ports = {
            wire: sorted({listener.port for listener in listeners if listener.protocol is protocol})
            for protocol, wire in WIRE_PROTOCOLS.items()
        }
        addresses = [str(address) for address in self.site.addresses]
        identity = {"key": self._run.secret.hex(), "identity": self._run.marks[self.site.name]}
        return {"do": "listen", **identity, "addresses": addresses, **ports}

    def _take_listening(self, answer: dict[str, Any], unbound: dict[Listener, str]) -> bool:
        """Take in one line of an answer; whether more of them follow. Raises KeyError, TypeError or ValueError when it
        makes no sense.
        """
        known = len(unbound)
        for wire, family, port, reason in answer["failed"]:
            unbound[Listener(self.site.name, WIRE_NAMES[wire], port_number(port), Family(family))] = words(reason)
        for address, reason in answer["foreign"]:
            self._end(f"is not at {words(address)}: {words(reason)}")
        if answer["kind"] != "listening" or (answer["more"] and len(unbound) == known):
            raise ValueError("more of nothing")
        age = number(answer, "age", LONGEST_SECONDS)
        if age is not None and self.site.created is not None:
            self.started = max(self.site.created, time.monotonic() - age)
        return answer["more"] is True

    async def run(self, batch: Batch, advance: Callable[[int], None]) -> None:
        """Fire ``batch``; afterwards each of its attempts has a result, unless the session is ``lost``: then some may
        have none.

        ``advance`` is called once for every attempt that has a result.
        """
        left, most = len(batch.targets), self._heard + LONGEST_LINE + len(batch.targets) * MOST_FOR_EACH
        if batch.targets and not self.ended:
            try:
                if batch is not self._commanded:
                    await self._send(batch.command(self._run))
                while (message := await self._receive("before finishing its batch", batch.timeout)) is not None:
                    if message.get("batch") != batch.name or message.get("kind") not in ("results", "done"):
                        raise _unexpected(message)
                    if message["kind"] == "done":
                        batch.finish(message)
                        break
                    results = batch.take(message, self._run)
                    left -= results
                    advance(results)
                    if self._heard > most:
                        self._end("said more than there can be to say about its batch")
            except BadAnswerError as error:
                self._end(f"sent something that is not an answer: {error}")
        if not self.lost:
            batch.give_up(self.ended)
            advance(left)

    async def health(self) -> Health | None:
        """What may have kept the agent from answering since this was last asked; None once it has ended."""
        answer = await self._ask([{"do": "lag"}], "lag", "after the probes")
        if answer is None:
            return None
        seconds = number(answer, "seconds", LONGEST_SECONDS)
        if seconds is None:
            self._end(f"sent something that is not an answer: {_unexpected(answer)}")
            return None
        return Health(seconds, count(answer, "udp_overruns"), count(answer, "listen_overflows"))

    async def arrivals(self, attempt_ids: Collection[AttemptId]) -> dict[AttemptId, Arrival]:
        """For each UDP probe that some agent sent, whether it arrived here."""
        known: dict[AttemptId, Arrival] = {}
        ordered = sorted(attempt_ids, key=lambda attempt_id: attempt_id.nonce)
        for start in range(0, len(ordered), MOST_ASKED_FOR):
            part = ordered[start : start + MOST_ASKED_FOR]
            nonces = [attempt_id.nonce for attempt_id in part]
            answer = await self._ask([{"do": "arrivals", "nonces": nonces}], "arrivals", "before the end")
            known |= _arrivals(part, answer or {})
        return known

    async def resolvers(self) -> Resolvers | None:
        """What resolv.conf says at the site; None once the agent has ended."""
        answer = await self._ask([{"do": "resolvers"}], "resolvers", "when it was asked for resolv.conf")
        if answer is None:
            return None
        try:
            return Resolvers(_texts(answer["servers"]), _texts(answer["search"]))
        except (KeyError, TypeError):
            self._end(f"sent something that is not an answer: {_unexpected(answer)}")
            return None

    async def close(self) -> None:
        """End the agent. Raises nothing but CancelledError."""
        try:
            async with asyncio.timeout(CLOSE_SECONDS):
                await self._channel.close()
        except (OSError, TimeoutError):
            pass  # there is nobody left to tell
        self._end("was closed")

    def _end(self, what: str) -> None:
        self.ended = self.ended or f"agent of {self.site.name} {what}"

    def _end_of_stream(self, what: str) -> None:
        failure = self._channel.failure
        self._end(f"{what}: {failure}" if failure and failure not in what else what)

    async def _ask(self, commands: Sequence[dict[str, Any]], kind: str, when: str) -> dict[str, Any] | None:
        """Send ``commands``; the answer to the first of them."""
        if self.ended:
            return None
        for command in commands:
            await self._send(command)
        answer = await self._receive(when, 0.0)
        if answer is not None and answer.get("kind") != kind:
            self._end(f"sent something that is not an answer: {_unexpected(answer)}")
            return None
        return answer

    async def _send(self, command: dict[str, Any]) -> None:
        line = json.dumps(command, separators=(",", ":")).encode() + b"\n"
        try:
            async with asyncio.timeout(self._patience):
                await self._channel.send(line)
        except TimeoutError:
            self._end(f"accepted no commands for {self._patience:g} s")
        except OSError as error:
            self._end_of_stream(f"could not be reached: {error}")

    async def _receive(self, when: str, working: float) -> dict[str, Any] | None:
        """The next message; None once the session has ended. ``working``: seconds of silence that its task explains."""
        if self.ended:
            return None
        bound = working + self._patience
        try:
            async with asyncio.timeout(bound):
                line = await self._channel.receive()
        except TimeoutError:
            self._end(f"sent nothing for {bound:g} s, {when}")
            return None
        except OSError as error:
            self._end_of_stream(f"could not be heard: {error}")
            return None
        if not line:
            self._end_of_stream(f"ended {when}")
            return None
        return self._understood(line)

    def _understood(self, line: bytes) -> dict[str, Any] | None:
        self._heard += len(line)
        if len(line) > LONGEST_LINE:
            self._end(f"sent a line of more than {LONGEST_LINE >> 20} MiB")
            return None
        try:
            message = json.loads(line)
        except (ValueError, RecursionError):
            message = None
        if not isinstance(message, dict):
            self._end(f"sent something that is not an answer: {line[:80]!r}")
            return None
        return message


def _texts(items: object) -> tuple[str, ...]:
    if not isinstance(items, list) or len(items) > MOST_RESOLVERS:
        raise TypeError("no list of texts")
    return tuple(words(item) for item in items)


def _unexpected(message: dict[str, Any]) -> BadAnswerError:
    return BadAnswerError(words(str(message.get("message") or message)[:LONGEST_WORDS]))


def _arrivals(attempt_ids: Sequence[AttemptId], answer: Mapping[str, Any]) -> dict[AttemptId, Arrival]:
    """What an ``arrivals`` answer says of ``attempt_ids``; nothing where it makes no sense."""
    try:
        pairs = {nonce: zip(parts[::2], parts[1::2], strict=True) for nonce, *parts in answer["arrived"]}
        sockets = {nonce: [origin(address, port) for address, port in each] for nonce, each in pairs.items()}
    except (KeyError, TypeError, ValueError):
        return dict.fromkeys(attempt_ids)
    absent = False if answer.get("complete") is True else None
    return {attempt_id: _arrival(attempt_id, sockets.get(attempt_id.nonce, ()), absent) for attempt_id in attempt_ids}


def _arrival(attempt_id: AttemptId, sockets: Sequence[Origin], absent: Arrival) -> Arrival:
    """Whether a probe is among what arrived from ``sockets``; ``absent`` if nothing did."""
    if not sockets:
        return absent
    if attempt_id.origin is None:
        return None
    return True if attempt_id.origin in sockets else sockets[0]
