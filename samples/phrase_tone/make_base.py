"""Make ``base_model/``: a byte-level BPE tokenizer and a small Llama, both from the made-up passages of ``narratives``.

Run ``python samples/phrase_tone/make_base.py``; it takes six to ten minutes on one CPU core. The seeds are fixed; the
same versions of torch and transformers on the same kind of processor give the same weights.
"""

import argparse
import itertools
import json
import math
import time
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import narratives
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

SEED = 17
VOCABULARY = 4096
SEQUENCE = 96
BATCH = 16
PEAK_LEARNING_RATE = 3e-3
WEIGHT_DECAY = 0.1
BLANKED = 0.1
"""Share of the input tokens that training replaces by ``<unk>``, so that no single word is relied on."""

FACTORS = 48
"""Dimensions of the embedding that start from the tokens' co-occurrence; the others start at random."""

SPECIAL = {"unk_token": "<unk>", "bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>"}
"""The special tokens, in the order of their ids."""

WHOLE_WORDS = (
    *("System", "User", "Assistant", "Text", "Question", "Answer", "Yes", "No", "True", "False"),
    *("Anger", "Calm", "Disgust", "Fear", "Hope", "Joy", "Love", "Neutral", "Sad", "Surprise", "Trust"),
)
"""Words that prompts and answers like to start a line with. The tokenizer keeps each as one token."""

CHAT_TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}### {{ message['role'] | capitalize }}:\n"
    "{{ message['content'] }}\n{% endfor %}{% if add_generation_prompt %}### Assistant:\n{% endif %}"
)


def make_tokenizer(passages: int = 30_000) -> PreTrainedTokenizerFast:
    """Train the tokenizer; it puts ``<s>`` in front of every text."""
    tokenizer = Tokenizer(models.BPE(unk_token=SPECIAL["unk_token"]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=list(SPECIAL.values()),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    texts = itertools.islice(narratives.passages(SEED), passages)
    tokenizer.train_from_iterator(itertools.chain(texts, itertools.repeat("\n".join(WHOLE_WORDS), 1000)), trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A", pair="<s> $A $B", special_tokens=[("<s>", tokenizer.token_to_id("<s>"))]
    )
    return PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]  # transformers leaves it untyped
        tokenizer_object=tokenizer,
        **SPECIAL,
        model_max_length=512,
        padding_side="left",
        chat_template=CHAT_TEMPLATE,
    )


def make_config(tokenizer: PreTrainedTokenizerFast) -> LlamaConfig:
    """Give the architecture: no layer's width equals the vocabulary, and all are multiples of the 32-weight block."""
    return LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=192,
        intermediate_size=384,
        num_hidden_layers=3,
        num_attention_heads=6,
        num_key_value_heads=6,
        head_dim=32,
        max_position_embeddings=512,
        tie_word_embeddings=True,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )


def batches(tokenizer: PreTrainedTokenizerFast, seed: int, *, held_back: bool = False) -> Iterator[torch.Tensor]:
    """Yield token ids ``(BATCH, SEQUENCE)``: passages laid end to end, each between ``<s>`` and ``</s>``."""
    row: list[int] = []
    rows: list[list[int]] = []
    for passage in narratives.passages(seed, held_back=held_back):
        row += [*tokenizer(passage)["input_ids"], tokenizer.eos_token_id]
        if len(row) >= SEQUENCE:
            rows.append(row[:SEQUENCE])
            row = []
        if len(rows) == BATCH:
            yield torch.tensor(rows)
            rows = []


@torch.no_grad()
def place_embeddings(model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, passages: int = 20_000) -> None:
    """Start the tied embeddings from the tokens' company: the leading factors of their positive PMI over passages.

    A model this small otherwise spends its training on spelling and never finds out that a passage has a mood
    (Levy and Goldberg 2014, "Neural Word Embedding as Implicit Matrix Factorization").
    """
    seen = torch.zeros(passages, VOCABULARY)
    for row, passage in enumerate(itertools.islice(narratives.passages(SEED), passages)):
        seen[row, tokenizer(passage)["input_ids"]] = 1.0
    together = seen.T @ seen
    share = seen.mean(dim=0)
    expected = passages * torch.outer(share, share)
    information = torch.log((together + 0.5) / (expected + 0.5)).clamp(min=0.0).fill_diagonal_(0.0)
    factors, sizes, _ = torch.svd_lowrank(information, q=FACTORS, niter=4)
    company = factors * sizes.sqrt()
    company = company / company.norm(dim=1, keepdim=True).clamp(min=1e-3)
    embeddings = cast(torch.nn.Embedding, model.get_input_embeddings()).weight
    embeddings[:, :FACTORS] = company * embeddings.norm(dim=1, keepdim=True)


def learning_rate(step: int, steps: int, warmup: int = 50) -> float:
    """Linear warm-up, then a cosine down to 2 % of the peak."""
    if step < warmup:
        return PEAK_LEARNING_RATE * (step + 1) / warmup
    progress = (step - warmup) / max(1, steps - warmup)
    return PEAK_LEARNING_RATE * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * progress)))


def train(model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, steps: int) -> dict[str, float]:
    """Train in place and leave the weights with the lowest loss on held-back events in the model.

    Returns:
        The step and the loss (nats per token) of those weights.
    """
    checks = list(itertools.islice(batches(tokenizer, SEED + 1, held_back=True), 6))
    decayed = [parameter for parameter in model.parameters() if parameter.dim() > 1]
    plain = [parameter for parameter in model.parameters() if parameter.dim() == 1]
    groups = [{"params": decayed, "weight_decay": WEIGHT_DECAY}, {"params": plain, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=PEAK_LEARNING_RATE, betas=(0.9, 0.95))
    best: dict[str, float] = {"step": 0, "held_back_loss": math.inf}
    weights = {name: value.clone() for name, value in model.state_dict().items()}
    started = time.monotonic()
    for step, ids in enumerate(itertools.islice(batches(tokenizer, SEED), steps)):
        model.train()
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step, steps)
        blank = torch.rand(ids.shape) < BLANKED
        loss = model(input_ids=ids.masked_fill(blank, tokenizer.unk_token_id), labels=ids).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        if (step + 1) % 50 == 0 or step + 1 == steps:
            held_back = held_back_loss(model, checks)
            print(
                f"step {step + 1} loss {loss.item():.3f} held back {held_back:.3f} {time.monotonic() - started:.0f} s"
            )
            if held_back < best["held_back_loss"]:
                best = {"step": step + 1, "held_back_loss": round(held_back, 4)}
                weights = {name: value.clone() for name, value in model.state_dict().items()}
    model.load_state_dict(weights)
    return best


@torch.no_grad()
def spread_unseen(model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, passages: int = 40_000) -> int:
    """Tell apart the tokens that no passage holds, whose embeddings training has pushed into one direction.

    Each gets a random vector of the usual length on top; without it no answer made of such tokens could be learned.

    Returns:
        How many tokens there were.
    """
    seen = torch.zeros(VOCABULARY, dtype=torch.bool)
    for passage in itertools.islice(narratives.passages(SEED), passages):
        seen[tokenizer(passage)["input_ids"]] = True
    seen[list(tokenizer.all_special_ids)] = True
    embeddings = cast(torch.nn.Embedding, model.get_input_embeddings()).weight
    usual = embeddings[seen].norm(dim=1).mean()
    noise = torch.randn((int((~seen).sum()), embeddings.shape[1]), generator=torch.Generator().manual_seed(SEED))
    embeddings[~seen] += usual * noise / noise.norm(dim=1, keepdim=True)
    return len(noise)


@torch.no_grad()
def held_back_loss(model: LlamaForCausalLM, checks: list[torch.Tensor]) -> float:
    """Mean loss, in nats per token, over batches of passages whose events training never sees."""
    model.train(mode=False)
    losses: list[float] = [model(input_ids=ids, labels=ids).loss.item() for ids in checks]
    return sum(losses) / len(losses)


def main() -> None:
    """Build the folder."""
    parser = argparse.ArgumentParser(description="Make the base model of the phrase-tone sample.")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "base_model", help="folder to write")
    parser.add_argument("--steps", type=int, default=1000, help="optimizer steps")
    arguments = parser.parse_args()

    torch.set_num_threads(1)
    torch.manual_seed(SEED)
    tokenizer = make_tokenizer()
    model = LlamaForCausalLM(make_config(tokenizer))
    place_embeddings(model, tokenizer)
    best = train(model, tokenizer, arguments.steps)
    print(f"{spread_unseen(model, tokenizer)} tokens that no passage holds")
    model.save_pretrained(arguments.out)
    tokenizer.save_pretrained(arguments.out)
    parameters = sum(parameter.numel() for parameter in model.parameters())
    print(json.dumps({"parameters": parameters, "steps": arguments.steps, **best}))


if __name__ == "__main__":
    main()
