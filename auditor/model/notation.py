"""Parts of a policy as YAML, for what to write instead."""

from __future__ import annotations

import json
import re
from dataclasses import replace

from auditor.model.labels import LabelSelector, Requirement
from auditor.model.policy import Direction, IPBlock, Peer

PLAIN = re.compile(r"[A-Za-z][A-Za-z0-9_./-]*\Z")
MOST_EXCEPTS = 20
LONGEST = 2_000
"""More characters of one item than that, nobody reads; and cited in thousands of findings they would be gigabytes."""
READ_OTHERWISE = frozenset({"true", "false", "yes", "no", "on", "off", "null", "y", "n"})
SIDES = {Direction.INGRESS: "from", Direction.EGRESS: "to"}
"""What the peers of a rule are called in each direction."""


def scalar(text: str) -> str:
    """``text`` as a YAML scalar, quoted where it would be read as something else."""
    return text if PLAIN.match(text) and text.lower() not in READ_OTHERWISE else json.dumps(text)


def selector_yaml(selector: LabelSelector) -> str:
    """A selector in flow style: ``{matchLabels: {app: web}}``."""
    parts = []
    if selector.match_labels:
        parts.append(
            "matchLabels: {"
            + ", ".join(f"{scalar(key)}: {scalar(value)}" for key, value in selector.match_labels)
            + "}"
        )
    if selector.match_expressions:
        parts.append("matchExpressions: [" + ", ".join(map(_expression, selector.match_expressions)) + "]")
    return "{" + ", ".join(parts) + "}"


def _expression(requirement: Requirement) -> str:
    values = f", values: [{', '.join(map(scalar, requirement.values))}]" if requirement.values else ""
    return f"{{key: {scalar(requirement.key)}, operator: {requirement.operator}{values}}}"


def peer_yaml(peer: Peer) -> str:
    """A peer with selectors as an item of ``from`` or ``to``: one dash, both selectors below it."""
    lines = []
    if peer.namespace_selector is not None:
        lines.append(f"namespaceSelector: {selector_yaml(peer.namespace_selector)}")
    if peer.pod_selector is not None:
        lines.append(f"podSelector: {selector_yaml(peer.pod_selector)}")
    return "- " + "\n  ".join(lines)


def brief_block(block: IPBlock) -> str:
    """``block`` with the first of its excepts, so that a sentence which names it stays one."""
    more = len(block.excepts) - MOST_EXCEPTS
    if more <= 0:
        return str(block)
    return f"{replace(block, excepts=block.excepts[:MOST_EXCEPTS])} and {more:,} more"


def brief(peer: Peer) -> str:
    """``peer``, cut where it is longer than a sentence can be."""
    if peer.ip_block is not None:
        return f"ipBlock {brief_block(peer.ip_block)}"
    text = str(peer)
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}…"
