"""Text from outside, made harmless for its readers: a terminal, and a CI system that looks for commands in what a
job prints.

Names, messages, file names and answers come from clusters, manifests and pull requests. Whatever prints goes through
here: lines by ``printable``, JSON by ``json_text``. What can't be shown as it is becomes an escape, so that nothing is
lost and nothing is obeyed.
"""

from __future__ import annotations

import re

INVISIBLE = re.compile("[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]")
"""Characters without any width that Python calls printable: a name may differ from another one in these alone."""

ANYWHERE = re.compile(r"#(?=#\w*\[)")
"""``##[``, ``##vso[`` and ``##teamcity[`` are commands to GitHub, Azure Pipelines and TeamCity, wherever in a line they
stand.
"""

AT_BEGIN = re.compile(r"\s*(:):(?![0-9A-Fa-f]{1,4}[ :])[A-Za-z][-\w]*(?: .*?)?::")
"""``::error file=…::`` is a command to GitHub where a line begins with it, blanks aside. ``::a and fe80::1`` is about
IPv6.
"""


def dangers(line: str) -> list[tuple[int, int]]:
    """Which parts of ``line`` must not be printed as they are: ``(begin, end)``, in order."""
    if line.isprintable() and (line.isascii() or not INVISIBLE.search(line)) and "##" not in line and "::" not in line:
        return []
    found = {place for place, character in enumerate(line) if not _can_be_seen(character)}
    found |= {match.start() for match in ANYWHERE.finditer(line)}
    if command := AT_BEGIN.match(line):
        found.add(command.start(1))
    return [(place, place + 1) for place in sorted(found)]


def escape(character: str) -> str:
    r"""``\x1b``, ``\u202e``: ``character`` as Python writes it in a string; one that could be shown, too."""
    if character.isprintable() and character.isascii():
        return f"\\x{ord(character):02x}"
    return character.encode("unicode_escape").decode()


def printable(line: str) -> str:
    """``line`` as one line that moves no cursor, hides nothing, and is not a command to a CI system. Twice is the same
    as once.
    """
    parts, done = [], 0
    for begin, end in dangers(line):
        parts += [line[done:begin], escape(line[begin:end])]
        done = end
    return "".join((*parts, line[done:])) if parts else line


def json_text(text: str) -> str:
    r"""``text``, a part of a JSON document that does not end inside a string's ``##``, saying the same in characters
    that can be seen.

    They stand inside strings, where ``\u`` may stand for any of them.
    """
    if "#" in text and "##" in text:  # one character is found much faster than two
        text = text.replace("##", "#\\u0023")
    if text.isascii() and "\x7f" not in text:
        return text
    return "".join(
        character if character == "\n" or _can_be_seen(character) else _json_escape(character) for character in text
    )


def _can_be_seen(character: str) -> bool:
    return character.isprintable() and not INVISIBLE.match(character)


def _json_escape(character: str) -> str:
    units = character.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[place : place + 2].hex()}" for place in range(0, len(units), 2))
