"""From text to predictions: encoder, engine, classifiers, explanations."""
