"""The folder of a model: its files' names, and where the one that comes with Tocsin lies. Light: nothing else is imported."""

from __future__ import annotations

from pathlib import Path

MANIFEST = "manifest.json"
WEIGHTS = "model.safetensors"
TOKENIZER = "tokenizer.json"
CONFIG = "config.json"
README = "README.md"
FILES = (WEIGHTS, TOKENIZER, CONFIG, README)


def shipped() -> Path:
    """The folder of the model that comes with Tocsin."""
    return Path(__file__).parents[1] / "weights"
