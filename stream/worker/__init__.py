"""The Faust worker: consume, classify, store, publish."""
