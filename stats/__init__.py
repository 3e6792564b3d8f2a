"""Statistics of story counts and gaps: seasonal baseline, spikes, alert threshold, outages, drift. Pure."""
