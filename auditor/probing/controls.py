"""Proof that listeners are alive: each agent reaches its own, over loopback, before and after.

Over loopback and not at the pod's own address, because an enforcer may (wrongly) police the latter, and that must show
as a finding about the pod's cell to itself rather than make the whole pod inconclusive; no enforcer polices loopback.

Listeners that are not ours are proven otherwise. Those of a real pod may be bound to the pod's address alone, so the
agent that sits in the pod connects there. Beside an external host's there is no agent: some source has to have reached
them in this run.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from auditor.model.snapshot import Family
from auditor.probing.attempts import Answer, AttemptResult, Listener
from auditor.probing.batches import Target
from auditor.probing.routes import Route

LOOPBACK = {Family.IPV4: "127.0.0.1", Family.IPV6: "::1"}


def control_of(route: Route) -> Target:
    """The attempt that the agent beside the route's listener makes at it."""
    listener = route.listener
    return (
        Target(LOOPBACK[listener.family], listener.protocol, listener.port, listener.site)
        if route.destination.listens
        else route.target
    )


@dataclass(slots=True)
class Controls:
    """What is known of every listener so far."""

    unbound: Mapping[Listener, str]
    _failures: dict[Listener, str] = field(default_factory=dict)
    _times: dict[Listener, int] = field(default_factory=dict)
    _unwatched: dict[Listener, str] = field(default_factory=dict)

    def record(self, results: Iterable[tuple[Route, AttemptResult]], when: str) -> None:
        """Take in one round of controls; ``when`` completes the sentence in the reason, as in "before the probes"."""
        for route, one in results:
            listener = route.listener
            self._times[listener] = self._times.get(listener, 0) + 1
            if one.answer is not Answer.ALLOWED and listener not in self._failures:
                self._failures[listener] = self._reason(route, one, when)
            if one.answer is Answer.ERROR and not route.destination.listens:
                self._unwatched.setdefault(listener, one.outcome)

    def _reason(self, route: Route, one: AttemptResult, when: str) -> str:
        listener = route.listener
        if listener in self.unbound:
            return (
                f"the agent of {listener.site} can't listen on {listener.protocol}/{listener.port}: "
                f"{self.unbound[listener]}"
            )
        if one.answer is Answer.ERROR:
            return one.outcome
        if not route.destination.listens:
            return (
                f"nothing listens on {listener.protocol}/{listener.port} at {route.address} of {listener.site} "
                f"{when}: {one.outcome}"
            )
        return f"the listener of {listener} did not answer its own agent {when}: {one.outcome}"

    def unproven(self, route: Route, reached: Iterable[Listener] = ()) -> str:
        """Why the route's listener isn't proven alive; empty if it is. ``reached``: the listeners that any source
        reached.
        """
        listener = route.listener
        if not route.destination.agent:
            reason = (
                f"nobody reached {listener.site} on {listener.protocol}/{listener.port} in this run, so "
                "silence proves nothing"
            )
            return "" if listener in reached else reason
        if listener in self._failures:
            return self._failures[listener]
        return (
            ""
            if self._times.get(listener, 0) >= 2
            else f"the listener of {listener} was not proven alive before and after"
        )

    def unwatched(self, route: Route) -> str:
        """Why it may have been another pod that was reached at the route's address; empty where our own agent answers,
        or sat beside it.

        Only our agents say who they are. What connects to a real listener says "allowed" as long as an agent of ours
        shares its pod; once that has gone, pod and address may have parted.
        """
        return self._unwatched.get(route.listener, "")
