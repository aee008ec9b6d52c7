"""Writing so that a crash at any moment leaves the old file or the new one, never half of one."""

from __future__ import annotations

import errno
import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

FICLONE = 0x40049409
"""The Linux ioctl that makes a file share another's blocks until one of them is written (btrfs, xfs)."""


def write_atomic(path: Path, text: str) -> None:
    """Replace `path` by `text`: temporary file in the same folder, fsync, rename."""
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a temporary path beside `path`; on success it takes its place, on failure it is removed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:12]}.tmp")
    try:
        yield temporary
        temporary.replace(path)
    except BaseException as error:
        temporary.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.filename is None:
            error.filename = str(path)  # a failing write does not say of which file
        raise


def sync(path: Path) -> None:
    """Make a file's bytes durable."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def clone(source: Path, target: Path) -> None:
    """Copy a file's bytes, sharing blocks where the file system can; `target` must not exist."""
    with source.open("rb") as reading, target.open("xb") as writing:
        if not _share_blocks(reading.fileno(), writing.fileno()):
            shutil.copyfileobj(reading, writing, 1 << 20)


def remove_tree(path: Path) -> None:
    """Remove a folder of ours, read-only files and links included; links are not followed."""
    if path.is_symlink() or path.is_file():
        path.unlink(missing_ok=True)
    elif path.exists():
        shutil.rmtree(path)


def _share_blocks(source: int, target: int) -> bool:
    try:
        import fcntl

        fcntl.ioctl(target, FICLONE, source)
    except ImportError:  # not a Unix
        return False
    except OSError as error:
        if error.errno in (errno.EOPNOTSUPP, errno.EINVAL, errno.EXDEV, errno.ENOTTY, errno.ENOSYS):
            return False
        raise
    return True
