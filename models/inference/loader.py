"""Load a classifier from a model folder: a version of ours, or a Hugging Face directory."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from models.registry.manifest import CONFIG, MANIFEST, read_plain_file, shipped

if TYPE_CHECKING:
    from models.inference.classifier import Classifier


def load_classifier(path: Path | None = None, *, threads: int | None = None, max_tokens: int | None = None) -> Classifier:
    """Load the classifier in a folder.

    Args:
        path: a version folder of ours or a Hugging Face directory; None for the shipped model.
        threads: CPU threads for torch; None keeps torch's setting.
        max_tokens: longer documents are cut at this length; None for the length used in training.

    Raises:
        ModelError: the folder holds no model that can be loaded.
    """
    folder = path if path is not None else shipped()
    if not (folder / MANIFEST).exists() and (folder / CONFIG).is_file() and b"SequenceClassification" in read_plain_file(folder / CONFIG):
        from models.inference.huggingface import HuggingFaceClassifier

        return HuggingFaceClassifier.load(folder, threads=threads, max_tokens=max_tokens)
    from models.inference.transformer import TransformerClassifier

    return TransformerClassifier.load(folder, threads=threads, max_tokens=max_tokens)
