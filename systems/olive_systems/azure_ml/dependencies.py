"""The dependencies of a conda file, changed until the engine's jobs can run with them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from olive_engine.requirements import DISTRIBUTION, Requirement, bounds, canonical
from olive_systems.azure_ml.pins import allows_python, bounded, conda_allows, conda_name, engine_extras, pip_name

PYTHON = "3.11"
"""What a file that asks for an older Python, or for none, is given."""
KEY_VAULT = (Requirement("azure-identity", ">=1.17"),)
"""What a job needs to read a secret of a key vault."""
EXTRAS = ("cpu", "gpu")
"""The extras of the engine that jobs may need."""

_LOWEST = (3, 11)
_FLAVOURS = (
    ("onnxruntime", "onnxruntime-gpu", "onnxruntime-directml", "onnxruntime-openvino", "onnxruntime-qnn"),
    ("onnxruntime-genai", "onnxruntime-genai-cuda", "onnxruntime-genai-directml"),
)
"""Distributions that overwrite each other's files."""
_OF_A_GPU = ("onnxruntime-gpu", "onnxruntime-genai-cuda")


def needed(known: Mapping[str, Sequence[Requirement]], extra: str) -> list[Requirement]:
    """What jobs need of the engine's own dependencies, and of an extra; not the engine, which comes with each job."""
    left_out = {DISTRIBUTION, *(canonical(each.name) for each in known.get("search", ()))}  # a job searches nothing
    both = [*known.get("", ()), *known.get(extra, ())] if extra else known.get("", ())
    return [each for each in both if canonical(each.name) not in left_out]


@dataclass
class Dependencies:
    """The dependencies of a file while they are changed."""

    entries: list[object]
    known: Mapping[str, Sequence[Requirement]]
    notices: list[str] = field(default_factory=list)

    @property
    def pip(self) -> list[str]:
        """The lines of all lists of pip."""
        return [line for entry in self.entries if isinstance(entry, dict) for line in entry["pip"] or ()]

    @property
    def conda(self) -> list[str]:
        """What conda itself installs."""
        return [entry for entry in self.entries if isinstance(entry, str)]

    def python(self, version: str) -> None:
        """See to a Python that the engine runs on."""
        wanted = f"python={PYTHON}"
        for place, entry in enumerate(self.entries):
            if isinstance(entry, str) and conda_name(entry) == "python" and not allows_python(entry, _LOWEST):
                self.notices.append(f"{entry} becomes {wanted}: olive-engine {version} needs {PYTHON} or later")
                self.entries[place] = wanted
        if "python" not in map(conda_name, self.conda):
            self.notices.append(f"{wanted} is added: the file names no Python")
            self.entries.insert(0, wanted)

    def packages(self, asked: Sequence[frozenset[str]], extra: str, version: str, *, key_vault: bool) -> None:
        """See to what the engine and the extras that are `asked` for need."""
        have = {pip_name(line) for line in self.pip}
        extra = _extra_of(asked, have, extra)
        wanted = needed(self.known, extra if asked else "")
        usable = {name: tuple(needed(self.known, name)) for name in ("", *EXTRAS)}
        self._without_other_flavours([canonical(each.name) for each in wanted])
        self._without_unfit_conda(bounds(usable))
        self._tightened(bounds(usable), version)
        have = {pip_name(line) for line in self.pip}
        missing = [str(each) for each in wanted if canonical(each.name) not in have]
        if asked:
            self._in_place_of_the_engine(missing, extra, version)
        elif missing:
            self._add(missing)
            self.notices.append(f"{_listed(missing)} added: the engine, which comes with every job, needs them")
        lines = [str(each) for each in KEY_VAULT if each.name not in have] if key_vault else []
        if lines:
            self._add(lines)
            self.notices.append(f"{_listed(lines)} added: jobs read the hub's token from the key vault with it")

    def _in_place_of_the_engine(self, lines: Iterable[str], extra: str, version: str) -> None:
        """The lines stand where Olive, or the engine, is first named; other mentions go."""
        waiting = list(lines)
        gone: list[str] = []
        for place, entry in enumerate(self.entries):
            if not isinstance(entry, dict):
                continue
            kept: list[str] = []
            for line in entry["pip"] or ():
                if engine_extras(line) is None:
                    kept.append(line)
                else:
                    gone.append(line)
                    kept += waiting
                    waiting = []
            self.entries[place] = {"pip": kept}
        what = f"what olive-engine {version} needs, with its extra {extra}; the engine itself comes with every job"
        self.notices.append(f"{' and '.join(gone)} {'gives' if len(gone) == 1 else 'give'} way to {what}")

    def _without_other_flavours(self, wanted: Sequence[str]) -> None:
        for family in _FLAVOURS:
            ours = next((name for name in wanted if name in family), "")
            for line in self.pip:
                if ours and pip_name(line) in family and pip_name(line) != ours:
                    self._replace(line, None)
                    self.notices.append(f"{line} is left out: it would overwrite files of {ours}")

    def _without_unfit_conda(self, asked: Mapping[str, str]) -> None:
        for entry in self.conda:
            name = conda_name(entry)
            if name in asked and not conda_allows(entry, asked[name]):
                self.entries.remove(entry)
                line = f"{name}{asked[name]}"
                if name not in map(pip_name, self.pip):
                    self._add([line])
                self.notices.append(f"{entry} gives way to pip's {line}, which olive-engine needs")

    def _tightened(self, asked: Mapping[str, str], version: str) -> None:
        tightened: list[str] = []
        for line in self.pip:
            name = pip_name(line)
            now, fits = bounded(line, asked.get(name, ""))
            if now == line:
                continue
            self._replace(line, now)
            if fits:
                tightened.append(name)
            else:
                self.notices.append(f"{line} becomes {now}, which olive-engine {version} needs")
        if tightened:
            what = f"versions that olive-engine {version} does not work with are ruled out"
            self.notices.append(f"{', '.join(tightened)}: {what}")

    def _replace(self, line: str, by: str | None) -> None:
        for place, entry in enumerate(self.entries):
            if isinstance(entry, dict):
                now = [by if each == line else each for each in entry["pip"] or ()]
                self.entries[place] = {"pip": [each for each in now if each is not None]}

    def _add(self, lines: Sequence[str]) -> None:
        """To the last list of pip; if there is none, to one that is made, with pip itself."""
        for place in range(len(self.entries) - 1, -1, -1):
            entry = self.entries[place]
            if isinstance(entry, dict):
                self.entries[place] = {"pip": [*(entry["pip"] or ()), *lines]}
                return
        if "pip" not in map(conda_name, self.conda):
            self.entries.append("pip")
        self.entries.append({"pip": list(lines)})


def _extra_of(asked: Iterable[frozenset[str]], have: Iterable[str], default: str) -> str:
    """Which extra of the engine a file means: as it says, else by the ONNX Runtime that it names."""
    named = frozenset[str]().union(*asked)
    if found := [extra for extra in ("gpu", "cpu") if extra in named]:
        return found[0]
    runtimes = [name for name in have if any(name in family for family in _FLAVOURS)]
    if any(name in _OF_A_GPU for name in runtimes):
        return "gpu"
    return "cpu" if runtimes else default


def _listed(lines: Sequence[str]) -> str:
    return f"{', '.join(lines)} {'is' if len(lines) == 1 else 'are'}"
