"""What is in a shared cache: records and blobs, read and put there. What fails is raised as it comes.

<url>/olive-cache-1/
    records/<2 hex>/<key>.json      what a step gave, with its own digest
    blobs/<2 hex>/<sha256>          the bytes

A record is a claim of whoever wrote it. What it names is checked before anything is done with it, and all bytes are
compared with its digests; whether a step with this key gives these bytes is for the writers to answer.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from pydantic import JsonValue

from olive_engine.digests import digest
from olive_engine.errors import StoreCorrupt
from olive_engine.models import FileEntry, Tree
from olive_engine.store.places import TooLong
from olive_engine.store.records import Record
from olive_engine.store.shared_records import blob_name, for_others, is_sound, made_entries, read_record, record_name
from olive_engine.store.shared_site import SharedSite
from olive_engine.store.store import Store

RECORD_LIMIT = 16 << 20
"""Bytes of the longest record that is read."""
AT_ONCE = 8
"""Files that are carried at the same time."""

S = TypeVar("S")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Sent:
    """What was put into a shared cache; what was there already is not counted."""

    records: int = 0
    blobs: int = 0
    size: int = 0
    """Bytes of the blobs."""


class SharedCorrupt(StoreCorrupt):
    """Bytes of a shared cache are damaged or missing. What needs them is not taken from there again in this run."""

    def __init__(self, digest: str, detail: str) -> None:
        super().__init__(digest, detail)
        self.args = (f"a result cannot be taken from the shared cache: {detail}",)


class SharedContents:
    """The records and blobs at a site, and which blobs there were seen to be damaged."""

    def __init__(self, site: SharedSite) -> None:
        self.site = site
        self._damaged: set[str] = set()

    def read(self, key: str) -> Record | None:
        """The record of that key; none if there is no sound one, or a blob that it needs is known to be damaged."""
        try:
            content = self.site.place().read(record_name(key), RECORD_LIMIT)
        except TooLong:
            return None
        record = read_record(content, key)
        return None if record is None or self.is_damaged(made_entries(record)) else record

    def is_damaged(self, entries: Iterable[FileEntry]) -> bool:
        """Whether one of these files was seen to be damaged or missing there."""
        return any(entry.sha256 in self._damaged for entry in entries)

    def download(self, entry: FileEntry, target: Path) -> None:
        """Write a blob's bytes to `target`, and compare them with its digest.

        Raises:
            SharedCorrupt: it has other bytes, or more of them.
            FileNotFoundError: it is not there.
        """
        try:
            found = self.site.place().download(blob_name(entry.sha256), target, entry.size)
        except TooLong as error:
            raise self.damage(entry, f"has more bytes for {entry.sha256}") from error
        if found != entry.sha256 or target.stat().st_size != entry.size:
            raise self.damage(entry, f"has other bytes for {entry.sha256}")

    def damage(self, entry: FileEntry, what: str) -> SharedCorrupt:
        """Remember that a blob is of no use there, and say so."""
        self._damaged.add(entry.sha256)
        return SharedCorrupt(entry.sha256, f"{self.site.url} {what}")

    def put(self, record: Record, store: Store) -> Sent:
        """Put a result there: the blobs that are not there yet, then its record.

        A result that is there already, that came from there, or whose bytes another system keeps is left alone.

        Raises:
            StoreCorrupt: one of its blobs is damaged here.
        """
        trees = {tree.digest: Tree(files=tree.files) for tree in record.trees}.values()
        if not is_sound(record) or any(store.missing(tree) for tree in trees):
            return Sent()
        self.site.make_folder()
        if self._has(record.key):
            return Sent()
        entries = {entry.sha256: entry for tree in trees for entry in tree.files.values()}.values()
        sent = self._upload_missing(entries, store)
        content: JsonValue = json.loads(for_others(record).model_dump_json())
        text = json.dumps({"sha256": digest(content), "record": content})
        self.site.place().write(record_name(record.key), text.encode())
        # What was there already somebody may have cleaned up meanwhile: no record needed it.
        sent += self._upload_missing([entry for entry in entries if entry not in sent], store)
        return Sent(1, len(sent), sum(entry.size for entry in sent))

    def put_if_new(self, record: Record, store: Store) -> Sent:
        """As `put`; one look, and it is left alone if its key has a record, whatever that is.

        Raises:
            StoreCorrupt: one of its blobs is damaged here.
        """
        there = self.site.place().size(record_name(record.key)) is not None
        return Sent() if there else self.put(record, store)

    def _has(self, key: str) -> bool:
        """Whether a sound record of that key is there, with all that it needs as far as sizes tell."""
        try:
            there = self.read(key)
        except FileNotFoundError:
            return False
        return there is not None and all(each_of(self._has_blob, made_entries(there)))

    def _has_blob(self, entry: FileEntry) -> bool:
        return not self.is_damaged([entry]) and self.site.place().size(blob_name(entry.sha256)) == entry.size

    def _upload_missing(self, entries: Iterable[FileEntry], store: Store) -> list[FileEntry]:
        """Put the blobs there that are not there yet, and return these."""

        def upload(entry: FileEntry) -> bool:
            if self._has_blob(entry):
                return False
            self.site.place().upload(store.blobs.verify(entry), blob_name(entry.sha256))
            self._damaged.discard(entry.sha256)
            return True

        entries = list(entries)
        return [entry for entry, sent in zip(entries, each_of(upload, entries), strict=True) if sent]


def each_of(work: Callable[[S], T], items: Iterable[S]) -> list[T]:
    """Do some pieces of work side by side; the first failure is raised when all have ended."""
    items = list(items)
    if len(items) < 2:
        return [work(item) for item in items]
    with ThreadPoolExecutor(min(AT_ONCE, len(items))) as pool:
        return list(pool.map(work, items))
