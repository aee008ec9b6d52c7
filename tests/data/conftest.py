"""A small tokenizer of the byte-level BPE kind, and the data step run on rows that a test writes down."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

from olive_engine.config.data import DataConfig
from olive_engine.contracts import Device, Event, PassContext
from olive_engine.data.files import local_files, portable
from olive_engine.data.prepare import prepare

TEXT = "the quick brown fox was sad , the lazy dog felt joy . Text: Tone: Joy Sad Fear Surprise\n" * 50


def make_tokenizer(*, bos: bool = False, eos: str | None = "</s>", pad: str | None = None) -> PreTrainedTokenizerFast:
    """A byte-level BPE; `bos` adds the bos token by a post-processor, as Llama's does."""
    special = ["<s>", "</s>", "<|user|>", "<|assistant|>"]
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator(
        TEXT.splitlines(),
        trainers.BpeTrainer(
            vocab_size=330,
            special_tokens=[AddedToken(token, special=True) for token in special],
            initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
            show_progress=False,
        ),
    )
    tokenizer.post_processor = (
        processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 0)])
        if bos
        else processors.ByteLevel(trim_offsets=True)  # what GPT-2's and Qwen's have
    )
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<s>", eos_token=eos, pad_token=pad)


def make_sentencepiece_like() -> PreTrainedTokenizerFast:
    """A BPE of Llama 2's layout: blanks are a letter of their own, unknown characters fall back to bytes."""
    tokenizer = Tokenizer(models.BPE(byte_fallback=True, unk_token="<unk>"))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    special = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256))]
    trainer = trainers.BpeTrainer(vocab_size=340, special_tokens=special, show_progress=False)
    tokenizer.train_from_iterator([TEXT.replace(" ", "▁")], trainer)
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>", unk_token="<unk>")


class Step:
    """Runs the data step on rows, and keeps what it reported."""

    make_tokenizer = staticmethod(make_tokenizer)
    make_sentencepiece_like = staticmethod(make_sentencepiece_like)

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.events: list[Event] = []
        self.runs = 0
        self.use(make_tokenizer())

    def use(self, tokenizer: PreTrainedTokenizerFast) -> None:
        self.tokenizer = tokenizer
        self.tokenizer_path = self.folder / f"tokenizer-{self.runs}-{id(tokenizer)}"
        tokenizer.save_pretrained(self.tokenizer_path)

    def __call__(
        self,
        rows: Sequence[Mapping[str, Any]],
        *,
        load: Mapping[str, Any] | None = None,
        stop: Callable[[], bool] = lambda: False,
        **options: Any,
    ) -> Path:
        source = self.folder / "rows.jsonl"
        source.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        return self.run({"data_files": str(source), **(load or {})}, stop=stop, **options)

    def run(self, load: Mapping[str, Any], *, stop: Callable[[], bool] = lambda: False, **options: Any) -> Path:
        config = DataConfig.model_validate(
            {"name": "mine", "load_dataset_config": load, "pre_process_data_config": options}
        )
        self.runs += 1
        work = self.folder / f"run-{self.runs}"
        out, files = work / "out", work / "files"
        for folder in (out, files, work / "state", work / "scratch"):
            folder.mkdir(parents=True)
        for name, path in local_files(config, self.folder).items():
            (files / name).parent.mkdir(exist_ok=True)
            (files / name).symlink_to(path)
        context = PassContext(
            out=out,
            state=work / "state",
            scratch=work / "scratch",
            seed=0,
            device=Device(),
            threads=1,
            data={},
            resident=lambda key, make: make(),
            report=self.events.append,
            should_stop=stop,
        )
        # What travels to a worker is the portable form, as JSON.
        sent = DataConfig.model_validate_json(portable(config).model_dump_json())
        shipped = files if config.load_dataset_config.format else None
        assert prepare(sent, shipped, self.tokenizer_path, context).data_path == out
        return out


@pytest.fixture
def step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Step:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    return Step(tmp_path)
