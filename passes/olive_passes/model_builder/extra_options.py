"""The builder's own options by name: which may be passed on, and why the others may not.

The builder ignores a name that it does not know, so a typing mistake would pass in silence. The names are those of
onnxruntime-genai 0.18; a test compares them with what the installed builder reads.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping

ACCEPTED = frozenset(
    {
        "enable_cuda_fpa_intb_gemm",
        "exclude_mtp",
        "fuse_mlp_gate_up",
        "fuse_qk_norm_gqa",
        "fuse_qkv",
        "linear_attn_op",
        "matmul_mixed_precision",
        "matmulnbits_weights_prepacked",
        "moe_quant_type",
        "prune_lm_head",
        "qmoe_block_size",
        "qmoe_weights_prepacked",
        "shared_embeddings",
        "state_window",
        "use_cuda_bf16",
        "use_device_allocator_for_initializers",
        "windowed_kv_cache",
    }
)
"""Passed on as they are."""

OWN: Mapping[str, str] = {
    "accuracy_level": "int4_accuracy_level",
    "algo_config": "int4_algo_config",
    "block_size": "int4_block_size",
    "enable_cuda_graph": "enable_cuda_graph",
    "exclude_embeds": "exclude_embeds",
    "exclude_lm_head": "exclude_lm_head",
    "include_hidden_states": "include_hidden_states",
    "is_symmetric": "int4_is_symmetric",
    "nodes_to_exclude": "int4_nodes_to_exclude",
    "op_types_to_quantize": "int4_op_types_to_quantize",
    "use_qdq": "use_qdq",
}
"""Options of the builder that are options of the pass, by the name they have here."""

_FILE = "it names a file outside the model, whose content the step's key would not cover"
_FIXED = "the pass sets it"
_PAGED = "a model for the paged engine cannot be verified here"
_OTHER_DEVICE = "it is for an execution provider that this pass does not build for"
_RENAMED = "the builder has deprecated it"

REFUSED: Mapping[str, str] = {
    "adapter_path": "merge the adapter first, with MergeAdapterWeights",
    "aux_hidden_state_layers": _PAGED,
    "config_only": _FIXED,
    "dflash2_fuse_gate_up": _PAGED,
    "dflash2_fuse_qkv": _PAGED,
    "dflash2_num_draft_tokens": _PAGED,
    "dflash2_path": _FILE,
    "dflash2_precision": _PAGED,
    "disable_qkv_fusion": f"{_RENAMED}: write fuse_qkv",
    "dspark_num_draft_tokens": _PAGED,
    "dspark_path": _FILE,
    "dspark_top_k": _PAGED,
    "enable_dml_graph": _OTHER_DEVICE,
    "enable_webgpu_graph": _OTHER_DEVICE,
    "filename": _FIXED,
    "gpu_utilization_factor": _PAGED,
    "hf_remote": "write trust_remote_code in the model's load_kwargs",
    "hf_token": "the model is a local folder, nothing is fetched",
    "kv_cache_quant_scheme": "it needs a scale file or the paged engine",
    "kv_cache_rotation": _PAGED,
    "kv_cache_scale_file": _FILE,
    "max_batch_size": _PAGED,
    "max_draft_tokens": _PAGED,
    "max_scheduled_tokens": _PAGED,
    "mtp_quant_config": _FILE,
    "num_blocks": _PAGED,
    "num_hidden_layers": "a model without some of its layers cannot agree with its source",
    "paged_block_size": _PAGED,
    "paged_chunk_size": _PAGED,
    "state_update_capacity": _PAGED,
    "use_8bits_moe": f"{_RENAMED}: write moe_quant_type",
    "use_paged_attention": _PAGED,
    "use_webgpu_fp32": _OTHER_DEVICE,
}
"""Options of the builder that cannot be used through this pass, and why."""


def objection(name: str) -> str | None:
    """Why the builder option `name` may not be passed on, with what to do instead; none: it may."""
    if name in ACCEPTED:
        return None
    own = OWN.get(name.removeprefix("int4_"), OWN.get(name))
    if own is not None:
        return f"{name!r} is an option of the pass itself: write {own} beside precision"
    if name in REFUSED:
        return f"the builder's option {name!r} cannot be used here: {REFUSED[name]}"
    close = difflib.get_close_matches(name, sorted(ACCEPTED), n=1)
    known = f"did you mean {close[0]!r}?" if close else f"it knows {', '.join(sorted(ACCEPTED))}"
    return f"the builder has no option {name!r}; {known}"
