"""Texts as somebody writes them who wants to deceive whoever reads an audit, and what must not come out of them."""

from __future__ import annotations

import re

from hypothesis import strategies as st

COMMANDS = (
    "::error file=a.yaml,line=1::no",
    "::add-mask::a",
    "::TOKEN::",
    "##[error]no",
    "##vso[task.complete result=Succeeded]",
    "##teamcity[x]",
)
CONTROLS = (
    "\x1b[2J\x1b[H",
    "\x1b]0;title\x07",
    "\x1b]8;;http://evil\x1b\\",
    "\x9b2J",
    "\x9d0;title\x9c",
    "\r",
    "\b",
    "\x00",
    "\x7f",
    "\t",
    "\x0b\x0c",
)
UNSEEN = (
    "\u202e",
    "\u2066",
    "\u2069",
    "\u200b",
    "\u200d",
    "\u2028",
    "\u2029",
    "\x85",
    "\ufeff",
    "\u00ad",
    "\ud800",
    "\udcff",
    "\u3164",
    "\U000e0041",
    "\ufe0f",
)
HOSTILE = (
    *COMMANDS,
    *(f"a{text}b" for text in (*CONTROLS, *UNSEEN)),
    "a\n::error::no",
    "a\r\n##[error]no",
    "\t ::warning::no",
    "###vso[x]y",
    "##\x1b[0m[x]",
    "\u200b::error::no",
)

texts = st.lists(
    st.one_of(st.sampled_from((*HOSTILE, "::", "##", "[", "#", " ", "\n", "a")), st.text(max_size=5)), max_size=6
).map("".join)

REGISTERED = {
    "error",
    "warning",
    "notice",
    "debug",
    "add-mask",
    "stop-commands",
    "set-output",
    "set-env",
    "add-path",
    "group",
    "TOKEN",
}


def is_command(line: str) -> bool:
    """As the runners of GitHub and Azure read a line of a job's output (ActionCommand.TryParseV2 and TryParse,
    Command.TryParse).
    """
    begin = line.lstrip()
    if begin.startswith("::") and (end := begin.find("::", 2)) > 0 and begin[2:end].split(" ")[0] in REGISTERED:
        return True
    return re.search(r"##\w*\[", line) is not None


def is_harmless(text: str) -> bool:
    """Whether each line of ``text`` can be seen as it is and is no command."""
    lines = text.split("\n")
    return all(line.isprintable() and not is_command(line) for line in lines) and not any(
        unseen in text for unseen in UNSEEN
    )
