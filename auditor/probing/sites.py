"""What probing needs of a cluster: places where an agent can sit, and a line to each agent.

The interface is this small so that the lab, a live cluster and a test's fake look the same to everything above.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from auditor.model.addresses import IPAddress
from auditor.model.snapshot import Family


@dataclass(frozen=True, slots=True)
class ProbeSite:
    """A place where one agent runs: one network namespace with its addresses.

    ``name`` is the identity that the agent answers with. ``endpoints`` names the endpoints whose traffic comes from and
    goes to here: a pod; a node with its hostNetwork pods; on a live cluster every member of the identity class that a
    probe pod stands for.

    ``agent``: whether an agent of ours can run there. Without one, as at an external host, it is a destination only, of
    TCP connections that carry nothing. ``listens``: whether that agent listens on the probed ports. If not, a real
    pod's own listeners answer; the agent only fires.

    ``neighbour_addresses``: where somebody is whom no policy can keep apart from this site, for a pod its own node.
    ``neighbour`` is the name of the site there, if an agent of ours can sit at it. ``watched``: over which families
    somebody at the neighbour, the kubelet say, keeps reaching for this site, which ``Witnesses.heard`` tells of;
    ``watched_port``: at which TCP port, 0 where that is no connection to judge.

    ``node`` is the name of the node that it is on, empty outside the cluster; ``is_node``: it is that node itself.

    ``created``: when this run asked for the pod, by ``time.monotonic``; None where it was there before.
    """

    name: str
    addresses: tuple[IPAddress, ...]
    endpoints: tuple[str, ...]
    agent: bool = True
    listens: bool = True
    neighbour: str = ""
    neighbour_addresses: tuple[IPAddress, ...] = ()
    watched: frozenset[Family] = frozenset()
    watched_port: int = 0
    node: str = ""
    is_node: bool = False
    created: float | None = None

    @property
    def answers(self) -> bool:
        """Whether an agent of ours answers the probes at this site."""
        return self.agent and self.listens


class Contact(NamedTuple):
    """A site was reached over ``families``, by somebody else over its own network link, no longer than
    ``seconds`` ago.
    """

    families: frozenset[Family]
    seconds: float


async def nobody_heard(_names: Collection[str]) -> Mapping[str, Contact]:
    """Nobody listens for the sites with these names."""
    return {}


@dataclass(frozen=True, slots=True)
class Witnesses:
    """Who can tell that a site's network link carries packets.

    ``sites`` are places that are no sites of the audit, where agents sit as neighbours only. ``heard`` tells which of
    the sites with these names are reached right now; it raises ClusterError.
    """

    sites: tuple[ProbeSite, ...] = ()
    heard: Callable[[Collection[str]], Awaitable[Mapping[str, Contact]]] = nobody_heard


NO_WITNESSES = Witnesses()


class AgentChannel(Protocol):
    """Two-way stream of JSON lines to one running agent (see ``probes.agent`` for what the lines say)."""

    @property
    def broken(self) -> bool:
        """Whether it was only the stream that ended, so that a new agent can be started at the site. May be asked at
        any time.
        """

    @property
    def failure(self) -> str:
        """Why the stream or the agent ended, in words; may be empty."""

    async def send(self, line: bytes) -> None:
        """Pass one line, newline included, to the agent. Raises ConnectionError when the agent is gone."""

    async def receive(self) -> bytes:
        """The agent's next line, newline included; ``b""`` once the agent has ended or the stream has broken."""

    async def close(self) -> None:
        """End the agent and release the stream. May be called more than once."""
