"""What a document of a found file says that it is, where nothing else of it counts.

Most files of a repository hold kinds of which no more is read than ``apiVersion`` and ``kind``. Turning them into
values takes longer than all else, so such text is only checked to be YAML. Whatever could make a difference (a pod
template, a patch, a name spelt with escapes, an alias that stands for many parts) is read as a whole.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

import yaml

from auditor.parsing.api_server_calls import GROUPS as CALLERS
from auditor.parsing.paths import Parsed
from auditor.parsing.services import ENDPOINT_KINDS
from auditor.parsing.yaml_scalars import plain_value
from auditor.parsing.yaml_values import LOADER

DECISIVE = (
    "NetworkPolicy",
    "ClusterNetworkPolicy",
    "AdminNetworkPolicy",
    "BaselineAdminNetworkPolicy",
    "Namespace",
    "Pod",
    "Service",
    "Deployment",
    "StatefulSet",
    "DaemonSet",
    "ReplicaSet",
    "ReplicationController",
    "Job",
    "CronJob",
    "Node",
)
"""The kinds on which verdicts hang."""
OTHER_POLICIES = ("CiliumNetworkPolicy", "CiliumClusterwideNetworkPolicy", "GlobalNetworkPolicy")
READ_WHOLE = frozenset(
    kind.lower() for kind in (*DECISIVE, *OTHER_POLICIES, *CALLERS, *(kind for kind, _ in ENDPOINT_KINDS))
)
"""The kinds, in small letters, of which anything is read; misspelt ones are reported."""
ESCAPES = (b"\\x", b"\\u", b"\\U")
"""How a string begins to write a character by its number."""
TELLING = (b"containers", b"$patch", b"$retainKeys")
"""What is in every pod template, and in patches."""
UNUSUAL = (b"\n?", b"\n...", b"\xc2\x85", b"\xe2\x80\xa8", b"\xe2\x80\xa9", b" " * 100, b"- " * 50)
"""Explicit keys, several documents, other line breaks than people use, deep nesting."""
MOST_BRACKETS = 100
ANCHOR = re.compile(rb"[\s\[{,]&[^\s&]")
ALIAS = re.compile(rb"[\s\[{,]\*[^\s*]")
FIRST_LEVEL = re.compile(
    rb"""["']?(kind|apiVersion)["']?[ \t]*:[ \t]*["']?([^\s"'#]*)["']?[ \t]*(?:#.*)?\r?$""", re.MULTILINE
)
KEY = re.compile(rb"""["']?(?:kind|apiVersion)["']?[ \t]*:""")
PLAIN = re.compile(
    rb"""(kind|apiVersion):[ \t]+(["']?)([A-Za-z][A-Za-z0-9./-]*)\2[ \t]*(?:#.*)?\r?$(?!\s*\n[ \t]+[^\s#])""",
    re.MULTILINE,
)
"""One of the two on the first level with all of its value."""
BEFORE = re.compile(rb"(?:---)?[ \t]*(?:#.*)?\r?\Z")
"""A line before the first key."""
FIRST_KEY = re.compile(rb"[A-Za-z_][A-Za-z0-9_./-]*:(?:[ \t\r]|\Z)")


def may_have(text: bytes, words: Iterable[bytes]) -> bool:
    """Whether any of ``words`` may be in ``text``, as it is or written with escapes."""
    return any(word in text for word in words) or any(each in text for each in ESCAPES)


def first_level(text: bytes, pattern: re.Pattern[bytes] = FIRST_LEVEL) -> Iterator[re.Match[bytes]]:
    """Where ``kind`` and ``apiVersion`` stand at the beginning of a line, as ``pattern`` takes them."""
    for word in (b"kind", b"apiVersion"):
        at = text.find(word)
        while at >= 0:
            start = at - 1 if text[at - 1 : at] in (b'"', b"'") else at
            if (not start or text[start - 1] == ord("\n")) and (found := pattern.match(text, start)):
                yield found
            at = text.find(word, at + 1)


def read_heading(piece: bytes, lines_before: int) -> Parsed | None:
    """The document ``piece``, which begins after ``lines_before`` lines of its file, as a mapping of ``apiVersion`` and
    ``kind``; None where more of it may count, or it may not be valid.
    """
    if may_have(piece, (*TELLING, *UNUSUAL)) or piece.count(b"\r") != piece.count(b"\r\n"):
        return None
    value = {found[1].decode(): found[3].decode() for found in first_level(piece, PLAIN) if _is_text(found[3].decode())}
    if len(value) != 2 or len(list(first_level(piece, KEY))) != 2 or not _is_unread(value["kind"]):
        return None
    line = _first_line(piece)
    if line is None or _may_grow(piece) or not _is_yaml(piece):
        return None
    return Parsed(value, lambda _: lines_before + line)


def _is_text(value: str) -> bool:
    return isinstance(plain_value(value), str)


def _is_unread(kind: str) -> bool:
    return kind.lower() not in READ_WHOLE and not kind.endswith("List")


def _first_line(piece: bytes) -> int | None:
    """The line of the first key, counted from 1; None where something else comes first."""
    for number, line in enumerate(piece.split(b"\n"), 1):
        if not BEFORE.match(line):
            return number if FIRST_KEY.match(line) else None
    return None


def _may_grow(piece: bytes) -> bool:
    """Whether ``piece`` may be nested too deep, or aliases in it stand for too many parts."""
    if piece.count(b"[") + piece.count(b"{") > MOST_BRACKETS:
        return True
    return b"*" in piece and b"&" in piece and bool(ANCHOR.search(piece) and ALIAS.search(piece))


def _is_yaml(piece: bytes) -> bool:
    """Whether ``piece`` is valid YAML, where that can be told without making values of it."""
    loader = LOADER(piece)
    try:
        loader.raw_parse()
    except (yaml.YAMLError, AttributeError):  # AttributeError: PyYAML without its C part
        return False
    finally:
        loader.dispose()
    return True
