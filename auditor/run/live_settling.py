"""Plan and preflight of an audit of a live cluster, in turn until they agree.

What a namespace lacks is known only once something was to be put into it. A pod of another namespace may then stand for
the same ones: what costs one namespace its probe pods need not cost any other the answers that they would have given.
"""

from __future__ import annotations

from dataclasses import replace

from auditor.cluster.kubernetes.client.server import ApiServer
from auditor.cluster.kubernetes.preflight.checks import Preflight, PreflightOptions, in_lines, preflight
from auditor.cluster.kubernetes.preflight.joining import preflight_in_place
from auditor.cluster.kubernetes.reading import LiveSnapshot
from auditor.loop.apart import apart
from auditor.run.live_plan import LiveOptions, LivePlan, plan_live

MOST_ROUNDS = 3


async def settle(
    api: ApiServer, live: LiveSnapshot, intended: LivePlan, options: LiveOptions
) -> tuple[LivePlan, Preflight]:
    """What is done in the end in the place of ``intended``, the plan for ``live``, and what stands in its way.

    Raises what ``plan_live`` raises, and ClusterError when the API server can't be reached.
    """
    found = await _look(api, intended, options)
    closed = dict(found.closed)
    for _ in range(MOST_ROUNDS - 1 if closed else 0):
        planned = await apart(plan_live, live, options, closed)
        if planned.probes == intended.probes and planned.members == intended.members:
            break
        intended, found = planned, await _look(api, planned, options)
        if found.closed.keys() <= closed.keys():
            break
        closed |= found.closed
    return intended, _as_found(found, closed, options)


def _as_found(found: Preflight, closed: dict[str, str], options: LiveOptions) -> Preflight:
    """``found`` with all namespaces that are ``closed``, also those in which nothing was to be put any more."""
    closed = {**closed, **found.closed}
    audited = {
        namespace: why for namespace, why in closed.items() if not options.namespaces or namespace in options.namespaces
    }
    left_out = () if found.obstacles else tuple(f"left out: {line}" for line in in_lines(audited))
    return replace(found, closed=closed, left_out=left_out)


async def _look(api: ApiServer, intended: LivePlan, options: LiveOptions) -> Preflight:
    if options.in_place:
        absent = {name: reason for name, reason in intended.absent.items() if name in intended.scope}
        return await preflight_in_place(api, intended.members, absent)
    bounds = PreflightOptions(options.namespaces, options.pods, options.accept, intended.scope, options.services)
    return await preflight(api, intended.live, intended.probes, bounds)
