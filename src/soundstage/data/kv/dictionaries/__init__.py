"""Dictionaries that clients compress a namespace's values with: how they are made, kept, told, and dropped at last."""

from __future__ import annotations

__all__: list[str] = []
