"""Job folders made ready: the steps' inputs placed, fetched first where another system keeps them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from olive_engine.config.workflow import INPUT_MODEL
from olive_engine.contracts import Item, Job, Segment, System
from olive_engine.errors import StoreCorrupt, SystemUnavailable
from olive_engine.graph import Node
from olive_engine.job_folder import input_folder
from olive_engine.models import Artifact, Manifest, Predictions, PreparedData, Tree, is_local, tokenizer_part
from olive_engine.planner import Plan, Step
from olive_engine.registry import find_metric, find_pass
from olive_engine.store import Record, Store
from olive_engine.store.files import remove_tree
from olive_engine.store.shared import SCHEME, SharedCache


class Staging:
    """Writes the job folders of a plan. `records` is the executor's growing table of results."""

    def __init__(self, plan: Plan, store: Store, systems: Mapping[str, System], records: Mapping[str, Record]) -> None:
        self._plan = plan
        self._store = store
        self._systems = systems
        self._records = records

    def write_job(self, folder: Path, steps: tuple[Step, ...], system: System) -> Job:
        """Write the job of `steps`, which read the same models, into an empty folder.

        Raises:
            StoreCorrupt: a cached file that it reads is damaged.
            OSError: a file cannot be written, or one of the user's files has changed.
            SystemUnavailable: bytes that it reads are where nothing here can fetch them.
        """
        node = steps[0].node
        models = tuple(self._here(self.model(name), system) for name in node.inputs)
        if node.kind == "data":
            models = tuple(_tokenizer_only(manifest) for manifest in models)
        items = tuple(self._item(step, system) for step in steps)
        if node.kind == "data" and (files := self._plan.facts.data[node.name]):
            tree = self._store.place_sources(files, input_folder(folder, "items/0/files", 0, "files_path"))
            self._check_source(node, tree)
            sources = Manifest(kind="SourceFiles", parts={"files_path": tree})
            items = (items[0].model_copy(update={"data": {"files": sources}}),)
        elif remote := self._plan.facts.remote_data.get(node.name):
            sources = self._here(Manifest(kind="SourceFiles", parts={"files_path": remote}), system)
            items = (items[0].model_copy(update={"data": {"files": sources}}),)
            self._place(folder, "items/0/files", 0, sources, system)
        resources = system.resources
        if is_timing(node):
            resources = resources.model_copy(update={"exclusive": True})
        job = Job(id=folder.name, kind=node.kind, models=models, items=items, resources=resources)
        for index, manifest in enumerate(models):
            self._place(folder, "models", index, manifest, system)
        for index, (item, step) in enumerate(zip(items, steps, strict=True)):
            for option, manifest in item.data.items() if node.kind != "data" else ():
                self._place(folder, f"items/{index}/{option}", 0, manifest, system)
            if item.state is not None:
                self._place(folder, f"items/{index}/initial_state", 0, item.state, system)
            if system.capabilities.shared_filesystem:
                state = folder / "state" / str(index)
                state.parent.mkdir(exist_ok=True)
                state.symlink_to(self._store.state_folder(key_of(step)))
        # Nobody reads it before it is submitted, nor after a crash: it needs neither a rename nor the disk.
        (folder / "job.json").write_text(job.model_dump_json(), encoding="utf-8")
        return job

    def _item(self, step: Step, system: System) -> Item:
        node = step.node
        data = {option: self._here(self.output(name), system) for option, name in node.data.items()}
        stretch = Segment(until=node.until) if node.until < 1 or node.after else None
        state = self._here(self.output(node.after), system) if node.after else None
        return Item(
            key=key_of(step),
            step=node.name,
            type=node.type,
            config=node.config.model_dump(mode="json"),
            seed=self._plan.facts.seed,
            data=data,
            segment=stretch,
            state=state,
        )

    def reads(self, job: Job, index: int, node: Node) -> bool:
        """Whether an item of a job reads the very bytes that the step would read now."""
        if node.kind == "data":
            return True  # its key holds the contents of all it reads
        models = tuple(manifest.digest for manifest in job.models)
        data = {option: manifest.digest for option, manifest in job.items[index].data.items()}
        return models == tuple(self.model(name).digest for name in node.inputs) and data == {
            option: self.output(name).digest for option, name in node.data.items()
        }

    def changed(self, job: Job, node: Node) -> str:
        """Which of the user's own files that a job read is no longer what its key says; empty: none."""
        for manifest in job.models:
            for tree in manifest.parts.values():
                if is_local(tree.location) and (name := self._store.sources.difference(tree)):
                    return name
        planned = self._plan.facts.data_identity.get(node.name)
        for name, path in self._plan.facts.data.get(node.name, {}).items():
            if not (isinstance(planned, dict) and self._store.sources.entry(path).sha256 == planned.get(name)):
                return str(path)
        return ""

    def _check_source(self, node: Node, tree: Tree) -> None:
        """Refuse files that have changed since the plan was made: the key would not be theirs."""
        planned = self._plan.facts.data_identity[node.name]
        if planned != {name: entry.sha256 for name, entry in tree.files.items()}:
            raise FileNotFoundError("a data file has changed since the run began")

    def _place(self, folder: Path, slot: str, index: int, manifest: Manifest, system: System) -> None:
        for part, tree in manifest.parts.items():
            if not system.holds(tree):
                self._store.place(tree, input_folder(folder, slot, index, part))

    def _here(self, manifest: Manifest, system: System) -> Manifest:
        """The manifest with every tree readable by `system` or by us; bytes that another system keeps are fetched."""
        parts = {}
        for name, tree in manifest.parts.items():
            if tree.location and not is_local(tree.location) and not system.holds(tree):
                parts[name] = self._brought(tree)
            else:
                parts[name] = tree
        return manifest.model_copy(update={"parts": parts})

    def _brought(self, tree: Tree) -> Tree:
        """Fetch a tree; a record whose bytes arrive damaged is forgotten, so that a new plan computes it again."""
        try:
            return bring(tree, self._store, self._systems)
        except StoreCorrupt:
            for record in self._records.values():
                if tree in record.trees:
                    self._store.records.forget(record.key)
            raise

    def relocated(self, node: Node, record: Record) -> Record:
        """The record with the parts that it only refers to where they are now: an input model may have moved."""
        if record.output is None:
            return record
        now = self._given(node)
        parts = {
            name: tree if name in record.made else now.get(tree.digest, tree)
            for name, tree in record.output.parts.items()
        }
        return record.model_copy(update={"output": record.output.model_copy(update={"parts": parts})})

    def fits(self, node: Node, record: Record) -> bool:
        """Whether a record is of what the step reads now, and refers to nothing else.

        A shared cache's record may claim to give a part that the step neither wrote nor was given.
        """
        output = record.output
        others = [tree for name, tree in output.parts.items() if name not in record.made] if output else []
        return record.inputs == self.read(node) and (
            not others or {tree.digest for tree in others} <= self._given(node).keys()
        )

    def _given(self, node: Node) -> dict[str, Tree]:
        """The parts of the models that a step takes, by digest."""
        models = (self.model(name) for name in node.inputs)
        return {tree.digest: tree for manifest in models for tree in manifest.parts.values()}

    def model(self, name: str) -> Manifest:
        """The model that a step gave, or the input model."""
        if name == INPUT_MODEL:
            model = self._plan.facts.input_model
            if model is None:
                raise SystemUnavailable("the input model is not on this machine and could not be fetched")
            return model
        return self.output(name)

    def output(self, name: str) -> Manifest:
        """What a step gave."""
        output = self._records[name].output
        if output is None:
            raise SystemUnavailable(f"{name} gave no output")
        return output

    def read(self, node: Node) -> dict[str, str]:
        """The digests of what a step reads, by role. The state that a training goes on from is part of the training."""
        if node.kind == "data":
            return {}  # its key holds the contents of all it reads
        read = {f"model {index}": self.model(name).digest for index, name in enumerate(node.inputs)}
        return read | {option: self.output(name).digest for option, name in node.data.items()}


class CachedResults:
    """The planner's view of a store: records whose files are here, or with a keeper that can bring them."""

    def __init__(self, store: Store, systems: Mapping[str, System], *, online: bool = False) -> None:
        """Look at a store.

        Args:
            store: the cache, and the shared cache behind it.
            systems: by name; some keep what was made there.
            online: whether the shared cache is asked, and not only where it is a folder.
        """
        self._store = store
        self._systems = systems
        self._online = online

    def find(self, key: str, node: Node) -> Record | None:
        """The record of that key; one that only the shared cache has becomes one of this cache, without its bytes."""
        record = self._store.records.load(key)
        if record is None or self.missing(record):
            return self._shared(key, node) or record
        return record

    def _shared(self, key: str, node: Node) -> Record | None:
        shared = self._store.shared
        if shared is None or node.private or node.until < 1 or not (self._online or shared.site.is_local):
            return None
        record = shared.find(key)
        if record is None or not _is_result_of(node, record):
            return None
        record = record.model_copy(update={"step": node.name})  # other workflows have other names for it
        if self._online:
            self._store.records.save(record)
        return record

    def last(self, node: Node) -> Record | None:
        """The record that the step of that name used last."""
        return self._store.records.last(node.kind, node.type, node.name)

    def missing(self, record: Record) -> str:
        """Why the record cannot be used: which file of its output is no longer there; empty: none."""
        for tree in record.trees:
            gone = self._store.missing(Tree(files=tree.files))
            if gone and _keeper(tree, self._store, self._systems) is None:
                return self._gone(tree, gone)
        return ""

    def _gone(self, tree: Tree, name: str) -> str:
        """The sentence about a file that nobody can bring."""
        if not tree.location.startswith(SCHEME):
            return f"{tree.location or name} of its result is no longer in the cache"
        url, shared = tree.location.removeprefix(SCHEME), self._store.shared
        if shared is None or shared.location != tree.location:
            return f"its files are in the shared cache {url}, which this workflow does not name"
        return f"its files were in the shared cache {url}, which {'is left out' if shared.trouble else 'has lost them'}"

    def source(self, record: Record) -> str:
        """The URL of the shared cache that the record, or its output, is taken from now; empty: all is here."""
        shared = self._store.shared
        if shared is None:
            return ""
        far = (tree for tree in record.trees if tree.location == shared.location)
        taken = shared.gave(record.key) or any(self._store.missing(Tree(files=tree.files)) for tree in far)
        return shared.url if taken else ""


def bring(tree: Tree, store: Store, systems: Mapping[str, System]) -> Tree:
    """Fetch a tree that a system or the shared cache keeps into the store.

    Raises:
        SystemUnavailable: no system of this workflow keeps it, nor the shared cache.
        StoreCorrupt: it arrived with other bytes than its digests say.
    """
    here = Tree(files=tree.files)
    if not store.missing(here):
        return here
    keeper = _keeper(tree, store, systems)
    if keeper is None:
        raise SystemUnavailable(f"no system of this workflow can read {tree.location}")
    folder = store.new_job()
    try:
        keeper.fetch(tree, folder)
        return store.ingest(folder, tree, verify=True)
    finally:
        remove_tree(folder)


def key_of(step: Step) -> str:
    """The step's key.

    Raises:
        SystemUnavailable: it could not be told, even in the run's pre-flight.
    """
    if step.key is None:
        raise SystemUnavailable(f"{step.node.name}: {'; '.join(step.reasons)}")
    return step.key


def is_timing(node: Node) -> bool:
    """Whether the step measures time, so that nothing should run beside it."""
    cls = find_metric(node.type) if node.kind == "evaluate" else None
    return cls is not None and cls.timing


def _is_result_of(node: Node, record: Record) -> bool:
    """Whether a record is of the step's kind and type, and its output, if any, of a kind that such a step gives."""
    if (record.kind, record.type) != (node.kind, node.type):
        return False
    kind = Artifact.kinds.get(record.output.kind) if record.output else None
    if node.kind == "evaluate":
        return kind in (None, Predictions)
    cls = find_pass(node.type) if node.kind == "pass" else None
    return kind is not None and issubclass(kind, cls.produces if cls else PreparedData)


def _tokenizer_only(manifest: Manifest) -> Manifest:
    """What data preparation reads of a model."""
    parts = {"model_path": tokenizer_part(manifest.parts["model_path"])}
    return Manifest(kind="HfModel", parts=parts)


def _keeper(tree: Tree, store: Store, systems: Mapping[str, System]) -> System | SharedCache | None:
    """Who can bring the bytes of a tree."""
    keepers = (*systems.values(), *([store.shared] if store.shared else ()))
    return next((keeper for keeper in keepers if keeper.holds(tree)), None)
