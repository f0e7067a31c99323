"""NetworkPolicies that somebody wants in force for a while, owned by Leases that lock nothing.

So they go when they are taken back, and when whoever lent them has died. A policy that is there already is never
replaced: what was there before could not be brought back after a crash.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress

from auditor.cluster.kubernetes.client.creation import delete_options
from auditor.cluster.kubernetes.client.listing import decode
from auditor.cluster.kubernetes.client.server import ApiServer, ConflictError, NotFoundError, Question
from auditor.cluster.kubernetes.objects import MANAGED_BY_LABEL, NAME, RUN_LABEL, Anchor, owned_by
from auditor.cluster.kubernetes.policies import policy_manifest
from auditor.cluster.kubernetes.session.lease import Leases
from auditor.cluster.kubernetes.session.leftovers import LeftObject
from auditor.model.errors import ClusterError, UsageError
from auditor.model.policy import NetworkPolicy

GROUP = "/apis/networking.k8s.io/v1"
RESOURCE = "networkpolicies.networking.k8s.io"
GONE_WITHIN = 30.0
"""Seconds for which a policy is waited for that somebody has lent before: those of a session that was killed go with
its Lease, by the garbage collector.
"""
PAUSE = 0.5


@asynccontextmanager
async def lent_policies(api: ApiServer, policies: Sequence[NetworkPolicy]) -> AsyncIterator[None]:
    """``policies`` in the cluster, while entered.

    Raises UsageError for one that is there already, ClusterError where one can't be put in, or taken back.
    """
    run_id = secrets.token_hex(4)
    leases = Leases(api, {policy.namespace for policy in policies}, run_id, locked=())
    put: list[tuple[NetworkPolicy, str]] = []
    try:
        await leases.take()
        for reason in leases.blocked.values():
            raise ClusterError(reason)
        for policy in policies:
            uid = await _put(api, policy, run_id, leases.anchors[policy.namespace])
            put.append((policy, uid))  # each counts, also where the next one fails
        yield
    finally:
        try:
            for policy, uid in put:
                await _take_back(api, policy, uid)
        finally:
            lines = await leases.release()
        if lines:
            raise ClusterError(*lines)


async def _put(api: ApiServer, policy: NetworkPolicy, run_id: str, anchor: Anchor) -> str:
    """The uid of the object; empty where the answer was lost, so that only its Lease is known to own it."""
    question = Question(_path(policy), "create", RESOURCE, f" in namespace {policy.namespace}")
    manifest = policy_manifest(policy, {MANAGED_BY_LABEL: NAME, RUN_LABEL: run_id})
    manifest["metadata"]["ownerReferences"] = owned_by(anchor)
    bound = time.monotonic() + GONE_WITHIN
    while True:
        try:
            answer = await api.send("POST", question, manifest)
        except ConflictError as error:
            if error.after_lost_answer:
                return ""
            if time.monotonic() >= bound or not await _was_lent(api, policy):
                raise UsageError(
                    f"policy {policy.full_name} is in the cluster already, and is not replaced: give the one to apply "
                    "another name, or replace it yourself"
                ) from error
            await asyncio.sleep(PAUSE)
        else:
            return decode(answer, LeftObject, api, question).metadata.uid


async def _was_lent(api: ApiServer, policy: NetworkPolicy) -> bool:
    """Whether the policy that is there was lent, too: once its lender is cleared away, it goes in a moment."""
    question = Question(f"{_path(policy)}/{policy.name}", "get", RESOURCE, f" in namespace {policy.namespace}")
    try:
        there = decode(await api.get(question), dict, api, question)
    except NotFoundError:
        return True
    return (there["metadata"].get("labels") or {}).get(MANAGED_BY_LABEL) == NAME


async def _take_back(api: ApiServer, policy: NetworkPolicy, uid: str) -> None:
    if not uid:
        return
    path = f"{_path(policy)}/{policy.name}"
    question = Question(path, "delete", RESOURCE, f" in namespace {policy.namespace}")
    with suppress(NotFoundError, ConflictError):
        await api.send("DELETE", question, delete_options(uid=uid))


def _path(policy: NetworkPolicy) -> str:
    return f"{GROUP}/namespaces/{policy.namespace}/networkpolicies"
