"""What the page of the system asks of the process that serves it: how far the workers are behind. The dashboard knows no Kafka."""

from __future__ import annotations

from collections.abc import Callable, Mapping

Lags = Callable[[], Mapping[str, list[int]]]
"""Topic, by the name that this house gives it, to the messages that the workers have not done yet, by partition. Raises BrokerError."""
