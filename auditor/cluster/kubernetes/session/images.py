"""Which image agents really ran in: a tag may name another one tomorrow, or on another node today."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RanImage:
    """What ran on ``node``: ``image_id`` as the kubelet tells it, ``NAME@sha256:…`` or, of local images,
    ``sha256:…``.
    """

    node: str
    image_id: str


def image_facts(image: str, ran: Iterable[RanImage]) -> Iterator[str]:
    """What a reader of the report should know of the agents' image, which was asked for as ``image``; nothing if by its
    digest.
    """
    by_digest: dict[str, set[str]] = {}
    for each in ran:
        if each.image_id:
            by_digest.setdefault(each.image_id.rpartition("://")[2], set()).add(each.node)
    if "@" in image or not by_digest:
        return
    (first, *others) = sorted(by_digest)
    pinned = next((digest for _, at, digest in (each.partition("@") for each in sorted(by_digest)) if at), "")
    pin = (
        f"--image {_untagged(image)}@{pinned} uses just that one"
        if pinned
        else "it came from no registry, so it has no digest to pin it by"
    )
    if not others:
        yield f"agents ran in image {image}, which was {_digest(first)}: {pin}"
        return
    which = "; ".join(f"{_digest(each)} on {', '.join(sorted(nodes))}" for each, nodes in sorted(by_digest.items()))
    advice = f": --image {_untagged(image)}@{pinned} uses one of them everywhere" if pinned else ""
    yield f"image {image} is not the same on all nodes: {which}{advice}"


def _digest(image_id: str) -> str:
    return image_id.rpartition("@")[2]


def _untagged(image: str) -> str:
    """``image`` without its tag; a port of the registry is none."""
    before, colon, tag = image.rpartition(":")
    return before if colon and "/" not in tag else image
