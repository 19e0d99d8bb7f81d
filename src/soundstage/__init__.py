"""Soundstage: the platform behind a streaming service, in one Python package.

Importing this package loads no driver, server or metrics library; each public name is loaded when it is first used.
"""

__version__ = "0.1.0"

__all__ = ["__version__"]
