"""The nftables enforcer's controller: ``python -m tests.e2e.enforcers.controller KUBECONFIG AGENTS-NAMESPACE
POLICED-NAMESPACE...``.

Follows the cluster, compiles each node's rules as soon as anything changes, and sends them down one persistent exec
stream for each node. It polices the namespaces that it is given and no others, but for administrators' policies, which
hold for whatever pods they are for. A process of its own, so that nothing that a test does can slow it.

Requests, one JSON object a line on its standard input, are answered by a line once everything asked for is in force on
every node:
``{"use": ["ignores-egress@worker"], "await": {"pods": {"NAMESPACE/NAME": VERSION}}}``. It ends when its input does.
"""

from __future__ import annotations

import asyncio
import json
import sys
from asyncio.subprocess import Process
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from auditor.cluster.lab.dialects import BEHAVIOURS
from auditor.cluster.lab.nftables import CLEAR
from auditor.model.admin_policy import AdminPolicy
from auditor.model.dialect import Enforcement, Enforcer
from auditor.model.policy import NetworkPolicy
from tests.e2e.enforcers.mirror import Mirror
from tests.e2e.enforcers.rules import NodeRules, compile_node
from tests.e2e.kubectl import LONGEST_LINE, Kubectl, stop

AGENT = Path(__file__).with_name("agent.py").read_text(encoding="utf-8")
PATIENCE = 30.0
"""Seconds within which a node must have taken its rules; else its stream is opened anew."""
PAUSE = 0.5


@dataclass
class Wanted:
    """What is to be in force: kept by the controller, read by each node's task. ``revision`` grows with every change of
    anything.
    """

    enforcement: Enforcement = field(default_factory=Enforcement)
    policies: tuple[NetworkPolicy, ...] = ()
    previous_policies: tuple[NetworkPolicy, ...] = ()
    admin_policies: tuple[AdminPolicy, ...] = ()
    generation: int = 1
    revision: int = 0


class Controller:
    """Everything but the main function."""

    def __init__(self, kubectl: Kubectl, agents: str, policed: frozenset[str]) -> None:
        self._kubectl = kubectl
        self._agents = agents
        self._policed = policed
        self._mirror = Mirror(kubectl, self._change)
        self._wanted = Wanted()
        self._news = asyncio.Condition()
        self._tasks: set[asyncio.Task[None]] = set()
        self._applied: dict[str, int] = {}
        self._errors: dict[str, str] = {}

    async def run(self, pods: dict[str, str]) -> None:
        """Police the nodes until the input ends. ``pods`` are the agents' pods by node."""
        async with asyncio.TaskGroup() as tasks:
            others = [tasks.create_task(self._mirror.follow())]
            others += [tasks.create_task(self._police(node, pod)) for node, pod in pods.items()]
            self._applied = dict.fromkeys(pods, -1)
            await self._serve()
            for task in others:
                task.cancel()

    def _change(self) -> None:
        """Something in the cluster has changed. Connections are judged anew only when policies have."""
        wanted = self._wanted
        policies = self._mirror.policies(self._policed)
        if policies != wanted.policies:
            wanted.previous_policies, wanted.policies = wanted.policies, policies
            wanted.generation += 1
        if (admin_policies := self._mirror.admin_policies()) != wanted.admin_policies:
            wanted.admin_policies = admin_policies
            wanted.generation += 1
        self._announce()

    def _announce(self) -> None:
        self._wanted.revision += 1
        task = asyncio.create_task(self._notify())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _notify(self) -> None:
        async with self._news:
            self._news.notify_all()

    async def _serve(self) -> None:
        reader = asyncio.StreamReader(limit=LONGEST_LINE)
        await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
        while line := await reader.readline():
            print(json.dumps(await self._answer(json.loads(line))), flush=True)

    async def _answer(self, request: dict[str, Any]) -> dict[str, Any]:
        if "use" in request:
            self._wanted.enforcement = Enforcement.parse(tuple(request["use"]))
            self._wanted.generation += 1
            self._announce()
        await self._until(lambda: self._mirror.complete and self._mirror.has(request.get("await", {})))
        revision = self._wanted.revision
        await self._until(lambda: all(applied >= revision for applied in self._applied.values()))
        return {"error": "; ".join(f"{node}: {error}" for node, error in self._errors.items() if error)}

    async def _police(self, node: str, pod: str) -> None:
        """Keep the rules of ``node`` as wanted, over a stream that is opened anew whenever it breaks."""
        while True:
            agent = await self._kubectl.start(
                "exec", "-i", "-n", self._agents, pod, "--", "python3", "-c", AGENT, "serve"
            )
            try:
                await self._feed(node, agent)
            except (ConnectionError, TimeoutError):
                await asyncio.sleep(PAUSE)
            finally:
                await stop(agent)

    async def _feed(self, node: str, agent: Process) -> None:
        """Send the rules of ``node`` whenever they change. Raises ConnectionError or TimeoutError when the stream is of
        no more use.
        """
        in_force: NodeRules | None = None
        revision, enforcer = -1, None
        while True:
            await self._until(lambda seen=revision: self._mirror.complete and self._wanted.revision > seen)
            revision = self._wanted.revision
            last, enforcer = enforcer, self._wanted.enforcement.at(node)
            rules = self._rules(node, enforcer)
            if rules != in_force:
                if BEHAVIOURS[enforcer.dialect].slow:
                    in_force = await self._linger(node, agent, enforcer, in_force, revision, new=enforcer != last)
                else:
                    in_force = await self._put(node, agent, rules, in_force)
            await self._report(node, revision)

    async def _linger(
        self, node: str, agent: Process, enforcer: Enforcer, in_force: NodeRules | None, revision: int, *, new: bool
    ) -> NodeRules | None:
        """A slow enforcer's way: it begins with filtering nothing, and whatever changes comes in force late. Returns
        what is in force.
        """
        if new:
            in_force = await self._put(node, agent, NodeRules(), in_force)
        await self._report(node, revision)
        try:
            async with asyncio.timeout(enforcer.value):
                await self._until(lambda: self._wanted.enforcement.at(node) != enforcer)
        except TimeoutError:
            return await self._put(node, agent, self._rules(node, enforcer), in_force)
        return in_force

    async def _put(self, node: str, agent: Process, rules: NodeRules, in_force: NodeRules | None) -> NodeRules:
        """Put ``rules`` in force in place of ``in_force``."""
        before = in_force.pods if in_force else {}
        pods = {**dict.fromkeys(before.keys() - rules.pods.keys(), CLEAR), **rules.pods}
        changed = {pod: text for pod, text in pods.items() if before.get(pod) != text}
        await self._send(node, agent, rules.node, changed)
        return rules

    async def _until(self, ready: Callable[[], bool]) -> None:
        async with self._news:
            await self._news.wait_for(ready)

    async def _report(self, node: str, revision: int) -> None:
        self._applied[node] = revision
        await self._notify()

    def _rules(self, node: str, enforcer: Enforcer) -> NodeRules:
        wanted = self._wanted
        policies = wanted.previous_policies if BEHAVIOURS[enforcer.dialect].previous_policies else wanted.policies
        ranges = () if BEHAVIOURS[enforcer.dialect].slow else self._mirror.pod_ranges(node)
        return compile_node(self._mirror.snapshot(), policies, enforcer, node, wanted.generation, ranges)

    async def _send(self, node: str, agent: Process, rules: str, pods: dict[str, str]) -> None:
        assert agent.stdin is not None
        assert agent.stdout is not None
        uids = {uid: text for pod, text in pods.items() if (uid := self._mirror.uid(pod))}
        agent.stdin.write(json.dumps({"id": 0, "node": rules, "pods": uids}).encode() + b"\n")
        async with asyncio.timeout(PATIENCE):
            await agent.stdin.drain()
            answer = await agent.stdout.readline()
        if not answer:
            raise ConnectionError("the agent is gone")
        self._errors[node] = json.loads(answer)["error"]


async def main(kubeconfig: str, agents: str, policed: list[str]) -> None:
    kubectl = Kubectl(kubeconfig)
    pods = {pod["spec"]["nodeName"]: pod["metadata"]["name"] for pod in kubectl.items("pods", "-n", agents)}
    await Controller(kubectl, agents, frozenset(policed)).run(pods)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], sys.argv[3:]))
