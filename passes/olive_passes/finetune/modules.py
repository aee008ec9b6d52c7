"""The modules of a model by name: which of those asked for it has, and what to say about one that it lacks."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence

ROLES: tuple[frozenset[str], ...] = (
    frozenset({"q_proj", "k_proj", "v_proj", "qkv_proj", "query_key_value", "Wqkv", "c_attn", "query", "key", "value"}),
    frozenset({"o_proj", "out_proj", "dense", "c_proj"}),
    frozenset({"gate_proj", "up_proj", "gate_up_proj", "w1", "w3", "fc1", "c_fc", "dense_h_to_4h"}),
    frozenset({"down_proj", "w2", "fc2", "c_proj", "dense_4h_to_h"}),
)
"""What families call the layers that do the same: into the attention, out of it, into the MLP, out of it."""


def borne_by(module: str, name: str) -> bool:
    """Whether the module with the dotted name `module` is meant by `name`, its whole name or the end of it."""
    return module == name or module.endswith("." + name)


def absent(wanted: Sequence[str], modules: Iterable[str]) -> list[str]:
    """Those of `wanted` that no one of `modules` bears."""
    modules = list(modules)
    return [name for name in wanted if not any(borne_by(module, name) for module in modules)]


def last_names(modules: Iterable[str]) -> list[str]:
    """The ends of the modules' dotted names, each once, without the numbers of layers."""
    return sorted({name for module in modules if not (name := module.rsplit(".", 1)[-1]).isdigit()})


def advice(missing: str, modules: Iterable[str]) -> str:
    """What to write instead of `missing`: what does its work here, else what is spelt nearly so; and all there is."""
    names = last_names(modules)
    end = missing.rsplit(".", 1)[-1]
    same = sorted({name for role in ROLES if end in role for name in role} & set(names))
    everything = f"the model has {', '.join(names)}"
    if same:
        *others, last = same
        these = f"{', '.join(others)} and {last} do" if others else f"{last} does"
        return f"{these} its work here; {everything}"
    near = difflib.get_close_matches(end, names, n=1)
    return f"did you mean `{near[0]}`? {everything}" if near else everything
