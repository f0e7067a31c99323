"""A conversation with one agent.

An agent can die, hang or talk nonsense at any moment, and a run must go on without it. So nothing here raises for such a failure: the
session ends, ``ended`` says why in words, and every later request is answered with nothing. Each wait is bounded.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from auditor.model.snapshot import Family
from auditor.probing.batches import WIRE_PROTOCOLS, BadAnswerError, Batch
from auditor.probing.seats import AgentChannel, Seat
from auditor.probing.tries import Listener

PATIENCE = 15.0
"""Seconds of silence, beyond what its task explains, after which an agent counts as hung."""
CLOSE_SECONDS = 5.0
WIRE_NAMES = {name: protocol for protocol, name in WIRE_PROTOCOLS.items()}


class AgentSession:
    """The agent at one seat. Requests are made one at a time."""

    def __init__(self, seat: Seat, channel: AgentChannel, patience: float | None = None) -> None:
        self.seat = seat
        self.ended = ""
        self.unbound: Mapping[Listener, str] = {}
        self._channel = channel
        self._patience = PATIENCE if patience is None else patience

    async def listen(self, run: str, listeners: Sequence[Listener]) -> None:
        """Make the agent listen; ``unbound`` then has the listeners that could not be opened, and why."""
        ports = {
            wire: sorted({listener.port for listener in listeners if listener.protocol is protocol})
            for protocol, wire in WIRE_PROTOCOLS.items()
        }
        answer = await self._ask({"do": "listen", "identity": self.seat.name, "run": run, **ports}, "listening", "before it was ready")
        if answer is None:
            return
        try:
            self.unbound = {
                Listener(self.seat.name, WIRE_NAMES[wire], int(port), Family(family)): str(reason)
                for wire, family, port, reason in answer["failed"]
            }
        except (KeyError, TypeError, ValueError) as error:
            self._end(f"said something that is no answer: {error!r}")

    async def run(self, batch: Batch, advance: Callable[[int], None]) -> None:
        """Fire ``batch``; afterwards each of its attempts has a result. ``advance`` is told of every attempt once."""
        left = len(batch.aims)
        if batch.aims and not self.ended:
            try:
                await self._send(batch.command())
                while (message := await self._receive("before finishing its batch", batch.timeout)) is not None:
                    if message.get("batch") != batch.name or message.get("kind") not in ("results", "done"):
                        raise _unexpected(message)
                    if message["kind"] == "done":
                        batch.finish(message)
                        break
                    count = batch.take(message)
                    left -= count
                    advance(count)
            except BadAnswerError as error:
                self._end(f"said something that is no answer: {error}")
        batch.give_up(self.ended)
        advance(left)

    async def arrivals(self, nonces: Collection[str]) -> Mapping[str, bool | None]:
        """For each nonce of a UDP probe that some agent sent, whether it arrived here; None where the agent can't tell."""
        answer = await self._ask({"do": "arrivals", "nonces": sorted(nonces)}, "arrivals", "before the end")
        if answer is None or not isinstance(answer.get("arrived"), list):
            return dict.fromkeys(nonces)
        arrived = {nonce for nonce in answer["arrived"] if isinstance(nonce, str)}
        absent = False if answer.get("complete") is True else None
        return {nonce: True if nonce in arrived else absent for nonce in nonces}

    async def close(self) -> None:
        """End the agent. Raises nothing but CancelledError."""
        try:
            async with asyncio.timeout(CLOSE_SECONDS):
                await self._channel.close()
        except (OSError, TimeoutError):
            pass  # there is nobody left to tell
        self._end("was closed")

    def _end(self, what: str) -> None:
        self.ended = self.ended or f"agent of {self.seat.name} {what}"

    async def _ask(self, command: dict[str, Any], kind: str, when: str) -> dict[str, Any] | None:
        if self.ended:
            return None
        await self._send(command)
        answer = await self._receive(when, 0.0)
        if answer is not None and answer.get("kind") != kind:
            self._end(f"said something that is no answer: {_unexpected(answer)}")
            return None
        return answer

    async def _send(self, command: dict[str, Any]) -> None:
        line = json.dumps(command, separators=(",", ":")).encode() + b"\n"
        try:
            async with asyncio.timeout(self._patience):
                await self._channel.send(line)
        except TimeoutError:
            self._end(f"took no commands for {self._patience:g} s")
        except OSError as error:
            self._end(f"could not be reached: {error}")

    async def _receive(self, when: str, working: float) -> dict[str, Any] | None:
        """The next message; None once the session has ended. ``working``: seconds of silence that its task explains."""
        if self.ended:
            return None
        bound = working + self._patience
        try:
            async with asyncio.timeout(bound):
                line = await self._channel.receive()
        except TimeoutError:
            self._end(f"said nothing for {bound:g} s, {when}")
            return None
        except OSError as error:
            self._end(f"could not be heard: {error}")
            return None
        if not line:
            self._end(f"ended {when}")
            return None
        try:
            message = json.loads(line)
        except (ValueError, RecursionError):
            message = None
        if not isinstance(message, dict):
            self._end(f"said something that is no answer: {line[:80]!r}")
            return None
        return message


def _unexpected(message: dict[str, Any]) -> BadAnswerError:
    return BadAnswerError(str(message.get("message") or message)[:200])
