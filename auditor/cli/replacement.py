"""A file that takes an older one's place whole or not at all, and is like it in everything but its content.

It is written without a name where the file system can do that (O_TMPFILE), so that a kill leaves nothing behind. Only
to replace a file it gets a name of its own for a moment, and what a kill leaves in that moment the next writer of the
same file clears away: a writer holds a lock on what is written, and where nobody does, nobody will.
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TextIO

from auditor.model.errors import ClusterError, system_reason

ANY_READER = 0o666
"""Before the umask, as for any file that a program creates."""
WRITER_ONLY = 0o600
NAMELESS_REFUSED = frozenset({errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL, errno.ENOSYS})
ACL = "system.posix_acl_access"
CHUNK = 1 << 20
LONGEST_NAME = 200
"""Bytes; file systems take 255."""


@contextmanager
def replacing(target: Path, given: str) -> Iterator[TextIO]:
    """A text stream to what will be at ``target`` once the block has ended well. Raises OSError, or ClusterError that
    begins with ``given``.
    """
    with _open_draft(target) as draft:
        with open(draft.descriptor, "w", encoding="utf-8", closefd=False) as stream:
            yield stream
        os.fsync(draft.descriptor)
        draft.publish(given)


def check_replaceable(target: Path) -> None:
    """Raise OSError if what is at ``target``, or nothing yet, could not be replaced."""
    with _open_draft(target) as draft:
        old = _status(target)
        if old is not None and not draft.can_replace(old):
            os.close(os.open(target, os.O_WRONLY | os.O_CLOEXEC))


class _Draft:
    """What is being written, under the name ``temporary`` or, if None, under no name at all."""

    def __init__(self, target: Path, descriptor: int, temporary: Path | None) -> None:
        self.descriptor = descriptor
        self._target = target
        self._temporary = temporary

    def publish(self, given: str) -> None:
        """Put it at the target: by a link where nothing is, else by renaming, or by copying what only that leaves as it
        is.
        """
        old = _status(self._target)
        if old is None and self._temporary is None:
            try:
                _link(self.descriptor, self._target)
            except FileExistsError:
                old = _status(self._target)
            else:
                return
        if old is None or self.can_replace(old):
            self._rename()
        else:
            self._copy(given)

    def can_replace(self, old: os.stat_result) -> bool:
        """Whether a file of its own can be all that ``old`` is. If so, it is, but for the name."""
        return old.st_nlink == 1 and _make_like(self.descriptor, self._target, old)

    def discard(self) -> None:
        """Leave nothing of it, whatever came before."""
        if self._temporary is not None:
            self._temporary.unlink(missing_ok=True)
        os.close(self.descriptor)

    def _rename(self) -> None:
        if self._temporary is None:
            self._temporary = _new_name(self._target)
            _link(self.descriptor, self._temporary)
        self._temporary.replace(self._target)
        self._temporary = None

    def _copy(self, given: str) -> None:
        """Write into the old file: other names for it would keep its old content, or its owner can't be had for a new
        one.
        """
        size = os.fstat(self.descriptor).st_size
        into = os.open(self._target, os.O_WRONLY | os.O_CLOEXEC)
        try:
            _make_room(into, size)
            try:
                _copy_all(self.descriptor, into)
                os.ftruncate(into, size)
                os.fsync(into)
            except OSError as error:
                said = system_reason(error)
                raise ClusterError(f"{given}: {said}; it has parts of both its old content and the new") from error
        finally:
            os.close(into)


@contextmanager
def _open_draft(target: Path) -> Iterator[_Draft]:
    _clear_away(target)
    draft = _nameless(target) or _named(target)
    try:
        yield draft
    finally:
        draft.discard()


def _nameless(target: Path) -> _Draft | None:
    """None where the file system, or a machine without /proc, has no such files."""
    try:
        descriptor = os.open(target.parent, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, ANY_READER)
    except OSError as error:
        if error.errno in NAMELESS_REFUSED:
            return None
        raise
    if not Path(f"/proc/self/fd/{descriptor}").exists():
        os.close(descriptor)
        return None
    _lock(descriptor)
    return _Draft(target, descriptor, None)


def _named(target: Path) -> _Draft:
    mode = ANY_READER if _status(target) is None else WRITER_ONLY
    while True:
        temporary = _new_name(target)
        descriptor = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
        _lock(descriptor)
        if os.fstat(descriptor).st_nlink:
            return _Draft(target, descriptor, temporary)
        os.close(descriptor)  # another writer took it for left over, in the moment before it was locked


def _lock(descriptor: int) -> None:
    with suppress(OSError):  # file systems without locks: there nobody clears anything away either
        fcntl.flock(descriptor, fcntl.LOCK_EX)


def _clear_away(target: Path) -> None:
    """Remove what writers of ``target`` left that were killed."""
    beginning, end = _around(target)
    ours = re.compile(re.escape(beginning) + r"[0-9a-f]{12}" + re.escape(end))
    with suppress(OSError):
        for name in os.listdir(target.parent):  # noqa: PTH208 - names, of which nearly all are none of ours
            if ours.fullmatch(name):
                _remove_unlocked(target.with_name(name))


def _remove_unlocked(path: Path) -> None:
    with suppress(OSError):
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            if stat.S_ISREG(os.fstat(descriptor).st_mode):
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                path.unlink()
        finally:
            os.close(descriptor)


def _new_name(target: Path) -> Path:
    return target.with_name(secrets.token_hex(6).join(_around(target)))


def _around(target: Path) -> tuple[str, str]:
    """What stands before and after the random part of a draft's name."""
    return f".{os.fsdecode(os.fsencode(target.name)[:LONGEST_NAME])}.", ".tmp"


def _link(descriptor: int, path: Path) -> None:
    """Give the file without a name the name ``path``. Raises FileExistsError where something has it."""
    directory = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        # With a descriptor of a directory Python calls linkat(2), which follows the link in /proc to the file.
        os.link(f"/proc/self/fd/{descriptor}", path.name, dst_dir_fd=directory, follow_symlinks=True)
    finally:
        os.close(directory)


def _make_like(descriptor: int, target: Path, old: os.stat_result) -> bool:
    """Give the new file owner, group, mode and extended attributes of ``old``, which is at ``target``; False where we
    may not.
    """
    new = os.fstat(descriptor)
    if (new.st_uid, new.st_gid) != (old.st_uid, old.st_gid):
        try:
            os.fchown(descriptor, old.st_uid, old.st_gid)
        except OSError:
            return False
    os.fchmod(descriptor, stat.S_IMODE(old.st_mode))
    return _copy_attributes(target, descriptor)


def _copy_attributes(target: Path, descriptor: int) -> bool:
    """Whether access is as it was; other attributes are copied as far as they can be."""
    try:
        names, inherited = os.listxattr(target), os.listxattr(descriptor)
    except OSError:
        return True  # a file system without any
    if ACL in inherited and ACL not in names:
        os.removexattr(descriptor, ACL)
    for name in names:
        try:
            os.setxattr(descriptor, name, os.getxattr(target, name))
        except OSError:
            if name == ACL:
                return False
    return True


def _make_room(into: int, size: int) -> None:
    """Take the room for ``size`` bytes before any is overwritten: where there is none, everything stays as it was."""
    old = os.fstat(into).st_size
    if size > old:
        try:
            os.posix_fallocate(into, old, size - old)
        except OSError:
            os.ftruncate(into, old)
            raise


def _copy_all(source: int, into: int) -> None:
    place = 0
    while chunk := os.pread(source, CHUNK, place):
        place += os.pwrite(into, chunk, place)


def _status(path: Path) -> os.stat_result | None:
    try:
        return path.stat()
    except FileNotFoundError:
        return None
