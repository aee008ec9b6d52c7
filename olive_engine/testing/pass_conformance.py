"""What every pass promises, as tests.

A pass's own test is a subclass that names a case:

class TestMyPass(PassConformance):
    @pytest.fixture
    def case(self, tmp_path):
        return PassCase(MyPass, {"strength": 2}, build_tiny_model(tmp_path / "model"))
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from pydantic import JsonValue

from olive_engine.contracts import EVENT_LINE, AnyPass, ItemResult, Known, Progress, Segment
from olive_engine.models import Artifact, TrialState
from olive_engine.options import Packable, marked
from olive_engine.testing.harness import Trial, manifest_of, output_of, run_pass, tree_of
from olive_engine.testing.toys import build_toy_model
from olive_engine.worker import Worker

HEAVY = ("torch", "transformers", "peft", "datasets", "onnx", "onnxruntime", "onnxruntime_genai", "numpy", "networkx")
TEXT_SUFFIXES = (".json", ".txt", ".md", ".jinja", ".yaml", ".yml")


@dataclass(frozen=True)
class PassCase:
    """A pass with a config and inputs on which it runs in seconds."""

    pass_class: type[AnyPass]
    config: Mapping[str, JsonValue]
    model: Artifact | tuple[Artifact, ...]
    data: Mapping[str, Artifact] = field(default_factory=dict)
    other_config: Mapping[str, JsonValue] | None = None
    """Another config, for a job in between and for packs; it may differ from `config` in packable options only."""
    same: Callable[[Path, Path], bool] | None = None
    """Whether two output folders of a pack and a solo run agree within the pass's tolerance; default: equal bytes."""

    @property
    def models(self) -> tuple[Artifact, ...]:
        """The inputs as a tuple."""
        return self.model if isinstance(self.model, tuple) else (self.model,)


class PassConformance:
    """Subclass it, and give the fixture `case`."""

    @pytest.fixture
    def case(self) -> PassCase:
        """The pass under test."""
        raise NotImplementedError("give a `case` fixture")

    def test_options_have_descriptions(self, case: PassCase) -> None:
        """`olive passes NAME` and editors show them."""
        bare = [name for name, info in case.pass_class.config_type.model_fields.items() if not info.description]
        assert not bare, f"options without a description: {bare}"

    def test_docstring_starts_with_a_sentence(self, case: PassCase) -> None:
        """It is the pass's line in `olive passes`."""
        first = (case.pass_class.__doc__ or "").strip().splitlines()
        assert first, "the pass has no docstring"
        assert first[0].rstrip().endswith((".", ":", ")"))

    def test_declaration_is_light(self, case: PassCase) -> None:
        """Validating a workflow imports every declaration."""
        code = f"import sys, {case.pass_class.__module__}; print([m for m in {HEAVY!r} if m in sys.modules])"
        done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True)
        assert done.stdout.strip() == "[]"

    def test_config_survives_the_wire(self, case: PassCase) -> None:
        """A job carries the config as JSON."""
        config = case.pass_class.config_type.model_validate(dict(case.config))
        again = case.pass_class.config_type.model_validate_json(config.model_dump_json())
        assert again == config

    def test_gives_the_declared_kind(self, case: PassCase, tmp_path: Path) -> None:
        """What the graph was checked with is what comes out."""
        folder, (result,) = self._run(case, tmp_path)
        assert isinstance(output_of(folder, result), case.pass_class.produces)

    def test_is_deterministic_in_a_warm_worker(self, case: PassCase, tmp_path: Path) -> None:
        """A, B, A: the second A gives the first one's bytes."""
        worker = Worker(None)
        first = manifest_of(self._run(case, tmp_path, worker)[1][0])
        if case.other_config is not None:
            run_pass(tmp_path, case.pass_class.type, [Trial(case.other_config, 7)], case.models, case.data, worker)
        place, variables = Path.cwd(), dict(os.environ)
        nasty = [build_toy_model(tmp_path / "nasty")]
        manifest_of(run_pass(tmp_path, "ToyScale", [Trial({"misbehave": "disturb"})], nasty, worker=worker)[1][0])
        assert (Path.cwd(), dict(os.environ)) == (place, variables), "the next job finds what the last one left"
        second = manifest_of(self._run(case, tmp_path, worker)[1][0])
        assert second.digest == first.digest

    def test_leaves_its_input_alone(self, case: PassCase, tmp_path: Path) -> None:
        """Inputs may be links to other steps' results."""
        before = [artifact.to_manifest(tree_of).digest for artifact in case.models]
        self._run(case, tmp_path)
        assert [artifact.to_manifest(tree_of).digest for artifact in case.models] == before

    def test_writes_no_absolute_path(self, case: PassCase, tmp_path: Path) -> None:
        """The output is moved, cached and shared: a path of this job means nothing there."""
        folder, (result,) = self._run(case, tmp_path)
        for tree in manifest_of(result).parts.values():
            if not tree.location.startswith("job:"):
                continue
            for name in tree.files:
                if name.endswith(TEXT_SUFFIXES):
                    text = (folder / tree.location.removeprefix("job:") / name).read_text()
                    assert str(folder) not in text, f"{name} names the job folder"

    def test_refuses_an_unknown_option(self, case: PassCase) -> None:
        """A mistyped option is an error, never ignored."""
        with pytest.raises(ValueError, match="no_such_option"):
            case.pass_class.config_type.model_validate({**case.config, "no_such_option": 1})

    def test_segments_equal_one_run(self, case: PassCase, tmp_path: Path) -> None:
        """Stopping at 0.5 and going on elsewhere changes nothing."""
        if not case.pass_class.has_segments():
            pytest.skip("the pass runs in one piece")
        whole = manifest_of(self._run(case, tmp_path)[1][0])
        folder, (half,) = self._run(case, tmp_path, segment=Segment(until=0.5))
        state = output_of(folder, half)
        assert isinstance(state, TrialState)
        folder, (rest,) = self._run(case, tmp_path, segment=Segment(until=1.0), state=state)
        lines = [EVENT_LINE.validate_json(line) for line in (folder / "events.jsonl").read_text().splitlines()]
        first = next((line.event for line in lines if isinstance(line.event, Progress)), None)
        assert first is not None, "the segment reports no progress"
        assert 2 * first.step > first.total, "the second half begins anew"
        assert manifest_of(rest).digest == whole.digest

    def test_pack_equals_solo_runs(self, case: PassCase, tmp_path: Path) -> None:
        """Each member of a pack is what it would be alone, within the pass's tolerance."""
        if not case.pass_class.has_packs():
            pytest.skip("the pass runs no packs")
        assert case.other_config is not None, "give a case with other_config, differing in packable options"
        packable = {name for name, _ in marked(case.pass_class.config_type, Packable)}
        one, other = dict(_flat(case.config)), dict(_flat(case.other_config))
        differing = {name for name in one.keys() | other.keys() if one.get(name) != other.get(name)}
        assert differing <= packable
        trials = [Trial(case.config), Trial(case.other_config, 1)]
        packed_folder, packed = run_pass(tmp_path, case.pass_class.type, trials, case.models, case.data)
        for trial, member in zip(trials, packed, strict=True):
            config = case.pass_class.config_type.model_validate(trial.config)
            assert member.packed == (not case.pass_class.alone_because(config, Known()))
            folder, (solo,) = run_pass(tmp_path, case.pass_class.type, [trial], case.models, case.data)
            if case.same is None:
                assert manifest_of(member).digest == manifest_of(solo).digest
            else:
                index = packed.index(member)
                assert case.same(packed_folder / "outputs" / str(index), folder / "outputs" / "0")

    def _run(
        self,
        case: PassCase,
        root: Path,
        worker: Worker | None = None,
        segment: Segment | None = None,
        state: Artifact | None = None,
    ) -> tuple[Path, tuple[ItemResult, ...]]:
        trial = Trial(case.config, 0, segment, state)
        return run_pass(root, case.pass_class.type, [trial], case.models, case.data, worker)


def _flat(config: Mapping[str, JsonValue], prefix: str = "") -> Iterator[tuple[str, JsonValue]]:
    for name, value in config.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value
