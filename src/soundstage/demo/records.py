"""How films, people and ratings are kept: one record each, with an item per fact.

    movielens-titles     id: film     title, year, genres
    movielens-profiles   id: person   time ‖ film -> stars, …, then profile/age, profile/gender, …
    movielens-viewings   id: person   time ‖ film -> stars, …

A rating's key is its time, eight bytes of nanoseconds with the most significant first, and its film, four
bytes: keys sort as bytes, so a record's ratings are in the order of time, and the film tells apart those of
one second. Until the year 2225 they all sort before `profile/`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from soundstage.core.errors import DataLoss
from soundstage.core.time import Instant
from soundstage.data.kv import Item, PutItem
from soundstage.datasets.movielens import Film, Rating, User

TITLES = "movielens-titles"
PROFILES = "movielens-profiles"
VIEWINGS = "movielens-viewings"

NAMESPACES = (TITLES, PROFILES, VIEWINGS)

_PROFILE = b"profile/"
_TIME_BYTES = 8
_FILM_BYTES = 4


def rating_key(rating: Rating) -> bytes:
    """The key under which a rating is kept."""
    return rating.rated_at.to_bytes(_TIME_BYTES, "big") + rating.film_id.to_bytes(_FILM_BYTES, "big")


def rating_items(ratings: Iterable[Rating]) -> list[PutItem]:
    """The items of ratings of one person."""
    return [PutItem(key=rating_key(rating), value=str(rating.stars).encode()) for rating in ratings]


def film_items(film: Film) -> list[PutItem]:
    """The items of a film."""
    facts = {"title": film.title, "genres": " ".join(film.genres)}
    if film.year is not None:
        facts["year"] = str(film.year)
    return [PutItem(key=name.encode(), value=text.encode()) for name, text in facts.items()]


def user_items(user: User) -> list[PutItem]:
    """The items that say who a person is."""
    facts = {
        "age": str(user.age),
        "gender": user.gender,
        "occupation": user.occupation,
        "postal_code": user.postal_code,
    }
    return [PutItem(key=_PROFILE + name.encode(), value=text.encode()) for name, text in facts.items()]


def film_of(id: str, items: Sequence[Item]) -> Film:
    """The film that a record holds; `DataLoss` when it holds none."""
    facts = {item.key: _text(item) for item in items}
    try:
        year = facts.get(b"year")
        return Film(int(id), facts[b"title"], None if year is None else int(year), tuple(facts[b"genres"].split()))
    except (KeyError, ValueError) as error:
        raise DataLoss(f"the record {id} of {TITLES} is no film: {error!r}") from None


def user_of(id: str, items: Sequence[Item]) -> User:
    """The person that a record describes; `DataLoss` when it describes none."""
    facts = {item.key.removeprefix(_PROFILE): _text(item) for item in items if item.key.startswith(_PROFILE)}
    try:
        gender = "F" if facts[b"gender"] == "F" else "M"
        return User(int(id), int(facts[b"age"]), gender, facts[b"occupation"], facts[b"postal_code"])
    except (KeyError, ValueError) as error:
        raise DataLoss(f"the record {id} of {PROFILES} is no profile: {error!r}") from None


def ratings_of(id: str, items: Iterable[Item]) -> list[Rating]:
    """The ratings among the items of a person's record."""
    return [_rating(int(id), item) for item in items if not item.key.startswith(_PROFILE)]


def _rating(user_id: int, item: Item) -> Rating:
    key = item.key
    rated_at = Instant(int.from_bytes(key[:_TIME_BYTES], "big"))
    return Rating(user_id, int.from_bytes(key[_TIME_BYTES:], "big"), int(_text(item)), rated_at)


def _text(item: Item) -> str:
    return (item.value or b"").decode()
