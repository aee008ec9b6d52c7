# ruff: noqa: TID253 - heavy module (numpy), imported lazily by prepare.py and by the heavy modules of passes and metrics
"""A prepared data set on disk, and reading it.

    tokens.safetensors   input_ids  int32 (tokens,)   the rows' tokens, end to end
                         loss_mask  uint8 (tokens,)   1: the token is a target that is trained; a row's first never is,
                                                      for nothing comes before it that could predict it
                         offsets    int64 (rows + 1,) row i is input_ids[offsets[i]:offsets[i + 1]]
    rows.jsonl           a `Row` a line: the texts behind the tokens, for metrics that ask and compare
    summary.json         a `Summary`: the counts, and what readers of the rows should know

The same rows, options and tokenizer give the same bytes.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

TOKENS, ROWS, SUMMARY = "tokens.safetensors", "rows.jsonl", "summary.json"


@dataclass(frozen=True, slots=True, eq=False)
class TokenizedRows:
    """The tokens of all rows; a row is a view into them. Arrays are writable and own their memory."""

    input_ids: npt.NDArray[np.int32]
    loss_mask: npt.NDArray[np.uint8]
    offsets: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, row: int) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.uint8]]:
        """The (input_ids, loss_mask) of one row, each ``(seq,)``.

        Raises:
            IndexError: there is no such row.
        """
        if not -len(self) <= row < len(self):
            raise IndexError(f"row must be one of {len(self)}, not {row}")
        row %= len(self)
        start, stop = self.offsets[row], self.offsets[row + 1]
        return self.input_ids[start:stop], self.loss_mask[start:stop]

    def __iter__(self) -> Iterator[tuple[npt.NDArray[np.int32], npt.NDArray[np.uint8]]]:
        return (self[row] for row in range(len(self)))

    @property
    def lengths(self) -> npt.NDArray[np.int64]:
        """Tokens of each row ``(rows,)``."""
        return np.diff(self.offsets)

    @property
    def trained(self) -> npt.NDArray[np.int64]:
        """Trained tokens of each row ``(rows,)``; at least one."""
        return np.add.reduceat(self.loss_mask, self.offsets[:-1], dtype=np.int64)


@dataclass(frozen=True, slots=True)
class Row:
    """The texts of one row, uncut: ``prompt + completion`` is all of it, without special tokens."""

    index: int
    """Its place among the rows that were read (a block's number with strategy join)."""
    prompt: str
    completion: str
    label: str | None


@dataclass(frozen=True, slots=True)
class Summary:
    """The counts of a preparation."""

    rows: int
    tokens: int
    trained_tokens: int
    truncated: int
    """Rows that lost their end at max_seq_len."""
    dropped_empty: int
    """Rows left out for want of a value, a text, or (completion_only_loss) a completion."""
    dropped_too_long: int
    """Rows left out because they are too long, or because nothing trained is left of them below max_seq_len."""

    @property
    def dropped(self) -> int:
        """All rows left out."""
        return self.dropped_empty + self.dropped_too_long


def load_tokens(path: Path) -> TokenizedRows:
    """The tokens of the prepared data set in the folder `path`."""
    from safetensors.numpy import load_file

    arrays = load_file(path / TOKENS)
    # Copies: torch takes over the memory of an array only if it may be written.
    return TokenizedRows(*(arrays[name].copy() for name in ("input_ids", "loss_mask", "offsets")))


def load_rows(path: Path) -> list[Row]:
    """The texts of the prepared data set in the folder `path`, in the order of its tokens."""
    with (path / ROWS).open(encoding="utf-8", newline="\n") as lines:
        return [Row(**json.loads(line)) for line in lines]


def load_summary(path: Path) -> Summary:
    """The counts of the prepared data set in the folder `path`."""
    return Summary(**json.loads((path / SUMMARY).read_text(encoding="utf-8")))


def save(path: Path, tokens: TokenizedRows, rows: list[Row], summary: Summary) -> None:
    """Write a prepared data set into the folder `path`."""
    from safetensors.numpy import save_file

    save_file({name: getattr(tokens, name) for name in ("input_ids", "loss_mask", "offsets")}, path / TOKENS)
    with (path / ROWS).open("w", encoding="utf-8", newline="\n") as lines:
        lines.writelines(_line(row) + "\n" for row in rows)
    (path / SUMMARY).write_text(json.dumps(asdict(summary), indent=2) + "\n", encoding="utf-8", newline="\n")


def _line(row: Row) -> str:
    texts = {"index": row.index, "prompt": row.prompt, "completion": row.completion, "label": row.label}
    return json.dumps(texts, ensure_ascii=False)
