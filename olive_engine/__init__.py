"""olive-engine: a declarative pass-graph workflow engine for fine-tuning and optimizing small language models."""

__version__ = "0.1.0"
