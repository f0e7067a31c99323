"""The tables of docs/claims.md: what is claimed, the command that answers it, and the sentence of its output."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

PAGE = Path(__file__).parents[3] / "docs/claims.md"
ROW = re.compile(r"\| (?P<claimed>.*?) ?\| (?P<true>.*?) ?\| `audit (?P<command>.*?)` \| (?P<sentence>.+?) \|")


@dataclass(frozen=True)
class Answer:
    command: str
    sentence: str

    @property
    def arguments(self) -> list[str]:
        return shlex.split(self.command)

    @property
    def needs_packets(self) -> bool:
        """Whether a network has to be built; what is refused beforehand needs none."""
        return self.command.startswith("run --lab") and "seed-final-yaml" not in self.command

    @property
    def scenarios(self) -> set[str]:
        return set(re.findall(r"seed-[a-z-]+[a-z]", self.command))


def rows() -> list[str]:
    """The lines of the tables below their heads."""
    lines = PAGE.read_text(encoding="utf-8").splitlines()
    return [line for line in lines if line.startswith("|") and not line.startswith(("|---", "| Claimed |"))]


def answers(*, packets: bool) -> list[Answer]:
    found = [match for row in rows() if (match := ROW.fullmatch(row))]
    every = [Answer(match["command"], match["sentence"]) for match in found]
    return [answer for answer in every if answer.needs_packets is packets]


def joined(output: str) -> str:
    """``output`` without its line breaks and indentation."""
    return " ".join(output.split())
