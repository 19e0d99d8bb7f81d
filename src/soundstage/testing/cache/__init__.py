"""What every engine of the cache port must do: subclass `CacheSuite` with two fixtures and run pytest."""

from __future__ import annotations

from soundstage.testing.cache.suite import CacheSuite

__all__ = ["CacheSuite"]
