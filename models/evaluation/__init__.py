"""How good a model is: evaluation, baselines, noise, and the model card."""
