"""What is different in a cluster from one run to the next, beside the findings: they often say why."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

from auditor.model.labels import Labels
from auditor.model.night import Surroundings


@dataclass(frozen=True, slots=True)
class Change:
    """One difference in words. ``namespace`` or ``workload`` is what it is about; neither: all of the cluster."""

    text: str
    namespace: str = ""
    workload: str = ""
    is_policy: bool = False

    def concerns(self, namespaces: Collection[str], workloads: Collection[str]) -> bool:
        """Whether it may have to do with a finding between ``workloads`` in ``namespaces``."""
        if self.workload:
            return self.workload in workloads
        return not self.namespace or self.namespace in namespaces


def changes_between(before: Surroundings | None, after: Surroundings | None) -> tuple[Change, ...]:
    """What is different, versions first; nothing where one of both is not known."""
    if before is None or after is None:
        return ()
    return (
        *_versions(before.versions, after.versions),
        *_nodes(before.nodes, after.nodes),
        *_policies(before.policies, after.policies),
        *_labels("namespace", before.namespaces, after.namespaces),
        *_labels("", before.labels, after.labels),
    )


def _versions(before: Mapping[str, str], after: Mapping[str, str]) -> Iterator[Change]:
    for name in sorted(before.keys() & after.keys()):
        if before[name] != after[name]:
            yield Change(f"{name}: {before[name]} before, {after[name]} now")


def _nodes(before: Collection[str], after: Collection[str]) -> Iterator[Change]:
    if not before or not after:
        return
    for name in sorted({*before} ^ {*after}):
        yield Change(f"node {name} is {'new' if name in after else 'gone'}")


def _policies(before: Mapping[str, str], after: Mapping[str, str]) -> Iterator[Change]:
    for name in sorted(before.keys() | after.keys()):
        if before.get(name) == after.get(name):
            continue
        what = "is new" if name not in before else "is gone" if name not in after else "has changed"
        yield Change(f"policy {name} {what}", namespace=name.partition("/")[0], is_policy=True)


def _labels(what: str, before: Mapping[str, Labels], after: Mapping[str, Labels]) -> Iterator[Change]:
    for name in sorted(before.keys() & after.keys()):
        old, new = before[name], after[name]
        told = [
            f"{key}: {old.get(key, 'none')!s} before, {new.get(key, 'none')!s} now"
            for key in sorted(old.keys() | new.keys())
            if old.get(key) != new.get(key)
        ]
        if told:
            text = f"labels of {f'{what} ' if what else ''}{name}: {'; '.join(told)}"
            yield Change(text, namespace=name if what else "", workload="" if what else name)
