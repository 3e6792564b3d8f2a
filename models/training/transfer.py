"""Initial weights of a run that starts from a version with other heads.

Layers are copied by number, heads if their outputs are the same, risk events by key. The own sentiments of a published set start
from those of the version, or from its general sentiment heads. New outputs keep the initialisation of the network.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from core.taxonomy import RISK_KEYS
from models.heads import LABELS, SENTIMENTS, SET_SENTIMENTS, LabelSet, Shape, sentiment_columns
from models.registry.manifest import Manifest

INITIAL_RISKS = {"insolvency": "payout_failure"}
"""New risk event -> the event whose weights it starts with."""
POSTS = ("twitter_fin", "finfe")
"""Published sets of social media posts, for which older versions have the head `social`."""


def transferred(
    state: Mapping[str, Tensor],
    manifest: Manifest,
    keep: Sequence[int],
    shape: Shape,
    label_sets: Mapping[str, LabelSet],
    sentiment_sets: Sequence[str],
) -> dict[str, Tensor]:
    """The weights of a version for a network with other heads or fewer layers.

    Args:
        state: weights of the version.
        manifest: its manifest.
        keep: numbers of the layers to keep.
        shape: sizes of the new network.
        label_sets: original labels of the new network.
        sentiment_sets: published sets with sentiment outputs of their own in the new network.

    Returns:
        Name -> weights; outputs without a counterpart in the version are left out.
    """
    place = {f"layers.{old}.": f"layers.{new}." for new, old in enumerate(keep)}
    found: dict[str, Tensor] = {}
    for name, value in state.items():
        prefix = ".".join(name.split(".")[:2]) + "."
        head = name.split(".")[0]
        if name.startswith("layers."):
            if prefix in place:
                found[name.replace(prefix, place[prefix], 1)] = value
        elif head == LABELS:
            if manifest.labels == label_sets:
                found[name] = value
        elif head == "risks":
            found[name] = _risks(value, manifest.risks)
        elif head == SET_SENTIMENTS:
            if manifest.sentiment_sets == tuple(sentiment_sets):
                found[name] = value
        elif head not in shape.outputs or len(value) == shape.outputs[head]:
            found[name] = value
    if SET_SENTIMENTS in shape.outputs and f"{SET_SENTIMENTS}.weight" not in found:
        for part in ("weight", "bias"):
            found[f"{SET_SENTIMENTS}.{part}"] = torch.cat([_set_sentiments(state, manifest, name, part) for name in sentiment_sets])
    kept = {name: value for name, value in found.items() if name.split(".")[0] not in ("social", SET_SENTIMENTS)}
    return kept | {name: value for name, value in found.items() if name.split(".")[0] in shape.outputs}


def _risks(value: Tensor, present: Sequence[str]) -> Tensor:
    """Rows of the head `risks` in the order of RISK_KEYS; `present`: the events of the version."""
    rows = []
    for key in RISK_KEYS:
        origin = key if key in present else INITIAL_RISKS.get(key, "")
        rows.append(value[present.index(origin)] if origin in present else torch.zeros_like(value[0]))
    return torch.stack(rows)


def _set_sentiments(state: Mapping[str, Tensor], manifest: Manifest, name: str, part: str) -> Tensor:
    """Initial weights (3, H) or biases (3,) of a published set's own sentiments."""
    columns = sentiment_columns(manifest.sentiment_sets)
    if name in columns:
        return state[f"{SET_SENTIMENTS}.{part}"][columns[name]]
    head = "company" if name.endswith(".company") else "social" if name in POSTS else "sentiment"
    found = state.get(f"{head}.{part}", state[f"sentiment.{part}"])
    assert len(found) == len(SENTIMENTS)  # noqa: S101
    return found
