"""The files of the LMDB store: where they are, who may own them, and how a process holds them open.

Choices that the code below depends on:

- No `writemap`: pages are written with ``pwrite``, so a full disk is an error of one transaction.
  With `writemap` it would be a SIGBUS that kills the process, and a stray pointer in any extension
  could change the data of all. For the same reason the lock file, which has to be mapped for
  writing, gets all its blocks before LMDB maps it.
- No `sync` where the kernel names its boot: a killed process loses nothing (the pages are in the
  kernel), a power cut loses all, and the name of the folder makes sure that nothing from before it
  is found again. Elsewhere stamps are synced, so that old ones never come back.
- One environment per file and process: LMDB's locks belong to the process, and opening a file
  twice would let the second close give up the first one's locks. Hence the one registry below.
- No environment lives through a fork: all are closed before it, and open again when used.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import re
import shutil
import stat
import sys
import tempfile
import threading
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

from querycache import stamps
from querycache.stores.base import StoreUnusable

lmdb: Any
try:
    lmdb = import_module("lmdb")
except ImportError:  # the store says so when it is made
    lmdb = None

MAX_READERS = 1024

# LMDB's reader table has 64 bytes a reader after its two mutexes; more than enough for both.
_LOCK_BYTES = (MAX_READERS + 64) * 64

# How long a fork waits for a write of this process that waits for one of a stopped process.
_FORK_PATIENCE = 1.0


def default_path(project: str) -> Path:
    """Return the folder that all processes of a project and user on this machine share.

    Args:
        project: names the project; projects with different names share nothing.
    """
    shm = Path("/dev/shm")  # noqa: S108 - a folder of ours is made in it and checked
    parent = shm if shm.is_dir() and os.access(shm, os.W_OK | os.X_OK) else Path(_temporary())
    name = re.sub(r"[^A-Za-z0-9_-]+", "-", project).strip("-")[:60] or "project"
    return parent / f"querycache-{name}-{_user()}"


def check_folder(path: Path) -> None:
    """Raise unless `path` is a folder of this user that nobody else can enter.

    Raises:
        StoreUnusable: it is something else, or somebody else's; the text says what to do.
        OSError: it cannot be looked at, or is not there.
    """
    found = path.lstat()
    if stat.S_ISLNK(found.st_mode):
        raise StoreUnusable(f"{path} is a symbolic link; name the folder that it leads to")
    if not stat.S_ISDIR(found.st_mode):
        raise StoreUnusable(f"{path} is not a folder")
    if os.name != "posix":
        return
    if found.st_uid != os.geteuid():
        raise StoreUnusable(
            f"{path} belongs to user {found.st_uid}, and this process runs as {os.geteuid()}: "
            "who owns the folder could change what is served; use another folder"
        )
    if found.st_mode & 0o077:
        raise StoreUnusable(
            f"{path} is open to other users (mode {stat.S_IMODE(found.st_mode):04o}): "
            f"run `chmod 700 {path}` or use another folder"
        )


def make_folder(path: Path) -> Path:
    """Make the store's folder, check it, and return the part of it that belongs to this boot."""
    path.parent.mkdir(parents=True, exist_ok=True)
    boot = path / f"boot-{boot_id() or 'unknown'}"
    # Of each version of the protocol its own: another may have other files.
    ours = boot / str(stamps.PROTOCOL)
    for folder in (path, boot, ours):
        with contextlib.suppress(FileExistsError):
            folder.mkdir(0o700)
        check_folder(folder)
    for other in path.glob("boot-*"):
        if other != boot and boot_id():
            shutil.rmtree(other, ignore_errors=True)
    return ours


def boot_id() -> str | None:
    """Return what names the time since the machine was started; None where nothing does."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()[:36] or None
    except (OSError, ValueError):
        return None


class Environment:
    """One LMDB environment of this process: opened when used, closed before a fork.

    Args:
        root: the folder of the store, made and checked at each opening.
        name: the environment's folder in it.
        map_size: bytes that it may take.
        reserve: bytes of disk that are taken at once, so that small changes work on a full disk.
    """

    def __init__(self, root: Path, name: str, map_size: int, reserve: int) -> None:
        self.root = root
        self.name = name
        self.map_size = map_size
        self.reserve = reserve
        # Held during each transaction, so that none is open when the environment is closed. Two
        # locks, since a write may have to wait for another process and reads need not.
        self.reading = threading.Lock()
        self.writing = threading.Lock()
        self._opening = threading.Lock()
        self._pid = os.getpid()
        self.env: Any = None
        #: `lmdb.Environment.begin` while it is open.
        self.begin: Callable[..., Any] = self._open_and_begin
        self._data_file = -1
        #: What is to be written to these files, in the hands of whoever writes it.
        self.waiting: Any = None

    def closing(self, patience: float = -1) -> bool:
        """Wait until no transaction is open, and close; keeps both locks where it returns True."""
        if not self.writing.acquire(timeout=patience):
            return False
        self.reading.acquire()
        self._shut()
        return True

    def release(self) -> None:
        """Let transactions go on after `closing`."""
        self.reading.release()
        self.writing.release()

    def close(self) -> None:
        """Let go of the files; the next transaction opens them again."""
        self.closing()
        self.release()

    def abandon(self) -> None:
        """In a forked child: forget what belongs to the parent without touching it."""
        self.reading, self.writing = threading.Lock(), threading.Lock()
        self._opening = threading.Lock()
        self._pid = os.getpid()
        if self.env is not None:
            # Not closed before the fork: C code forked, or a write was stuck. Closing it here, or
            # letting py-lmdb do so at exit, would free reader slots that the parent is using.
            # py-lmdb will refuse to open it twice, so this child works without the store.
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(self.env))
            with contextlib.suppress(OSError):
                os.close(self._data_file)
            self._forget()

    def check_process(self) -> None:
        """Notice a fork that ran no hook of Python's; call without a lock."""
        if self._pid != os.getpid():
            self.abandon()

    def deleted(self) -> bool:
        """Tell whether the open files were deleted; call with a lock held.

        Other processes would make new ones, and this process would go on seeing the old.
        """
        return self._data_file >= 0 and os.fstat(self._data_file).st_nlink == 0

    def leave_deleted(self) -> None:
        """Close the environment if its files were deleted; call without a lock."""
        self.check_process()
        with self.reading:
            deleted = self.deleted()
        if deleted:
            self.close()

    def _open_and_begin(self, *args: Any, **kwargs: Any) -> Any:
        # A reader and a writer may come here at once, each with its own lock.
        with self._opening:
            if self.env is None:
                self._open()
        return self.begin(*args, **kwargs)

    def _open(self) -> None:
        path = make_folder(self.root) / self.name
        path.mkdir(0o700, exist_ok=True)
        check_folder(path)
        _reserve(path / "lock.mdb", _LOCK_BYTES)
        safe = boot_id() is not None
        with _one_at_a_time:
            env = lmdb.open(
                os.fspath(path),
                map_size=self.map_size,
                mode=0o700,
                max_readers=MAX_READERS,
                max_spare_txns=1,
                sync=not safe,
                metasync=not safe,
                writemap=False,
            )
        try:
            env.reader_check()
            if self.reserve:
                _reserve(path / "data.mdb", self.reserve)
            for name in ("data.mdb", "lock.mdb"):
                # The sticky bit tells cleaners of temporary folders to leave a file alone.
                with contextlib.suppress(OSError):
                    (path / name).chmod(0o1600)
                os.utime(path / name)
            self._data_file = os.open(path / "data.mdb", os.O_RDONLY)
        except BaseException:
            with _one_at_a_time:
                env.close()
            raise
        self.env, self.begin = env, env.begin

    def _shut(self) -> None:
        if self.env is not None:
            env, file = self.env, self._data_file
            self._forget()
            os.close(file)
            with _one_at_a_time:
                env.close()

    def _forget(self) -> None:
        self.env, self._data_file = None, -1
        self.begin = self._open_and_begin


def environment(root: Path, name: str, map_size: int, reserve: int = 0) -> Environment:
    """Return this process's environment of these files, the same for everyone who asks."""
    key = (os.path.realpath(root), name)
    with _registry:
        if key not in _environments:
            _environments[key] = Environment(root.absolute(), name, map_size, reserve)
        return _environments[key]


def _reserve(path: Path, size: int) -> None:
    """Take `size` bytes of disk for a file, so that its pages never lack room when touched."""
    file = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o600)
    try:
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(file, 0, size)
    finally:
        os.close(file)


def _temporary() -> str:
    return tempfile.gettempdir()


def _user() -> str:
    return str(os.geteuid()) if os.name == "posix" else os.environ.get("USERNAME", "user")


# The registry that LMDB makes necessary: an environment for each file that this process uses.
_environments: dict[tuple[str, str], Environment] = {}
_registry = threading.Lock()

# py-lmdb knows what is open by the files' inodes, and forgets those of an environment a moment
# after it has closed the files. One that another thread opens meanwhile, whose new files were given
# the same inodes, would be taken for open already.
_one_at_a_time = threading.Lock()
_closed_for_fork: list[Environment] = []


def _before_fork() -> None:
    _registry.acquire()
    for one in _environments.values():
        if one.closing(patience=_FORK_PATIENCE):
            # At once, so that an error further on finds its locks here.
            _closed_for_fork.append(one)  # noqa: PERF401


def _after_fork_in_parent() -> None:
    while _closed_for_fork:
        _closed_for_fork.pop().release()
    _registry.release()


def _after_fork_in_child() -> None:
    # C code may fork without the hook above.
    global _registry, _one_at_a_time
    _registry, _one_at_a_time = threading.Lock(), threading.Lock()
    _closed_for_fork.clear()
    for one in _environments.values():
        one.abandon()


if sys.platform != "win32":
    os.register_at_fork(
        before=_before_fork,
        after_in_parent=_after_fork_in_parent,
        after_in_child=_after_fork_in_child,
    )
