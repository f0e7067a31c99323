"""Whether a namespace's ResourceQuotas leave room for what a run creates there.

A dry run finds out for one pod; only the sum tells for all of them. Quotas with scopes that depend on more than what we
set ourselves are left to the dry run.
"""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal, InvalidOperation

import msgspec

from auditor.cluster.kubernetes.client.api_types import Record
from auditor.cluster.kubernetes.objects import PodOptions
from auditor.cluster.kubernetes.preflight.disruptions import Named

SUFFIXES = {
    "n": Decimal("1e-9"),
    "u": Decimal("1e-6"),
    "m": Decimal("1e-3"),
    "": Decimal(1),
    "k": Decimal(10**3),
    "M": Decimal(10**6),
    "G": Decimal(10**9),
    "T": Decimal(10**12),
    "P": Decimal(10**15),
    "E": Decimal(10**18),
    "Ki": Decimal(2**10),
    "Mi": Decimal(2**20),
    "Gi": Decimal(2**30),
    "Ti": Decimal(2**40),
    "Pi": Decimal(2**50),
    "Ei": Decimal(2**60),
}
OUR_SCOPES = frozenset({"Terminating", "NotBestEffort"})
"""The scopes that hold our pods: they have a deadline and requests (core/v1 ResourceQuotaScope)."""


class QuotaSpec(Record, frozen=True):
    """v1 ResourceQuotaSpec; a scopeSelector goes by classes that we don't set."""

    scopes: tuple[str, ...] = ()
    scope_selector: msgspec.Raw = msgspec.Raw()


class QuotaStatus(Record, frozen=True):
    """v1 ResourceQuotaStatus."""

    hard: dict[str, str] = msgspec.field(default_factory=dict)
    used: dict[str, str] = msgspec.field(default_factory=dict)


class Quota(Record, frozen=True):
    """v1 ResourceQuota."""

    metadata: Named
    spec: QuotaSpec = QuotaSpec()
    status: QuotaStatus = QuotaStatus()

    @property
    def concerns_us(self) -> bool:
        return OUR_SCOPES.issuperset(self.spec.scopes) and not bytes(self.spec.scope_selector)


def quantity(text: str) -> Decimal:
    """The value of a quantity such as ``250m``, ``96Mi``, ``1e3`` (apimachinery resource.Quantity). ValueError when it
    is none.
    """
    number = text.rstrip("numkMGTPEi")
    suffix = text[len(number) :]
    try:
        return Decimal(number) * SUFFIXES[suffix]
    except (InvalidOperation, KeyError):
        raise ValueError(f"{text!r} is not a valid quantity, such as 250m or 96Mi") from None


def needed(pods: int, options: PodOptions) -> dict[str, Decimal]:
    """What ``pods`` probe pods and what goes with them take of each resource that a quota can limit."""
    requested, limited, memory = (pods * quantity(text) for text in (options.cpu, options.cpu_limit, options.memory))
    count, one = Decimal(pods), Decimal(1)
    return {
        "pods": count,
        "count/pods": count,
        "cpu": requested,
        "requests.cpu": requested,
        "limits.cpu": limited,
        "memory": memory,
        "requests.memory": memory,
        "limits.memory": memory,
        "configmaps": one,
        "count/configmaps": one,
        "count/leases.coordination.k8s.io": one,
    }


def shortages(quotas: Iterable[Quota], pods: int, options: PodOptions) -> tuple[str, ...]:
    """What is missing in one namespace for ``pods`` probe pods, a phrase for each resource of each quota that is too
    small.
    """
    wanted = needed(pods, options)
    lines = []
    for quota in quotas:
        if not quota.concerns_us:
            continue
        for resource in sorted(quota.status.hard.keys() & wanted.keys()):
            free = quantity(quota.status.hard[resource]) - quantity(quota.status.used.get(resource, "0"))
            if wanted[resource] > free:
                lines.append(
                    f"quota {quota.metadata.name} leaves {_text(free)} of {resource}, {_text(wanted[resource])} needed"
                )
    return tuple(lines)


def _text(value: Decimal) -> str:
    """A quantity for people: bytes in Mi, thousandths as m, anything else plain."""
    if abs(value) >= 2**20:
        return f"{value / 2**20:.0f}Mi"
    return f"{value:.0f}" if value == value.to_integral_value() else f"{value * 1000:.0f}m"
