"""Blobs as objects of a bucket, on any server that speaks S3; in several processes at once.

    blobs = S3Blobs(parse_address("films", urlsplit("s3://bucket/films?region=eu-west-1"), {}, None), environment)

Below the prefix: `objects/KEY` for what is there, and `expiring/MICROSECOND/KEY`, empty, for what will expire.
"""

from __future__ import annotations

from soundstage.engines.blobs.s3.engine import S3Blobs
from soundstage.engines.blobs.s3.options import Address, S3Options, parse_address

__all__ = ["Address", "S3Blobs", "S3Options", "parse_address"]
