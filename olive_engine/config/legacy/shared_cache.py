"""Olive's spellings of a cache that machines share: a URL in `cache_dir`, or the account's and the container's name."""

from __future__ import annotations

import re

from pydantic import JsonValue

from olive_engine.config.legacy.edits import Revision
from olive_engine.config.legacy.rules import Rewritten, Rule

_URL = re.compile(r"https://([^./]+)\.blob\.core\.windows\.net/([^/?]+)")
_ACCOUNT, _CONTAINER, _ENABLE, _UPDATE = KEYS = (
    "account_name",
    "container_name",
    "enable_shared_cache",
    "update_shared_cache",
)
_PUBLIC = "what Olive's public cache holds are results of Olive's: name a cache of your own as `shared_cache`"


def _from_names(revision: Revision) -> None:
    """Account and container, which Olive takes for a shared cache whether `enable_shared_cache` says so or not."""
    account, container = revision.value((_ACCOUNT,)), revision.value((_CONTAINER,))
    if isinstance(account, str) and isinstance(container, str) and account and container:
        _share(revision, account, container, _CONTAINER)
    elif revision.value((_ENABLE,)) and not revision.has(("shared_cache",)):
        revision.note((_ENABLE,), _PUBLIC)
    elif revision.has((_ENABLE,)) and not revision.has(("shared_cache",)):
        revision.note((_ENABLE,), "not needed: nothing is shared unless `shared_cache` is written")
    for name in (_ACCOUNT, _CONTAINER, _ENABLE):
        revision.remove((name,))


def _from_cache_dir(revision: Revision) -> None:
    """A URL in the place of the cache's folder, or beside it in a list."""
    path = ("cache_dir",)
    value = revision.value(path)
    folders = value if isinstance(value, list) else [value]
    shared = [match for each in folders if isinstance(each, str) and (match := _URL.match(each))]
    if shared:
        _share(revision, shared[0][1], shared[0][2], path[0])
    local = [each for each in folders if not (isinstance(each, str) and _URL.match(each))]
    if not isinstance(value, list) and not shared:
        return
    if local and isinstance(local[0], str):
        if not shared:
            revision.note(path, "`cache_dir` is one folder: the first counts")
        revision.put(path, local[0])
    else:
        revision.remove(path)


def _after(revision: Revision) -> None:
    """Whether results are put there: in Olive they are, unless it is said otherwise."""
    path = (_UPDATE,)
    if isinstance(update := revision.value(path), bool) and revision.has(("shared_cache", "url")):
        revision.note(path, "`update_shared_cache` is written as `write` of `shared_cache`")
        revision.put(("shared_cache", "write"), update, path)
    revision.remove(path)


def _share(revision: Revision, account: str, container: str, at: str) -> None:
    path = ("shared_cache",)
    if revision.has(path):
        revision.note((at,), "not needed: `shared_cache` is written")
        return
    revision.note((at,), "a cache that machines share is written as `shared_cache: {url, write, storage_options}`")
    # Olive logs in as whoever is logged in to Azure; adlfs does so where it is told not to come as nobody.
    options: JsonValue = {"account_name": account, "anon": False}
    revision.put(path, {"url": f"abfs://{container}", "write": True, "storage_options": options}, (at,))


SHARED_CACHE: tuple[Rule, ...] = (Rewritten(_from_cache_dir), Rewritten(_from_names), Rewritten(_after))
