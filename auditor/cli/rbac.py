"""``audit rbac``: the rights for just what somebody means to do, as manifests to be applied."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import click

from auditor.cli import parameters
from auditor.cli.exit_codes import AS_EXPECTED
from auditor.cli.help import SectionedCommand
from auditor.cli.history_place import RING
from auditor.model.errors import UsageError

if TYPE_CHECKING:
    from auditor.cluster.kubernetes.role_manifests import Account, Grant

LABEL = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?"
ACCOUNT = re.compile(rf"{parameters.NAMESPACE}/{LABEL}(\.{LABEL})*\Z")
LONGEST_NAME = 253 - len("-read-namespace")
"""Of an account, after whose name roles are called: Kubernetes takes 253 characters."""


def _read_account(_context: click.Context, _option: click.Parameter, text: str | None) -> Account | None:
    from auditor.cluster.kubernetes.role_manifests import Account

    if text is None:
        return None
    namespace, _, name = text.partition("/")
    if not ACCOUNT.match(text) or len(name) > LONGEST_NAME:
        raise click.BadParameter(f"{text!r}: write NAMESPACE/NAME, such as monitoring/netpol-audit")
    return Account(namespace, name)


def _read_ring(_context: click.Context, _option: click.Parameter, text: str | None) -> tuple[str, str] | None:
    if text is None:
        return None
    found = RING.match(text)
    if found is None:
        raise click.BadParameter(f"{text!r}: write configmap://NAMESPACE/NAME; a directory takes no rights")
    return found["namespace"], found["name"]


@click.command(
    "rbac",
    cls=SectionedCommand,
    examples=(
        "audit rbac -n prod -n staging | kubectl apply -f -",
        "audit rbac --snapshot -A",
        "audit rbac --reports -n prod -n staging",
        "audit rbac --run --cleanup -A --service-account monitoring/netpol-audit",
    ),
)
@parameters.namespace_option("Where pods may be probed from, read or cleaned up: in this namespace; may be repeated.")
@click.option(
    "-A", "--all-namespaces", is_flag=True, help="In all namespaces; for runs, this amounts to cluster-admin."
)
@click.option("--run", "running", is_flag=True, help="For 'audit run'. The default where no other use is named.")
@click.option("--in-place", is_flag=True, help="For 'audit run --in-place'.")
@click.option(
    "--snapshot", is_flag=True, help="For what only reads: 'audit snapshot', 'expect', 'explain', 'lint', 'intent'."
)
@click.option("--cleanup", is_flag=True, help="For 'audit cleanup'.")
@click.option(
    "--history",
    callback=_read_ring,
    metavar="configmap://NAMESPACE/NAME",
    help="For 'audit run --history' with this ConfigMap.",
)
@click.option("--reports", is_flag=True, help="For 'audit run --reports'.")
@click.option("--services", is_flag=True, help="For 'audit run --services'.")
@click.option("--conformance", is_flag=True, help="For 'audit conformance', which amounts to cluster-admin.")
@click.option("--admin-policies", is_flag=True, help="With --conformance: for 'audit conformance --admin-policies'.")
@click.option(
    "--service-account",
    "account",
    callback=_read_account,
    metavar="NAMESPACE/NAME",
    help="Who gets the rights; the namespace must exist. [default: netpol-audit/netpol-audit, with its namespace]",
)
def command(  # noqa: PLR0913 - one parameter for each option
    *,
    namespaces: tuple[str, ...],
    all_namespaces: bool,
    running: bool,
    in_place: bool,
    snapshot: bool,
    cleanup: bool,
    history: tuple[str, str] | None,
    reports: bool,
    services: bool,
    conformance: bool,
    admin_policies: bool,
    account: Account | None,
) -> int:
    """Print the rights that an audit needs and no others, as YAML for kubectl apply.

    Contacts no cluster. A run reads the whole cluster, and puts probe pods only where -n or -A says: name the
    namespaces of the peers, too.
    """
    from auditor.cluster.kubernetes.role_manifests import Grant
    from auditor.cluster.kubernetes.roles import Role

    parameters.check_scope(namespaces, all_namespaces=all_namespaces)
    if admin_policies and not conformance:
        raise UsageError("--admin-policies goes with --conformance")
    uses = frozenset(
        name
        for name, given in (
            ("run", running),
            ("in-place", in_place),
            ("snapshot", snapshot),
            ("cleanup", cleanup),
            ("conformance", conformance),
        )
        if given
    ) or frozenset({"run"})
    uses |= {"reports"} if reports else frozenset()
    uses |= {"services"} if services else frozenset()
    _check_where(uses, bool(namespaces), all_namespaces=all_namespaces)
    granted = grants(uses, tuple(dict.fromkeys(namespaces)) or None)
    _print([*granted, *([Grant(Role.ADMIN_POLICIES)] if admin_policies else [])], account, history)
    return AS_EXPECTED


def _check_where(uses: frozenset[str], named: bool, *, all_namespaces: bool) -> None:
    if uses == {"conformance"}:
        if named:
            raise UsageError("--conformance is about the whole cluster: leave -n out")
    elif not named and not all_namespaces:
        raise UsageError("say where: -n NAMESPACE, or -A for all namespaces")


def grants(uses: frozenset[str], namespaces: tuple[str, ...] | None) -> list[Grant]:
    """What ``uses`` need in ``namespaces`` (None: in all), each role once."""
    from auditor.cluster.kubernetes.role_manifests import Grant
    from auditor.cluster.kubernetes.roles import Role

    found = []
    if uses & {"run", "in-place"}:
        found.append(Grant(Role.READ))
    elif "snapshot" in uses:
        found.append(Grant(Role.SNAPSHOT) if namespaces is None else Grant(Role.READ_NAMESPACE, namespaces))
    for use, role in (
        ("run", Role.PROBE),
        ("in-place", Role.IN_PLACE),
        ("services", Role.SERVICES),
        ("cleanup", Role.CLEANUP),
    ):
        if use in uses:
            found.append(Grant(role, namespaces))
    found += [Grant(Role.REPORTS, namespaces), Grant(Role.CLUSTER_REPORTS)] if "reports" in uses else []
    return [*found, *([Grant(Role.CONFORMANCE)] if "conformance" in uses else [])]


def _print(granted: list[Grant], account: Account | None, history: tuple[str, str] | None) -> None:
    from auditor.cluster.kubernetes.role_manifests import (
        SEPARATOR,
        Account,
        Grant,
        account_manifests,
        binding_manifests,
        role_manifest,
    )
    from auditor.cluster.kubernetes.roles import Role, history_rules
    from auditor.report.lines import say

    who = account or Account()
    documents = account_manifests(who, with_namespace=account is None)
    documents += [role_manifest(grant.role, who) for grant in granted]
    if history is not None:
        namespace, name = history
        documents.append(role_manifest(Role.HISTORY, who, history_rules(name)))
        granted = [*granted, Grant(Role.HISTORY, (namespace,))]
    documents += [binding for grant in granted for binding in binding_manifests(grant, who)]
    for line in SEPARATOR.join(documents).splitlines():
        say(line)
