"""Statistics of counts over time: baselines, spikes, thresholds, gaps. Pure."""
