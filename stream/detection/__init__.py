"""From scores to alerts: spikes, limits, source outages, explanations."""
