"""A tokenized row for people: which token is trained, and what it stands for."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    from transformers import PreTrainedTokenizerBase


def describe_row(tokenizer: PreTrainedTokenizerBase, row: tuple[npt.NDArray[np.int32], npt.NDArray[np.uint8]]) -> str:
    """One line a token: its place, whether it is trained, its id and its text; and a count at the end.

    Args:
        tokenizer: the one that the row was made with.
        row: (input_ids, loss_mask), each ``(seq,)``, as `TokenizedRows` gives them.
    """
    ids, mask = row[0].tolist(), row[1].tolist()
    lines = [
        f"{place:>5}  {'train' if trained else '-':<5}  {token:>7}  {tokenizer.decode([token])!r}"
        for place, (token, trained) in enumerate(zip(ids, mask, strict=True))
    ]
    return "\n".join(
        [f"{'#':>5}  {'loss':<5}  {'id':>7}  text", *lines, f"{sum(mask)} of {len(ids)} tokens are trained"]
    )
