"""The search port on OpenSearch 2.19 or newer, over HTTP.

    opensearch://[user@]host[:9200][,host…][/SPACE]?option=value

An index `films` of the space `main` is the index `main-films` there. Words are made here and given to it one space
apart, so that it needs no analyser of ours. Vectors need its plugin for k-NN, of which Lucene's engine is used.
"""

from __future__ import annotations

from soundstage.engines.search.opensearch.engine import OpenSearchSearch
from soundstage.engines.search.opensearch.options import OpenSearchAddress, OpenSearchOptions, parse_address

__all__ = ["OpenSearchAddress", "OpenSearchOptions", "OpenSearchSearch", "parse_address"]
