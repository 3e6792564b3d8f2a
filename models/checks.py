"""Does a classifier still say what any classifier may say? Asked of every answer, and of a model before anything is blamed on its input."""

from __future__ import annotations

from collections.abc import Sequence

from models.classifier import Classifier, Document, Prediction
from spine.errors import ModelError

TRIAL = (Document("Lender defaults on its bonds", "", "en", ("Lender",)), Document("某公司债券违约，股票停牌", "", "zh"), Document("", ""))
"""Real sentences: an empty text is answered without the network."""


def flaw(prediction: Prediction, companies: int) -> str:
    """What is wrong with a prediction for a document with so many companies; "" when nothing is."""
    if len(prediction.companies) != companies:
        return f"{len(prediction.companies)} company sentiments for {companies} companies"
    for sentiment in (prediction.sentiment, *prediction.companies):
        if not (all(-1e-3 <= p <= 1.001 for p in sentiment) and abs(sum(sentiment) - 1.0) <= 1e-2):  # false for NaN too
            return f"probabilities {tuple(sentiment)} do not sum to 1"
    for head, said in (("topic", prediction.topics), ("risk event", prediction.risks)):
        wrong = [key for key, p in said.items() if not -1e-3 <= p <= 1.001]
        if wrong:
            return f"probability of {head} {wrong[0]}: {said[wrong[0]]}"
    return ""


def checked(model: Classifier, documents: Sequence[Document]) -> list[Prediction]:
    """What `model` says of each document. Raises ModelError when it is not what any model may say, and what the model raises."""
    predictions = model.classify(documents)
    if len(predictions) != len(documents):
        raise ModelError(f"model {model.version} gave {len(predictions)} predictions for {len(documents)} documents")
    for document, prediction in zip(documents, predictions, strict=True):
        wrong = flaw(prediction, len(document.companies))
        if wrong:
            raise ModelError(f"model {model.version}: {wrong}")
    return predictions


def prove(model: Classifier) -> None:
    """Nothing when `model` reads a few clear sentences as any model must. Raises ModelError."""
    try:
        checked(model, TRIAL)
    except ModelError:
        raise
    except Exception as error:
        raise ModelError(f"model {model.version} cannot read {TRIAL[0].title!r} ({type(error).__name__}: {error})") from error
