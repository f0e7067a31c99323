"""Identity classes: groups of endpoints joined where no rule in force tells them apart."""

from __future__ import annotations

from auditor.model.snapshot import Snapshot
from auditor.policy.bits import bits
from auditor.policy.groups import Groups
from auditor.policy.matrix import IdentityClass


def identity_classes(
    snapshot: Snapshot, groups: Groups, traits: set[int]
) -> tuple[tuple[IdentityClass, ...], list[int]]:
    """Join groups that share every trait. Returns the classes, in order of their first members, and the class of each
    group.
    """
    everything = groups.everything
    signatures: list[list[int]] = [[] for _ in groups.representatives]
    for number, mask in enumerate(sorted(traits)):
        outside = everything & ~mask
        for group in bits(mask if mask.bit_count() <= outside.bit_count() else outside):
            signatures[group].append(number)
    numbers: dict[tuple[object, ...], int] = {}
    class_of_group = []
    for signature, endpoint in zip(signatures, groups.representatives, strict=True):
        key = (endpoint.kind, endpoint.host_network, endpoint.families, *signature)
        class_of_group.append(numbers.setdefault(key, len(numbers)))
    members: list[list[int]] = [[] for _ in numbers]
    for index, group in enumerate(groups.of_endpoint):
        members[class_of_group[group]].append(index)
    names = [endpoint.name for endpoint in snapshot.endpoints]
    classes = tuple(
        IdentityClass(number, indices[0], tuple(names[index] for index in indices))
        for number, indices in enumerate(members)
    )
    return classes, class_of_group
