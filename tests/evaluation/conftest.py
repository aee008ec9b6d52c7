from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pytest

from olive_engine.config.data import DataConfig
from olive_engine.contracts import Device, Event, PassContext
from olive_engine.data.files import local_files
from olive_engine.data.prepare import prepare
from olive_engine.models import HfAdapterModel, HfModel, OnnxModel
from olive_engine.testing.tiny_models import build_tiny_adapter, build_tiny_model

PHRASES = [
    ("The gulls took my lunch and nobody laughed.", "Sad"),
    ("We won!", "Joy"),
    ("Something is breathing behind the door, and it knows that I am awake.", "Fear"),
    ("A letter, after all these years?", "Surprise"),
    ("I have never been so glad to see rain.", "Joy"),
    ("They sold the house.", "Sad"),
    ("The lights went out, one after the other, all along the river.", "Fear"),
    ("You were in the photograph too!", "Surprise"),
    ("She found the buttons in the jar.", "Joy"),
]

MakeContext = Callable[..., PassContext]
MakeData = Callable[..., Path]


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> HfModel:
    return build_tiny_model(tmp_path_factory.mktemp("tiny") / "model")


@pytest.fixture(scope="session")
def adapter(tiny: HfModel, tmp_path_factory: pytest.TempPathFactory) -> HfAdapterModel:
    return build_tiny_adapter(tiny, tmp_path_factory.mktemp("adapter") / "adapter")


@pytest.fixture(scope="session")
def onnx_model(tiny: HfModel, tmp_path_factory: pytest.TempPathFactory) -> OnnxModel:
    """The tiny model in float32, as onnxruntime-genai's builder makes it."""
    from onnxruntime_genai.models.builder import create_model, parse_extra_options

    out = tmp_path_factory.mktemp("onnx")
    arguments = (None, str(tiny.model_path), str(out / "model"), "fp32", "cpu", str(out / "cache"))
    create_model(*arguments, **parse_extra_options(*arguments, ["hf_token=false"]))
    return OnnxModel(model_path=out / "model")


@pytest.fixture(scope="session")
def residents() -> dict[object, object]:
    """What the contexts of all tests share, as jobs of a warm worker do."""
    return {}


@pytest.fixture
def make_context(tmp_path: Path, residents: dict[object, object]) -> MakeContext:
    """Contexts with output folders of their own."""
    made: list[PassContext] = []

    def make(
        data: Mapping[str, Path] | None = None, events: list[Event] | None = None, *, stop: bool = False
    ) -> PassContext:
        out, state, scratch = (tmp_path / f"{name}{len(made)}" for name in ("out", "state", "scratch"))
        for folder in (out, state, scratch):
            folder.mkdir()

        def resident(key: object, load: Callable[[], object]) -> object:
            if key not in residents:
                residents[key] = load()
            return residents[key]

        context = PassContext(
            out,
            state,
            scratch,
            seed=0,
            device=Device(),
            threads=1,
            data=data or {},
            resident=resident,
            report=(events if events is not None else []).append,
            should_stop=lambda: stop,
        )
        made.append(context)
        return context

    return make


@pytest.fixture
def make_data(tmp_path: Path, tiny: HfModel, make_context: MakeContext) -> MakeData:
    """Prepare rows for the tiny model; options are those of ``pre_process_data_config``."""

    def make(
        rows: Sequence[tuple[str, str] | dict[str, object]] = PHRASES,
        *,
        model: HfModel = tiny,
        batch_size: int = 4,
        **options: object,
    ) -> Path:
        context = make_context()
        source = context.scratch / "rows.jsonl"
        named = [row if isinstance(row, dict) else {"phrase": row[0], "tone": row[1]} for row in rows]
        source.write_text("".join(json.dumps(row) + "\n" for row in named), encoding="utf-8")
        template = {"text_template": "Phrase: {phrase}\nTone: {tone}", "completion_only_loss": True}
        config = DataConfig.model_validate(
            {
                "name": "rows",
                "load_dataset_config": {"data_files": str(source)},
                "pre_process_data_config": template | options,
                "dataloader_config": {"batch_size": batch_size},
            }
        )
        files = context.scratch / "files"
        for name, path in local_files(config, Path()).items():
            (files / name).parent.mkdir(parents=True, exist_ok=True)
            (files / name).write_bytes(path.read_bytes())
        return prepare(config, files, model.model_path, context).data_path

    return make
