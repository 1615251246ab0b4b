"""Run a server as another user that dies with its parent: python -I -S exec_shim.py PARENT SIGNAL UID GID CWD ARGV...

It stands between the daemon and the server because the order matters: the working directory is entered while we still
may, then the user changes (which clears the parent-death signal), then PR_SET_PDEATHSIG is set, then the server is
executed in this very process. UID and GID are "-" when the user does not change. Standard library only: it runs
without site-packages.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def main(arguments: list[str]) -> None:
    """Become the server; leave with status 127 when that is not possible."""
    parent, death_signal, uid, gid, cwd, *argv = arguments
    try:
        os.chdir(cwd)
        if uid != "-":
            os.setgroups([])
            os.setgid(int(gid))
            os.setuid(int(uid))
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, int(death_signal), 0, 0, 0)
        if os.getppid() != int(parent):
            sys.exit(127)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGQUIT, signal.SIGPIPE, signal.SIGHUP):
            signal.signal(number, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_SETMASK, [])
        os.umask(0o077)
        os.execv(argv[0], argv)
    except OSError as error:
        print(f"cannot run {argv[0]}: {error}", file=sys.stderr)
        sys.exit(127)


if __name__ == "__main__":
    main(sys.argv[1:])
