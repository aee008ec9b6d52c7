"""What a container must see of this machine to run a job: its folder, and whatever the links in it lead to."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from olive_engine.errors import SystemUnavailable

MOST_FILES = 100
"""Of one folder: from there on the folder is mounted, for a command line is not endless."""


@dataclass(frozen=True, slots=True)
class Mount:
    """A file or folder of this machine, and where a container sees it."""

    source: Path
    target: Path
    readonly: bool

    @property
    def argument(self) -> str:
        """The value of ``docker run --mount``, which is a line of CSV."""
        fields = ["type=bind", f"source={self.source}", f"target={self.target}"]
        line = io.StringIO()
        csv.writer(line, lineterminator="").writerow([*fields, *(["readonly"] if self.readonly else [])])
        return line.getvalue()


def mounts_of(job: Path) -> tuple[Mount, ...]:
    """The mounts of a job: it is seen at its own path; inputs cannot be written, `state/<i>` can.

    Files of the user's are mounted one by one where the job's links expect them, without what else is in their folder;
    but of more than `MOST_FILES` in one folder the folder itself is mounted, with all that lies there.

    Raises:
        SystemUnavailable: a link leads nowhere.
    """
    found = {job: Mount(job.resolve(), job, readonly=False)}
    inputs = job / "inputs"
    if inputs.is_dir():
        found[inputs] = Mount(inputs.resolve(), inputs, readonly=True)
    for part, readonly in (("inputs", True), ("state", False)):
        _follow(job / part, job / part, found, readonly=readonly)
    return tuple(_gathered(found.values()))


def _follow(seen: Path, here: Path, found: dict[Path, Mount], *, readonly: bool) -> None:
    """Mount what the links under a folder lead to; a container has the folder at `seen`, this machine `here`."""
    for link in _links(here):
        text = link.readlink()
        target = Path(os.path.normpath((seen / link.relative_to(here)).parent / text))
        cover = next((found[place] for place in (target, *target.parents) if place in found), None)
        if cover and (readonly or not cover.readonly):
            continue
        source = Path(os.path.realpath(link))
        if not source.exists():
            raise SystemUnavailable(f"{link} leads to {target}, which is not there")
        found[target] = Mount(source, target, readonly)
        if source.is_dir():
            _follow(target, source, found, readonly=readonly)


def _links(folder: Path) -> Iterator[Path]:
    for place, folders, files in os.walk(folder):
        yield from (path for name in sorted((*folders, *files)) if (path := Path(place, name)).is_symlink())


def _gathered(mounts: Iterable[Mount]) -> Iterator[Mount]:
    """The mounts; many files of one folder as that folder, where a container sees them under the same names."""
    by_folder: dict[tuple[Path, Path, bool], list[Mount]] = {}
    for mount in mounts:
        source, target = mount.source, mount.target
        if source.is_file() and source.name == target.name:
            by_folder.setdefault((source.parent, target.parent, mount.readonly), []).append(mount)
        else:
            yield mount
    for (source, target, readonly), files in by_folder.items():
        if len(files) > MOST_FILES:
            yield Mount(source, target, readonly)
        else:
            yield from files
