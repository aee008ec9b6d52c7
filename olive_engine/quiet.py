"""Third-party libraries kept off the terminal while they work; what matters to users is reported as events."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def quiet() -> Iterator[None]:
    """Silence transformers' and peft's progress bars and advice; everything is as before when it ends."""
    from transformers.utils import logging as transformers_logging

    verbosity, bars = transformers_logging.get_verbosity(), transformers_logging.is_progress_bar_enabled()
    transformers_logging.set_verbosity(logging.ERROR)
    transformers_logging.disable_progress_bar()  # type: ignore[no-untyped-call]  # transformers leaves it untyped
    try:
        with warnings.catch_warnings():
            # peft asks transformers by a name that transformers has renamed.
            warnings.filterwarnings("ignore", "`is_gradient_checkpointing` is deprecated", FutureWarning)
            # peft's advice about tied heads: what is trained is what was asked for.
            warnings.filterwarnings("ignore", "Model has `tie_word_embeddings=True`", UserWarning)
            warnings.filterwarnings("ignore", "Model with `tie_word_embeddings=True`", UserWarning)
            # On a CPU there is nothing to page to: a plain optimizer does the same.
            warnings.filterwarnings("ignore", "Paged optimizers are not supported on CPU", UserWarning)
            yield
    finally:
        transformers_logging.set_verbosity(verbosity)
        if bars:
            transformers_logging.enable_progress_bar()  # type: ignore[no-untyped-call]  # transformers leaves it untyped
