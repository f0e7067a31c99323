"""The part of a conformance run that is about policies of administrators: which scenarios a cluster can hold, in which
kinds, and what is said of the others.

Such policies are for a whole cluster. What keeps them off other people's pods are labels in their selectors, and
whether an enforcer reads these rightly is what is being tried. So this part is for clusters of which somebody has said
that nothing else in them matters.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from auditor.cluster.kubernetes.admin_policies import RESOURCES, ServedKind, read_live_admin_policy, served_kinds
from auditor.cluster.kubernetes.client.listing import decode, read_list
from auditor.cluster.kubernetes.client.server import ApiServer
from auditor.cluster.kubernetes.preflight.other_policy_kinds import api_groups
from auditor.cluster.kubernetes.preflight.permissions import Right, as_rules, missing_in_cluster
from auditor.model.admin_policy import LOWEST_PRIORITY, NAMED_DEFAULT, AdminPolicy, AdminTier
from auditor.model.errors import ClusterError
from auditor.model.scenario import Scenario
from auditor.model.words import pluralize
from auditor.parsing.admin_policy import GROUP
from auditor.run.conformance.admin_kinds import at_free_priorities, in_served_kinds
from auditor.run.conformance.confining import prepare_confined, reaches_beyond
from auditor.run.conformance.prepared_scenarios import PreparedScenario, skipped

NOT_SERVED = f"the API server serves no policies of administrators ({GROUP}), whose CRDs are not installed"
CANNOT_SAY = (
    "they need kinds of policies that the API server does not serve, or a BaselineAdminNetworkPolicy, of which there "
    "is one already"
)
REACHES_BEYOND = "networks and nodes can't be held to pods of conformance's own; audit conformance --lab runs them"
NO_PRIORITY = "no priorities are left for them beside those of policies that are there"

Place = tuple[AdminTier, int]
"""A tier and a priority in it."""


@dataclass(frozen=True, slots=True)
class AdminSection:
    """The scenarios that can be run, with their policies in the kinds that are ``served``, by name, and lines about
    what is left out.
    """

    scenarios: tuple[Scenario, ...] = ()
    served: Mapping[str, ServedKind] = field(default_factory=dict)
    facts: tuple[str, ...] = ()

    def prepare(self, prefix: str, run_id: str, first: int) -> list[PreparedScenario]:
        """They, numbered from ``first`` on, held to pods of their own."""
        return prepare_confined(self.scenarios, prefix, run_id, first)


async def plan_admin_section(api: ApiServer, scenarios: Sequence[Scenario]) -> AdminSection:
    """What of ``scenarios``, which all have policies of administrators, can be run here. Creates nothing.

    Raises ClusterError where a right for it is missing.
    """
    served = {each.kind: each for each in await served_kinds(api, await api_groups(api))}
    if not scenarios or not served:
        return AdminSection(facts=skipped(scenarios, NOT_SERVED))
    await _check_rights(api, served)
    there = {kind: await _priorities_there(api, each) for kind, each in served.items()}
    taken = {place for several in there.values() for place in several}
    kinds = {kind for kind in served if kind != NAMED_DEFAULT or not there[kind]}
    found, left = list[Scenario](), dict[str, list[Scenario]]()
    for scenario in scenarios:
        chosen = _as_here(scenario, kinds, taken)
        if isinstance(chosen, str):
            left.setdefault(chosen, []).append(scenario)
        else:
            found.append(chosen)
            taken |= {(policy.tier, policy.priority) for policy in chosen.snapshot.admin_policies}
    facts = [line for why, several in left.items() for line in skipped(several, why)]
    return AdminSection(tuple(found), served, (*facts, *_told(found, served)))


def _told(scenarios: Sequence[Scenario], served: Mapping[str, ServedKind]) -> list[str]:
    """In which kinds ``scenarios`` are run."""
    if not scenarios:
        return []
    used = sorted({policy.kind for scenario in scenarios for policy in scenario.snapshot.admin_policies})
    versions = ", ".join(f"{kind} {served[kind].version}" for kind in used)
    return [f"{pluralize(len(scenarios), 'scenario')} on policies of administrators, as {versions}"]


def rights_on(kinds: Iterable[str]) -> list[Right]:
    """What it takes to make policies of these ``kinds``, and to take them away again."""
    resource_of = {kind: resource for resource, kind in RESOURCES.items()}
    return [Right(GROUP, resource_of[kind], verb) for kind in kinds for verb in ("create", "delete", "list")]


async def _check_rights(api: ApiServer, kinds: Iterable[str]) -> None:
    missing = await missing_in_cluster(api, rights_on(kinds))
    if missing:
        raise ClusterError(
            f"{api.place}: policies of administrators can't be tried; missing permission: {as_rules(missing)}; "
            "'audit rbac --conformance --admin-policies' prints all that this needs"
        )


async def _priorities_there(api: ApiServer, served: ServedKind) -> list[Place]:
    """Where the policies of a kind stand that are in the cluster, one for each; the last place of all for one that
    can't be read.
    """
    items, _ = await read_list(api, served.question)
    found = [read_live_admin_policy(decode(item, dict, api, served.question), served) for item in items]
    return [
        (policy.tier, policy.priority) if isinstance(policy, AdminPolicy) else (AdminTier.BASELINE, LOWEST_PRIORITY)
        for policy in found
    ]


def _as_here(scenario: Scenario, kinds: Collection[str], taken: Collection[Place]) -> Scenario | str:
    """``scenario`` with its policies as they can be made here; or why they can't be."""
    policies = scenario.snapshot.admin_policies
    if reaches_beyond(policies):
        return REACHES_BEYOND
    as_served = in_served_kinds(policies, kinds)
    if as_served is None:
        return CANNOT_SAY
    placed = at_free_priorities(as_served, taken)
    if placed is None:
        return NO_PRIORITY
    return replace(scenario, snapshot=replace(scenario.snapshot, admin_policies=placed))


def one_default_each(prepared_scenarios: Iterable[PreparedScenario]) -> list[list[PreparedScenario]]:
    """``prepared_scenarios`` in as few groups as leave each with one policy at most that must have a given name."""
    groups: list[list[PreparedScenario]] = []
    for prepared in prepared_scenarios:
        group = next((each for each in groups if not (_has_default(prepared) and any(map(_has_default, each)))), None)
        if group is None:
            groups.append(group := [])
        group.append(prepared)
    return groups


def _has_default(prepared: PreparedScenario) -> bool:
    return any(policy.kind == NAMED_DEFAULT for policy in prepared.snapshot.admin_policies)
