"""Housekeeping of a shared cache, for its command: what is in it, whether it is intact, what can go.

Unlike a run, which goes on without the cache, these say what fails.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import PurePosixPath

from olive_engine.errors import SystemUnavailable, WorkflowError
from olive_engine.store.places import Stored, TooLong
from olive_engine.store.records import Record
from olive_engine.store.shared_contents import RECORD_LIMIT, Sent, SharedContents, each_of
from olive_engine.store.shared_records import made_entries, read_record
from olive_engine.store.store import Store

GRACE = 86_400.0
"""Seconds for which a blob that no record refers to is left alone: its record may be on the way."""

_SHA256 = re.compile(r"[0-9a-f]{64}")
_DIGEST = re.compile(rb'"sha256": *"([0-9a-f]{64})"')


@dataclass(frozen=True, slots=True)
class Holdings:
    """What is in a shared cache, or was taken out of it."""

    records: int
    blobs: int
    size: int
    """Bytes of the blobs."""


@dataclass(frozen=True, slots=True)
class Findings:
    """What reading everything has shown."""

    holdings: Holdings
    damaged: tuple[str, ...]
    """Digests of blobs that have other bytes, and keys of records that cannot be read."""
    affected: tuple[str, ...]
    """Keys of the records that need a damaged or a missing blob."""


def holdings(there: SharedContents) -> Holdings:
    """Count and sizes."""
    with _asking(there):
        records, blobs = _records(there), _blobs(there)
    return Holdings(len(records), len(blobs), sum(blob.size for blob in blobs))


def verify(there: SharedContents) -> Findings:
    """Read every record and every blob, and change nothing."""
    with _asking(there):
        records, blobs = _records(there), _blobs(there)
        sizes = {_stem(blob): blob.size for blob in blobs}
        found = dict(zip(sizes, each_of(lambda blob: there.site.place().digest(blob.name), blobs), strict=True))
        wrong = {name for name, digest in found.items() if name != digest}
        contents = dict(zip(map(_stem, records), _contents(there, records), strict=True))
    read = {key: read_record(content, key) for key, content in contents.items()}
    unreadable = [key for key, record in read.items() if record is None]
    affected = [key for key, record in read.items() if record is not None and _needs(record, sizes, wrong)]
    told = Holdings(len(records), len(blobs), sum(sizes.values()))
    return Findings(told, (*sorted(wrong), *unreadable), tuple(affected))


def push(there: SharedContents, records: Sequence[Record], store: Store) -> Sent:
    """Put results of a cache there."""
    with _asking(there, new=True):
        if records:
            there.site.make_folder()
        sent = [there.put(record, store) for record in records]
    counts = zip(*((each.records, each.blobs, each.size) for each in sent), strict=True)
    return Sent(*map(sum, counts)) if sent else Sent()


def chosen(there: SharedContents, keys: Sequence[str] = (), before: float | None = None) -> list[Stored]:
    """The records with these keys, or beginnings of keys; else those written before a time (seconds); else all.

    Raises:
        SystemUnavailable: a key is nobody's, or the beginning of several.
    """
    with _asking(there):
        records = _records(there)
    if not keys:
        return [record for record in records if before is None or record.written < before]
    found = []
    for key in keys:
        fitting = [record for record in records if _stem(record).startswith(key)]
        if len(fitting) != 1:
            what = "several results have keys that begin" if fitting else "no result has a key that begins"
            raise SystemUnavailable(f"{there.site.url}: {what} with {key}")
        found += fitting
    return found


def remove(there: SharedContents, records: Sequence[Stored], now: float) -> Holdings:
    """Remove records, then the blobs that only they refer to, and blobs that nobody has referred to for a day.

    Blobs of theirs go at once, however new they are: they may be damaged, and would be taken for good by their size. A
    result that is put there meanwhile keeps its own: what records refer to is read once theirs have gone, and whoever
    puts a result there looks at its blobs once more after its record.
    """
    with _asking(there):
        going = {record.name for record in records}
        theirs = _referred(there, records)
        each_of(lambda record: there.site.place().remove(record.name), records)
        staying = _records(there)
        kept = _referred(there, staying)
        blobs = [
            blob
            for blob in there.site.place().each("blobs")
            if _stem(blob) not in kept and (_stem(blob) in theirs or not staying or blob.written < now - GRACE)
        ]
        each_of(lambda blob: there.site.place().remove(blob.name), blobs)
    return Holdings(len(going), len(blobs), sum(blob.size for blob in blobs))


@contextmanager
def _asking(there: SharedContents, *, new: bool = False) -> Iterator[None]:
    """Tell whatever the storage's library raises in a sentence; `new` when its folder need not be there yet."""
    try:
        if not new:
            there.site.check_there()
        yield
    except WorkflowError as error:
        raise SystemUnavailable(f"the shared cache {there.site.url}: {error}") from error
    except Exception as error:
        raise SystemUnavailable(f"the shared cache {there.site.url}: {there.site.told(error)}") from error


def _records(there: SharedContents) -> list[Stored]:
    return [each for each in there.site.place().each("records") if each.name.endswith(".json")]


def _blobs(there: SharedContents) -> list[Stored]:
    """Those that are complete: what is being written has another name."""
    return [each for each in there.site.place().each("blobs") if _SHA256.fullmatch(PurePosixPath(each.name).name)]


def _stem(stored: Stored) -> str:
    """The key or the digest that a file is called after."""
    return PurePosixPath(stored.name).stem


def _contents(there: SharedContents, records: Sequence[Stored]) -> list[bytes]:
    def read(record: Stored) -> bytes:
        try:
            return there.site.place().read(record.name, RECORD_LIMIT)
        except (FileNotFoundError, TooLong):  # removed meanwhile, or nothing that we wrote
            return b""

    return each_of(read, records)


def _referred(there: SharedContents, records: Sequence[Stored]) -> set[str]:
    """The digests that records name. Read as text: a later version's record, which we cannot read, counts too."""
    return {found.decode() for content in _contents(there, records) for found in _DIGEST.findall(content)}


def _needs(record: Record, sizes: dict[str, int], wrong: set[str]) -> bool:
    return any(entry.sha256 in wrong or sizes.get(entry.sha256) != entry.size for entry in made_entries(record))
