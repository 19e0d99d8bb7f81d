"""The search port in a folder of this machine, on Tantivy; vectors in files beside it, compared by NumPy.

    tantivy:FOLDER

An index is a folder of Tantivy's with what is searched, and the documents themselves. What is acknowledged has been
committed and flushed; commits are shared by all who write at once. It has no nested objects: an index with them is
refused.
"""

from __future__ import annotations

from soundstage.engines.search.tantivy.engine import TantivyOptions, TantivySearch

__all__ = ["TantivyOptions", "TantivySearch"]
