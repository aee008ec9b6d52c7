"""What the headers of weights tell, compared with what safetensors itself reads; and what is said of damaged ones."""

import json
from pathlib import Path

import pytest
from safetensors import safe_open

from olive_engine.config import checkpoint
from olive_engine.config.checkpoint import DamagedWeights, read_checkpoint, read_header
from olive_engine.config.draft import parse_tree
from olive_engine.reading import read_workflow
from olive_engine.testing.tiny_models import MAX_POSITIONS, build_tiny_model
from tests.headers import TINY_GPT2, write_model, write_weights


def complaints(folder: Path) -> list[str]:
    """What `validate` says of a model folder."""
    draft = parse_tree({"input_model": {"type": "HfModel", "model_path": str(folder)}, "passes": {}}, Path.cwd())
    return [f"{problem.what}; {problem.hint}" for problem in draft.problems]


def test_headers_tell_what_safetensors_reads(tmp_path):
    build_tiny_model(tmp_path / "model", "phi3")
    found = read_checkpoint(tmp_path / "model")
    with safe_open(tmp_path / "model" / "model.safetensors", "pt") as weights:
        tensors = {name: weights.get_tensor(name) for name in weights.keys()}  # noqa: SIM118 - it is no mapping
    assert found is not None
    assert found.tensors == {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    assert found.size == sum(tensor.nbytes for tensor in tensors.values())
    assert found.dtype == "F32"
    assert found.config["model_type"] == "phi3"
    assert found.positions == MAX_POSITIONS
    assert any(name.endswith("self_attn.qkv_proj.weight") for name in found.tensors)


def shards(folder: Path, *, index: bool = True) -> Path:
    """A model in two files."""
    write_weights(folder / "model-00001-of-00002.safetensors", {"a.weight": (4, 2)}, "BF16")
    write_weights(folder / "model-00002-of-00002.safetensors", {"b.weight": (1, 2)})
    (folder / "config.json").write_text("{}")
    if index:
        where = {"a.weight": "model-00001-of-00002.safetensors", "b.weight": "model-00002-of-00002.safetensors"}
        (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": where}))
    return folder


@pytest.mark.parametrize("index", [True, False])
def test_all_shards_are_read(tmp_path, index):
    found = read_checkpoint(shards(tmp_path, index=index))
    assert found is not None
    assert found.tensors == {"a.weight": (4, 2), "b.weight": (1, 2)}
    assert (found.size, found.dtype, found.positions) == (16 + 8, "BF16", None)


def test_files_beside_the_weights_are_not_of_the_model(tmp_path):
    shards(tmp_path)
    write_weights(tmp_path / "consolidated.safetensors", {"layers.0.wq": (2, 2)})
    found = read_checkpoint(tmp_path)
    assert found is not None
    assert set(found.tensors) == {"a.weight", "b.weight"}
    write_weights(tmp_path / "model.safetensors", {"whole.weight": (1,)})
    found = read_checkpoint(tmp_path)
    assert found is not None
    assert set(found.tensors) == {"whole.weight"}, "where there is one file, transformers reads that"


def test_an_adapter_is_no_model(tmp_path):
    write_weights(tmp_path / "adapter_model.safetensors", {"lora_A": (2, 2)})
    (tmp_path / "config.json").write_text("{}")
    assert read_checkpoint(tmp_path) is None


def test_a_shard_that_is_not_there(tmp_path):
    shards(tmp_path)
    (tmp_path / "model-00002-of-00002.safetensors").unlink()
    assert read_checkpoint(tmp_path) is None
    assert complaints(tmp_path) == [
        f"{tmp_path}/model.safetensors.index.json names model-00002-of-00002.safetensors, which is not there; "
        "copy or download it again"
    ]


@pytest.mark.parametrize("text", ["[]", "{", '{"weight_map": 3}'])
def test_a_damaged_index(tmp_path, text):
    shards(tmp_path)
    (tmp_path / "model.safetensors.index.json").write_text(text)
    assert read_checkpoint(tmp_path) is None
    (complaint,) = complaints(tmp_path)
    assert complaint.startswith(f"{tmp_path}/model.safetensors.index.json is no")


def damaged(file: Path, how: str) -> None:
    """Spoil a sound file."""
    content = file.read_bytes()
    length = int.from_bytes(content[:8], "little")
    spoilt = {
        "empty": b"",
        "short": content[:-1],
        "long": content + b"\0",
        "in the header": content[:20],
        "no json": content[:8] + b"x" * (len(content) - 8),
        "a list": (2).to_bytes(8, "little") + b"[]",
        "no shape": b'{"a":{"dtype":"F32","data_offsets":[0,4]}}',
        "deep": b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    }[how]
    if how in ("no shape", "deep"):
        spoilt = len(spoilt).to_bytes(8, "little") + spoilt + bytes(4)
    assert length > 20
    file.write_bytes(spoilt)


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("empty", "no readable safetensors file"),
        ("short", "cut short or damaged: 1774 bytes, and its header says 1775"),
        ("long", "cut short or damaged: 1776 bytes, and its header says 1775"),
        ("in the header", "cut short: 20 bytes, of which a header of 615 bytes"),
        ("no json", "no readable safetensors file"),
        ("a list", "no readable safetensors file"),
        ("no shape", "no readable safetensors file"),
        ("deep", "no readable safetensors file"),
    ],
)
def test_a_damaged_file(tmp_path, how, message):
    file = write_model(tmp_path) / "model.safetensors"
    damaged(file, how)
    with pytest.raises(DamagedWeights) as caught:
        read_header(file)
    assert str(caught.value) == message
    assert read_checkpoint(tmp_path) is None
    assert complaints(tmp_path) == [f"{file} is {message}; copy or download it again"]


def test_a_header_beyond_all_measure_is_not_read(tmp_path, monkeypatch):
    file = write_model(tmp_path) / "model.safetensors"
    assert set(read_header(file)) == set(TINY_GPT2)
    monkeypatch.setattr(checkpoint, "MAX_HEADER", 100)
    with pytest.raises(DamagedWeights, match="its header would be 615 bytes long"):
        read_header(file)


@pytest.mark.parametrize("config", [None, "[]", "{"])
def test_without_a_configuration_nothing_is_known(tmp_path, config):
    write_model(tmp_path)
    (tmp_path / "config.json").unlink()
    if config is not None:
        (tmp_path / "config.json").write_text(config)
    assert read_checkpoint(tmp_path) is None
    assert read_checkpoint(tmp_path / "nowhere") is None


# --- hints --------------------------------------------------------------------------------------------------------


def test_a_model_folder_in_the_folder_is_meant(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_model(tmp_path / "download" / "phi")
    assert complaints(Path("download")) == ["the folder 'download' has no config.json; did you mean `download/phi`?"]
    write_model(tmp_path / "download" / "gpt2")
    assert complaints(Path("download")) == [
        "the folder 'download' has no config.json; expected a Hugging Face model folder"
    ]


def test_a_path_that_exists_beside_the_file_is_named(tmp_path, monkeypatch):
    write_model(tmp_path / "project" / "models" / "tiny")
    (tmp_path / "project" / "rows.jsonl").write_text('{"text": "a"}\n')
    (tmp_path / "project" / "workflow.yaml").write_text(
        "input_model: {type: HfModel, model_path: models/tiny}\n"
        "data_configs: [{name: train, load_dataset_config: {data_files: [rows.jsonl]}}]\n"
    )
    monkeypatch.chdir(tmp_path)
    told = [str(problem) for problem in read_workflow(["project/workflow.yaml"]).problems]
    beside = "paths are relative to the working directory; it exists as project"
    assert told == [
        f"project/workflow.yaml:1:42: input_model.model_path: no such folder: 'models/tiny'; {beside}/models/tiny",
        "project/workflow.yaml:2:65: data_configs[0].load_dataset_config.data_files[0]: "
        f"there is no file or folder rows.jsonl (looked in {tmp_path}); {beside}/rows.jsonl",
    ]


def test_a_path_in_the_home_folder_is_not_relative(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert complaints(Path("~/models/tiny")) == ["no such folder: '~/models/tiny'; "]
