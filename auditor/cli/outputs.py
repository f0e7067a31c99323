"""Which formats of a document go where: ``-o FORMAT``, ``-o FORMAT=FILE`` (as often as one likes) and ``--output-file
FILE``.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from stat import S_ISREG
from typing import TYPE_CHECKING, Any, TypeVar

import click

from auditor.cli.help import names_a_path
from auditor.cli.output import check_output, is_standard_output, open_output, tell
from auditor.model.errors import ClusterError, UsageError
from auditor.report.registry import DEFAULT_FORMAT, RUN, WIDE, Document, formats_of, renderer

if TYPE_CHECKING:
    from auditor.model.report import Report

Value = TypeVar("Value")
_VERBOSE = f"{__name__}.verbose"
"""Where -v is kept between the options of a command and their use."""


@dataclass(frozen=True, slots=True)
class Output:
    """One format of a document and the file that it goes to; None is standard output. ``given``: the option that asks
    for it, in words.
    """

    format: str
    path: str | None = None
    given: str = "-o"

    @property
    def on_standard_output(self) -> bool:
        return is_standard_output(self.path)


@dataclass(frozen=True, slots=True)
class Outputs:
    """Everything that a command writes of its document; at most one of it goes to standard output."""

    each: tuple[Output, ...]

    @property
    def files(self) -> tuple[str, ...]:
        """The files among them."""
        return tuple(output.path for output in self.each if output.path and not output.on_standard_output)

    def check(self) -> None:
        """Find out before a long run whether all of it can be written. Raises UsageError or ClusterError."""
        for output in self.each:
            check_output(output.path, output.given)

    def deliver(self, document: Document[Value], value: Value) -> None:
        """Write ``value`` in each format to where it goes.

        A file that can't be written keeps none of the others from being written; only then ClusterError says what went
        wrong. Standard output comes last: nobody who stops to listen takes a file away from somebody else.
        """
        failures: list[ClusterError | BrokenPipeError] = []
        for output in sorted(self.each, key=lambda output: output.on_standard_output):
            try:
                with open_output(output.path, output.given) as stream:
                    renderer(document, output.format)(value, stream)
            except (ClusterError, BrokenPipeError) as failure:
                failures.append(failure)
        said = [line for failure in failures if isinstance(failure, ClusterError) for line in failure.lines]
        if said:
            raise ClusterError(*said) from failures[0]
        if failures:
            raise failures[0]

    def tell(self, conclusion: str, headline: str, *, quiet: bool) -> None:
        """Say on stderr what a document comes to where nobody sees it go by."""
        if len(self.files) == len(self.each):
            tell(conclusion, headline, ", ".join(self.files), quiet=quiet)


def deliver_report(report: Report, outputs: Outputs, *, quiet: bool) -> None:
    """Write the report of a run, and say on stderr what it comes to where all of it goes to files."""
    from auditor.report.conclusion import conclude
    from auditor.report.headline import headline

    outputs.deliver(RUN, report)
    outputs.tell(conclude(report), headline(report), quiet=quiet)


def _read(text: str, formats: Sequence[str]) -> Output:
    """``json`` or ``json=FILE``."""
    name, equals, path = text.partition("=")
    if name not in formats:
        raise click.BadParameter(f"{name!r} is not one of {', '.join(map(repr, formats))}.")
    if equals and not path:
        raise click.BadParameter(f"{text!r} names no file: write {name}=FILE, or {name} for standard output.")
    return Output(name, path or None, f"-o {text}")


def output_options(document: Document[Any]) -> Callable[[Any], Any]:
    """Give a command ``-o`` and ``--output-file`` for ``document``; they arrive as the parameters of
    ``read_outputs``.
    """
    names = formats_of(document)
    formats = click.option(
        "-o",
        "--output",
        multiple=True,
        callback=lambda _context, _option, texts: tuple(_read(text, names) for text in texts),
        metavar=f"{'|'.join(names)}[=FILE]",
        help=f"Format of the {document.name}, to a file of its own with =FILE; may be repeated. "
        f"[default: {DEFAULT_FORMAT}]",
    )
    file = click.option(
        "--output-file",
        metavar="FILE",
        help=f"Write the {document.name} to this file, whole or not at all. [default: standard output]",
    )

    verbose = click.option(
        "-v",
        "--verbose",
        is_flag=True,
        expose_value=False,
        callback=lambda context, _option, given: context.meta.update({_VERBOSE: given}),
        help=f"List everything that a {DEFAULT_FORMAT} counts only, as -o {WIDE} does.",
    )

    def decorate(command: Any) -> Any:
        return formats(file(verbose(command) if WIDE in names else command))

    return decorate


def read_outputs(output: Sequence[Output], output_file: str | None, document: Document[Any]) -> Outputs:
    """What ``-o`` and ``--output-file`` ask for, written as ``document``.

    Raises UsageError when two things go to one place, or when ``document`` has no such format.
    """
    asked = tuple(output) or (Output(DEFAULT_FORMAT),)
    if output_file is not None:
        asked = tuple(_into(output_file, asked))
    _refuse_sharing(asked)
    for each in asked:
        refuse_to_replace_input(each.path, each.given, but=() if each.format != "json" else ("baseline",))
    known = formats_of(document)
    if WIDE in known and click.get_current_context().meta.get(_VERBOSE):
        asked = tuple(replace(each, format=WIDE) if each.format == DEFAULT_FORMAT else each for each in asked)
    for each in asked:
        if each.format not in known:
            raise UsageError(f"--output {each.format}: a {document.name} has no results; use one of {', '.join(known)}")
    return Outputs(asked)


def refuse_to_replace_input(path: str | None, given: str, but: Collection[str] = ()) -> None:
    """Raise UsageError where the file at ``path`` is one that the running command names among what it reads, in other
    parameters than those in ``but``: a run's JSON may well be the next one's baseline.
    """
    if path is None or (place := _file(path)) is None:
        return
    context = click.get_current_context()
    names = {each.name or "" for each in context.command.params if names_a_path(each)}
    read = [context.params.get(name) for name in names.difference(("output_file", *but))]
    for text in (each for value in read for each in (value if isinstance(value, tuple) else (value,))):
        if isinstance(text, str) and os.path.isfile(text) and _file(text) == place:  # noqa: PTH113 - as above
            raise UsageError(f"{given}: this command reads {text}, which would be replaced: write to another file")


def _into(path: str, outputs: Sequence[Output]) -> Iterable[Output]:
    """``outputs``, of which the one that names no file goes to ``path``."""
    if all(each.path is not None for each in outputs):
        raise UsageError(f"--output-file {path}: each -o names its file already; leave --output-file out")
    for each in outputs:
        yield each if each.path is not None else Output(each.format, path, f"--output-file {path}")


def _refuse_sharing(outputs: Sequence[Output]) -> None:
    places: dict[object, Output] = {}
    for each in outputs:
        if each.on_standard_output:
            place: object = None
        elif (place := _file(each.path or "")) is None:
            continue
        other = places.setdefault(place, each)
        if other is not each:
            where = "standard output" if place is None else f"the same file, {each.path}"
            raise UsageError(
                f"{_short(other)} and {_short(each)} both go to {where}: give each a file of its own, "
                f"-o {each.format}=FILE"
            )


def _short(output: Output) -> str:
    return output.given if output.path else f"-o {output.format}"


def _file(path: str) -> object:
    """What is the same for two paths to one file; None for a device or a pipe, which takes any number of texts."""
    with suppress(OSError):
        status = os.stat(path)  # noqa: PTH116 - what is no file is no Path's business
        return (status.st_dev, status.st_ino) if S_ISREG(status.st_mode) else None
    with suppress(OSError):
        return os.path.realpath(path)
    return path
