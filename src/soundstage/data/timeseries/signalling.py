"""What a namespace of time series signals to its clients."""

from __future__ import annotations

from soundstage.data.signalling import HOLD, has_hedges, objectives, versioned
from soundstage.data.timeseries.api import TimeSeriesCalls
from soundstage.data.timeseries.api.signals import TimeSeriesSignals
from soundstage.data.timeseries.config import NamespaceConfig
from soundstage.runtime.service import NamespaceView


def signals_of(view: NamespaceView) -> TimeSeriesSignals:
    """What is told to every client; the same of one version of a namespace in every process."""
    config: NamespaceConfig = view.config
    return versioned(
        TimeSeriesSignals(
            version="",
            hold=HOLD,
            slos=objectives(view, TimeSeriesCalls),
            hedging=config.hedging,
            page_size=config.page_size,
            page_size_bytes=int(config.page_size_bytes),
        )
    )


def announced(signals: TimeSeriesSignals) -> str:
    """The version to tell on every reply; nothing where a client that does not ask misses nothing."""
    return signals.version if has_hedges(signals) else ""
