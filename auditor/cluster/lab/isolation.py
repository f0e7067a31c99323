"""The system calls that make the lab private, and their failures in words that say what to do.

Python 3.11 has no wrappers for namespaces, so libc is called directly. Nothing else of the project is imported: the
supervisor, which forks every agent, stays small.
"""

from __future__ import annotations

import ctypes
import errno
import os
import select
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

CLONE_NEWNS = 0x00020000
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000
CLONE_NEWNET = 0x40000000

_MS_REC_PRIVATE = 0x4000 | 0x40000
_PR_SET_PDEATHSIG = 1

_libc = ctypes.CDLL(None, use_errno=True)

_SWITCHES = (
    ("kernel/unprivileged_userns_clone", "0", "sysctl -w kernel.unprivileged_userns_clone=1"),
    ("kernel/apparmor_restrict_unprivileged_userns", "1", "sysctl -w kernel.apparmor_restrict_unprivileged_userns=0"),
    *(
        (f"user/max_{kind}_namespaces", "0", f"sysctl -w user.max_{kind}_namespaces=10000")
        for kind in ("user", "net", "mnt", "pid")
    ),
)


_SHORTAGES = {
    errno.EMFILE: "too many open files: allow more of them with 'ulimit -n'",
    errno.EAGAIN: "too many processes: allow more of them with 'ulimit -u'",
    errno.ENOMEM: "not enough memory: allow more, or audit a smaller scenario",
    errno.ENOSPC: "too many namespaces: allow more of them with 'sysctl -w user.max_net_namespaces=10000'",
}


def in_words(error: OSError) -> str:
    """What went wrong and, where the machine ran short of something, what to do."""
    return _SHORTAGES.get(error.errno or 0, str(error))


class IsolationError(Exception):
    """The kernel refused a private namespace. The text says what to do."""


def _check(result: int, what: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def leave_namespaces(flags: int) -> None:
    """Leave the namespaces that ``flags`` name (bits of the system call ``unshare``). Raises OSError."""
    _check(_libc.unshare(flags), "unshare")


def enter_network(descriptor: int) -> None:
    """Move the calling thread to the network namespace that ``descriptor`` refers to. Raises OSError."""
    _check(_libc.setns(descriptor, CLONE_NEWNET), "setns")


def die_with_parent(parent: int) -> None:
    """Have the kernel kill this process the moment its parent, known to be ``parent``, ends; end at once if it has
    ended already.
    """
    _ask_to_die()
    if os.getppid() != parent:
        os._exit(1)


def fork_to_die_with_parent() -> int:
    """``os.fork()`` whose child the kernel kills the moment this process ends, also if that is before the child has
    asked for it. A child in a process namespace of its own can't see by its parent's number whether that still lives.
    """
    until_parent_ends, open_while_parent_lives = os.pipe()
    child = os.fork()
    if child != 0:
        os.close(until_parent_ends)
        return child
    os.close(open_while_parent_lives)
    _ask_to_die()
    if select.select([until_parent_ends], [], [], 0)[0]:
        os._exit(1)
    os.close(until_parent_ends)
    return 0


def _ask_to_die() -> None:
    _check(_libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0), "prctl")


def leave_host() -> None:
    """Move this process to private network, mount and (for its children) process namespaces, through a user namespace
    if need be.

    Raises IsolationError when the kernel allows neither.
    """
    private = CLONE_NEWNET | CLONE_NEWNS | CLONE_NEWPID
    user, group = os.geteuid(), os.getegid()
    try:
        if user == 0:
            # Root of a container may lack the capabilities; perhaps a user namespace is allowed then.
            with suppress(PermissionError):
                return leave_namespaces(private)
        leave_namespaces(CLONE_NEWUSER)
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"0 {user} 1")
        Path("/proc/self/gid_map").write_text(f"0 {group} 1")
        leave_namespaces(private)
    except OSError as error:
        raise IsolationError(_advice(error, user)) from error


def _advice(error: OSError, user: int) -> str:
    reason = (
        "the lab needs private namespaces and this machine refuses them "
        f"({errno.errorcode.get(error.errno or 0, 'error')})"
    )
    for name, closed, command in _SWITCHES:
        with suppress(OSError):
            if Path("/proc/sys", name).read_text().strip() == closed:
                return f"{reason}: run as root, or allow it: {command}"
    if user == 0:
        return (
            f"{reason}: in a container, start it privileged (--privileged, or --cap-add SYS_ADMIN --cap-add NET_ADMIN)"
        )
    return f"{reason}: run as root"


def private_mounts() -> None:
    """Cut this mount namespace off and give it a /proc of its own where the kernel allows that; else the old one stays.

    A fresh /proc is writable where a container's is not. Raises OSError when the mounts can't be made private.
    """
    _check(_libc.mount(b"none", b"/", None, _MS_REC_PRIVATE, None), "mount --make-rprivate /")
    _libc.mount(b"proc", b"/proc", b"proc", 0, None)


def new_network() -> int:
    """A new network namespace; the caller stays where it is. Returns a descriptor that keeps it alive."""
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        leave_namespaces(CLONE_NEWNET)
        made = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        enter_network(home)
    finally:
        os.close(home)
    return made


@contextmanager
def inside(descriptor: int, home: int) -> Iterator[None]:
    """Run the body, and the processes that it starts, in one network namespace; then go back to ``home``."""
    enter_network(descriptor)
    try:
        yield
    finally:
        enter_network(home)
