"""Small models of real architectures, made in a fraction of a second: the same seed gives the same bytes.

Two layers, a hidden size of 64 and a byte-level tokenizer. The sizes are chosen so that every quantizer and exporter
takes them: multiples of 32 (the int4 block), and a vocabulary that no layer has as its output size, because exporters
recognise the head by its shape.
"""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from olive_engine.models import HfAdapterModel, HfModel

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerFast

Architecture = Literal["llama", "qwen2", "phi3", "gemma", "gpt2"]
ARCHITECTURES: tuple[Architecture, ...] = tuple(name for name in get_args(Architecture) if name != "gpt2")
"""Those that every pass takes; GPT-2, made of Conv1D layers, can be trained and merged, but onnxruntime-genai's builder
does not know it."""

VOCABULARY = 352
MAX_POSITIONS = 256
PAD, BOS, EOS, UNK = "<pad>", "<s>", "</s>", "<unk>"

CHAT_TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}{{ message['role'] }}: {{ message['content'] }}\n{% endfor %}"
    "{% if add_generation_prompt %}assistant:{% endif %}"
)

# What the tokenizer learns its merges from; any English text does.
TEXT = """\
The ferry left the harbour a little after seven, while the gulls were still arguing over the night's catch.
My grandmother kept a jar of buttons on the windowsill, and each of them had a story she liked to tell.
He opened the letter twice before reading it, because good news had become a stranger in that house.
They laughed until the waiter came over, and then they laughed because the waiter was laughing too.
Nobody had warned us that the bridge would be closed, so we walked along the river in the rain.
She found the old photograph behind the mirror, and for a moment she could not say a single word.
The dog waited at the gate every evening, although the school bus no longer stopped on our street.
When the lights went out, the children whispered to one another that the house itself was breathing.
I have never seen so many people cheer for someone who finished last, and I was cheering with them.
Classify the tone of this phrase: what a wonderful surprise to see you here tonight! Answer: Joy, Fear, Sad, Surprise.
"""


def build_tiny_model(
    folder: Path, architecture: Architecture = "llama", *, seed: int = 0, tied: bool | None = None
) -> HfModel:
    """Write a two-layer model with random weights, its tokenizer and its generation config to `folder`.

    Args:
        folder: made if it is not there.
        architecture: which family's modules; Phi-3 has fused projections, Gemma its own norms and scaled embeddings,
            GPT-2 transposed (Conv1D) layers with biases.
        seed: of the weights; the tokenizer is always the same.
        tied: whether the head shares the embedding's weights; none: as the family does it (Gemma and GPT-2 tie).
    """
    folder.mkdir(parents=True, exist_ok=True)
    _tokenizer().save_pretrained(folder)
    _model(architecture, seed, tied=architecture in ("gemma", "gpt2") if tied is None else tied).save_pretrained(folder)
    return HfModel(model_path=folder)


def build_tiny_adapter(
    model: HfModel, folder: Path, *, r: int = 4, seed: int = 0, trained: bool = True
) -> HfAdapterModel:
    """Write a LoRA adapter for `model` on all its linear layers to `folder`.

    Args:
        model: the base.
        folder: made if it is not there.
        r: rank; alpha is twice the rank.
        seed: of the adapter's weights.
        trained: give B random values, as if it had been trained; else B is zero and the adapter changes nothing.
    """
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    base = AutoModelForCausalLM.from_pretrained(model.model_path)
    config = LoraConfig(
        r=r,
        lora_alpha=2 * r,
        target_modules="all-linear",
        task_type="CAUSAL_LM",
        fan_in_fan_out=base.config.model_type == "gpt2",  # Conv1D holds its weight transposed
    )
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        # peft asks transformers by a name that transformers has renamed.
        warnings.filterwarnings("ignore", "`is_gradient_checkpointing` is deprecated", FutureWarning)
        torch.manual_seed(seed)
        adapted = get_peft_model(base, config)
        if trained:
            for name, parameter in adapted.named_parameters():
                if ".lora_B." in name:
                    torch.nn.init.normal_(parameter, std=0.05)
    folder.mkdir(parents=True, exist_ok=True)
    adapted.save_pretrained(str(folder))
    (folder / "README.md").unlink(missing_ok=True)
    written = json.loads((folder / "adapter_config.json").read_text(encoding="utf-8"))
    # peft writes a set in whatever order it has, and the path of the base on this machine.
    written |= {"base_model_name_or_path": None, "target_modules": sorted(written["target_modules"])}
    (folder / "adapter_config.json").write_text(json.dumps(written, indent=2, sort_keys=True), encoding="utf-8")
    return HfAdapterModel(model_path=model.model_path, adapter_path=folder)


def _tokenizer() -> PreTrainedTokenizerFast:
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE(unk_token=UNK))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=[AddedToken(token, special=True) for token in (PAD, BOS, EOS, UNK)],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(TEXT.splitlines(), trainer)
    return PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]  # transformers leaves it untyped
        tokenizer_object=tokenizer,
        bos_token=BOS,
        eos_token=EOS,
        pad_token=PAD,
        unk_token=UNK,
        chat_template=CHAT_TEMPLATE,
        model_max_length=MAX_POSITIONS,
        clean_up_tokenization_spaces=False,
    )


def _model(architecture: Architecture, seed: int, *, tied: bool) -> PreTrainedModel:
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM, GenerationConfig

    # head_dim 32, so that rotary kernels of every runtime accept it.
    sizes: dict[str, Any] = {
        "vocab_size": VOCABULARY,
        "hidden_size": 64,
        "intermediate_size": 160,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "max_position_embeddings": MAX_POSITIONS,
        "pad_token_id": 0,
        "bos_token_id": 1,
        "eos_token_id": 2,
        "tie_word_embeddings": tied,
    }
    extra: dict[Architecture, dict[str, Any]] = {
        "llama": {},
        "qwen2": {},
        "phi3": {"original_max_position_embeddings": MAX_POSITIONS},
        "gemma": {"head_dim": 32},
        # Without the dropout of its own, so that the losses of two trainings can be compared.
        "gpt2": {"n_inner": 160, "attn_pdrop": 0.0, "embd_pdrop": 0.0, "resid_pdrop": 0.0},
    }
    if architecture == "gpt2":
        del sizes["intermediate_size"], sizes["num_key_value_heads"]  # it has other names, or none, for them
    config = AutoConfig.for_model(architecture, **sizes, **extra[architecture])
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model: PreTrainedModel = AutoModelForCausalLM.from_config(config, dtype=torch.float32)  # type: ignore[no-untyped-call]  # transformers leaves it untyped
        # Weights a little larger than a fresh model's: logits then differ by more than rounding from token to token.
        with torch.no_grad():
            for parameter in model.parameters():
                if parameter.ndim == 2:
                    parameter.mul_(4.0)
    model.generation_config = GenerationConfig(bos_token_id=1, eos_token_id=2, pad_token_id=0)  # type: ignore[no-untyped-call]  # transformers leaves it untyped
    model.eval()  # type: ignore[no-untyped-call]  # transformers leaves it untyped
    return model
