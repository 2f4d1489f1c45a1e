"""Keep two processes out of one folder. The kernel lets go of the lock when its owner dies, also by kill -9."""

from __future__ import annotations

import errno
import json
import os
import socket
import time
from pathlib import Path

from aigc_cli.errors import ConfigError

FILE = ".lock"


class FolderLock:
    """Hold the lock of a folder from construction to release()."""

    def __init__(self, folder: Path) -> None:
        self.path = Path(folder) / FILE
        self.descriptor: int | None = self._acquire()
        # A forked worker would keep the lock alive after its parent was killed.
        os.register_at_fork(after_in_child=self.release)

    def release(self) -> None:
        """Let go of the lock."""
        if self.descriptor is not None:
            os.close(self.descriptor)
            self.descriptor = None

    def _acquire(self) -> int:
        while True:
            descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
            if not self._lock(descriptor):
                os.close(descriptor)
                raise ConfigError(self._owner())
            if self._is_current(descriptor):
                break
            os.close(descriptor)  # the folder was moved aside between open and lock
        owner = {"pid": os.getpid(), "host": socket.gethostname(), "since": time.strftime("%Y-%m-%d %H:%M:%S")}
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, json.dumps(owner).encode(), 0)
        return descriptor

    def _lock(self, descriptor: int) -> bool:
        import fcntl  # absent on Windows, where this module must still import

        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in (errno.EAGAIN, errno.EACCES):
                return False
            if error.errno not in (errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS):  # some network disks have no locks
                os.close(descriptor)
                raise
        return True

    def _is_current(self, descriptor: int) -> bool:
        try:
            there = self.path.stat()
        except FileNotFoundError:
            return False
        here = os.fstat(descriptor)
        return (there.st_dev, there.st_ino) == (here.st_dev, here.st_ino)

    def _owner(self) -> str:
        try:
            owner = json.loads(self.path.read_text())
            who = f"process {owner['pid']} on {owner['host']} since {owner['since']}"
        except (OSError, ValueError, KeyError, TypeError):
            who = "another process"  # it took the lock a moment ago and has not written its name yet
        way_out = "Wait for it, stop it, or give this one a name (name=...)."
        return f"{self.path.parent}: this run is already being trained by {who}. {way_out}"
