"""What has already been computed: content-addressed, verified, atomic."""

from olive_engine.store.records import Provenance, Record
from olive_engine.store.store import Store, Usage

__all__ = ["Provenance", "Record", "Store", "Usage"]
