"""What may be written about a data set. A package of its own, because the keys of data steps contain its sources."""

from olive_engine.config.data.options import (
    AZUREML,
    FORMATS,
    SUFFIXES,
    DataConfig,
    DataLoaderConfig,
    FileFormat,
    LoadDatasetConfig,
    PreProcessConfig,
    template_fields,
)
from olive_engine.config.data.splits import SplitPart, split_parts
from olive_engine.config.data.templates import TemplatePart, columns_of, template_parts

__all__ = [
    "AZUREML",
    "FORMATS",
    "SUFFIXES",
    "DataConfig",
    "DataLoaderConfig",
    "FileFormat",
    "LoadDatasetConfig",
    "PreProcessConfig",
    "SplitPart",
    "TemplatePart",
    "columns_of",
    "split_parts",
    "template_fields",
    "template_parts",
]
