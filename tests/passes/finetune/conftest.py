import gc
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from olive_engine.models import HfModel
from olive_engine.testing.tiny_models import build_tiny_model
from tests.passes.finetune.bench import Bench, phrase_rows, write_tokens


@pytest.fixture(scope="session", autouse=True)
def _imports_are_not_garbage() -> Iterator[None]:
    """Accelerate collects garbage at each start of a training; what is imported by now need not be looked at."""
    import olive_passes.finetune.train  # noqa: F401 - for what it loads

    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture(scope="session")
def base(tmp_path_factory: pytest.TempPathFactory) -> HfModel:
    return build_tiny_model(tmp_path_factory.mktemp("llama"))


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory, base: HfModel) -> dict[str, Path]:
    rows = phrase_rows(base)
    folder = tmp_path_factory.mktemp("data")
    return {
        "train_data_config": write_tokens(folder / "train", rows),
        "eval_data_config": write_tokens(folder / "eval", rows[:4]),
    }


@pytest.fixture
def bench(tmp_path: Path, data: dict[str, Path]) -> Bench:
    return Bench(tmp_path, data)


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
