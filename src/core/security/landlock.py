"""Keeping a process from the memory and the environment of others that belong to the same user.

Inside a container all processes have one user, so that without this any of them could read
``/proc/<pid>/environ`` of any other.
"""

import ctypes
import os

# The same numbers on every architecture that has images of ours:
# https://docs.kernel.org/userspace-api/landlock.html
CREATE_RULESET, RESTRICT_SELF = 444, 446
PR_SET_NO_NEW_PRIVS = 38
# A ruleset has to forbid something. Nobody in a container without capabilities can make block devices anyway.
MAKE_BLOCK_DEVICE = 1 << 11


def keep_to_itself() -> bool:
    """Cut this process, what it becomes and what it starts off from all others; return whether that worked.

    A process in a Landlock domain may trace only what is in the same domain (the page above, "Ptrace
    restrictions"), and reading another's environment or memory counts as tracing (proc(5), ptrace(2)).
    Inside the domain nothing changes, except that a file cannot be moved or linked into another folder, as
    between file systems. A kernel before 5.13, or one that was started without Landlock, does not do it.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    forbidden = ctypes.c_uint64(MAKE_BLOCK_DEVICE)
    size, flags = ctypes.c_size_t(ctypes.sizeof(forbidden)), ctypes.c_uint32(0)
    ruleset = libc.syscall(CREATE_RULESET, ctypes.byref(forbidden), size, flags)
    if ruleset < 0:
        return False
    try:
        # Our containers have it already; without it the next call is refused.
        libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
        return bool(libc.syscall(RESTRICT_SELF, ruleset, flags) == 0)
    finally:
        os.close(ruleset)
