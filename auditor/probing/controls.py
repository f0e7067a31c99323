"""Proof that listeners are alive: each agent reaches its own, over loopback, before and after.

Over loopback and not at the pod's own address, because an enforcer may (wrongly) police the latter, and that must show as a finding about
the pod's cell to itself rather than make the whole pod inconclusive; no enforcer polices loopback.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from auditor.model.snapshot import Family
from auditor.probing.batches import Aim
from auditor.probing.tries import Answer, Listener, Try

LOOPBACK = {Family.IPV4: "127.0.0.1", Family.IPV6: "::1"}


def aim_of(listener: Listener) -> Aim:
    """The attempt that the listener's own agent makes at it."""
    return Aim(LOOPBACK[listener.family], listener.protocol, listener.port, listener.seat)


@dataclass(slots=True)
class Controls:
    """What is known of every listener so far."""

    unbound: Mapping[Listener, str]
    _failures: dict[Listener, str] = field(default_factory=dict)
    _times: dict[Listener, int] = field(default_factory=dict)

    def record(self, results: Iterable[tuple[Listener, Try]], when: str) -> None:
        """Take in one round of controls; ``when`` completes the sentence in the reason, as in "before the probes"."""
        for listener, one in results:
            self._times[listener] = self._times.get(listener, 0) + 1
            if one.answer is not Answer.ALLOWED and listener not in self._failures:
                self._failures[listener] = self._reason(listener, one, when)

    def _reason(self, listener: Listener, one: Try, when: str) -> str:
        if listener in self.unbound:
            return f"the agent of {listener.seat} can't listen on {listener.protocol}/{listener.port}: {self.unbound[listener]}"
        if one.answer is Answer.ERROR:
            return one.outcome
        return f"the listener of {listener} did not answer its own agent {when}: {one.outcome}"

    def unproven(self, listener: Listener) -> str:
        """Why the listener isn't proven alive both before and after; empty if it is."""
        if listener in self._failures:
            return self._failures[listener]
        return "" if self._times.get(listener, 0) >= 2 else f"the listener of {listener} was not proven alive before and after"
