"""Models and data that a workflow names by URL: found by the system that reaches them, described once by a job there.

No byte of them comes here for it. What a URL stands for is remembered with its version, so that a plan needs no network
and a run only one question.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path, PurePosixPath

from pydantic import BaseModel, ConfigDict, ValidationError

from olive_engine.config.data import SUFFIXES, DataConfig
from olive_engine.config.workflow import Workflow
from olive_engine.contracts import Describe, Item, Job, Listing, System
from olive_engine.digests import digest
from olive_engine.errors import InvalidWorkflow, Problem, SystemUnavailable
from olive_engine.models import Manifest, Tree
from olive_engine.probing import answer
from olive_engine.store import Store
from olive_engine.store.files import remove_tree, write_atomic
from olive_engine.urls import Source, sources

PART = "files_path"


def refresh(workflow: Workflow, systems: Mapping[str, System], store: Store, say: Callable[[str, str], None]) -> None:
    """Find out what the URLs of a workflow name now, and describe what is new.

    Args:
        workflow: a judged one.
        systems: by name.
        store: where answers are remembered.
        say: tells the user what a system does that takes long: its name, and what.

    Raises:
        InvalidWorkflow: a URL names nothing, or no model that can be read.
        SystemUnavailable: the system that it is on cannot be asked.
    """
    for source in dict.fromkeys(sources(workflow)):
        system = _reader(source, systems)
        listing = system.listing(source.url)
        known = _memory(source.url, store)
        if known is None or known.version != listing.version:
            system.prepare(partial(say, system.name))
            say(system.name, f"describing {source.url} where it is")
            tree = _described(source, listing, system, store, partial(say, system.name))
            write_atomic(_file(source.url, store), _Memory(version=listing.version, tree=tree).model_dump_json())


def remembered(url: str, store: Store) -> Tree | None:
    """What a URL named when a run last looked; none: no run has."""
    known = _memory(url, store)
    return known.tree if known else None


def data_files(config: DataConfig, store: Store) -> Tree | None:
    """The remote files of the splits that a data set takes rows from, named as local ones are; none: not known yet.

    Raises:
        ValueError: they are in several folders.
    """
    load = config.load_dataset_config
    suffixes = tuple(suffix for suffix, of in SUFFIXES.items() if of == load.format)
    chosen: dict[str, tuple[Tree, str]] = {}
    for split in sorted({part.name for part in load.splits}):
        found: list[tuple[Tree, str]] = []
        for url in load.files[split]:
            tree = remembered(url, store)
            if tree is None:
                return None
            fitting = [name for name in sorted(tree.files) if name.lower().endswith(suffixes)]
            found += [(tree, name) for name in (fitting if len(tree.files) > 1 else tree.files)]
        for index, (tree, name) in enumerate(found):
            chosen[f"{split}/{index:05}{PurePosixPath(name).suffix.lower()}"] = tree, name
    locations = {tree.location for tree, _ in chosen.values()}
    if len(locations) > 1:
        raise ValueError(f"its files are in several folders ({', '.join(sorted(locations))}); put them into one")
    return Tree(
        files={own: tree.files[name] for own, (tree, name) in chosen.items()},
        location=next(iter(locations), ""),
        places={own: tree.place_of(name) for own, (tree, name) in chosen.items()},
    )


# --- one source ---------------------------------------------------------------------------------------------------


class _Memory(BaseModel):
    """What a URL named at a version."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: str
    tree: Tree


def _reader(source: Source, systems: Mapping[str, System]) -> System:
    tree = Tree(files={}, location=source.url)
    for system in systems.values():
        if system.holds(tree):
            return system
    what = f"no system of this workflow can read {source.url}"
    raise InvalidWorkflow((Problem(source.path, what, "describe the workspace that it is in, under `systems`"),))


def _described(source: Source, listing: Listing, system: System, store: Store, say: Callable[[str], None]) -> Tree:
    """Have the files described where they are."""
    folder = store.new_job()
    asked = Describe(names=listing.names, is_model=source.is_model)
    there = Manifest(kind="SourceFiles", parts={PART: Tree(files={}, location=listing.location)})
    item = Item(key=digest(listing.version), step="describe", type="", config=asked.model_dump(mode="json"))
    job = Job(id=folder.name, kind="describe", models=(there,), items=(item,), resources=system.resources)
    write_atomic(folder / "job.json", job.model_dump_json())
    try:
        (result,) = answer(system, folder, lambda stage: say(f"the job that describes it: {stage}")).items
    finally:
        remove_tree(folder)
    if result.output is None:
        cause = result.error.message if result.error else "it was stopped"
        if result.error and result.error.type == "NoHuggingFaceModel":
            raise InvalidWorkflow((Problem(source.path, cause),))
        raise SystemUnavailable(f"{system.name}: {source.url} could not be described: {cause}")
    return result.output.parts[PART]


def _memory(url: str, store: Store) -> _Memory | None:
    try:
        return _Memory.model_validate_json(_file(url, store).read_bytes())
    except (FileNotFoundError, ValidationError):
        return None


def _file(url: str, store: Store) -> Path:
    return store.root / "remote" / f"{digest(url)[:32]}.json"
