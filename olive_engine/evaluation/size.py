"""How much room a model takes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from olive_engine.contracts import Measurement, Metric, PassContext
from olive_engine.digests import files_under
from olive_engine.models import Model
from olive_engine.options import Options


class SizeOnDisk(Metric[Options]):
    """Bytes of all files of the model: weights, tokenizer, settings; of an adapter, its base's and its own."""

    type = "size_on_disk"
    config_type = Options
    sub_types: ClassVar[Mapping[str, bool]] = {"bytes": False}
    draws = False

    def measure(self, model: Model, config: Options, context: PassContext) -> Measurement:  # noqa: ARG002 - it needs neither
        """Sum the files up."""
        folders = [getattr(model, name) for name in model.part_names()]
        sizes = [(folder / name).stat().st_size for folder in folders for name in files_under(folder)]
        return Measurement({"bytes": float(sum(sizes))})
