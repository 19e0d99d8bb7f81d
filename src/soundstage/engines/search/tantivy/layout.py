"""How documents lie in Tantivy: which of its fields each of ours has, and in which form.

A field `year` is `f_year` there; names in capitals are this engine's own. Keywords and ids are written as the
hexadecimal digits of their UTF-8, which keeps their order and leaves nothing to escape. Texts are given as words, one
space between them. Which texts and vectors a document has is said in `HAS`, since neither can be asked for by itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tantivy import Document, Index, Schema, SchemaBuilder, TextAnalyzerBuilder, Tokenizer

from soundstage.core.errors import DataLoss
from soundstage.engines.search.analysis import words
from soundstage.engines.search.port import Field, IndexSpec, Kind

ID, HAS, BODY, REVISION = "ID", "HAS", "BODY", "REVISION"
WORDS = "soundstage_words"
"""The tokenizer that separates words at spaces."""

_MARK = "x"
"""Before the digits, so that an empty keyword is a term too."""


def column(name: str) -> str:
    """What our field is called there."""
    return f"f_{name}"


def term(value: str) -> str:
    """A keyword or id as it is written."""
    return _MARK + value.encode().hex()


def keyword(written: str) -> str:
    """The keyword or id that was written so."""
    return bytes.fromhex(written[len(_MARK) :]).decode()


def schema(spec: IndexSpec) -> Schema:
    """The fields of an index."""
    builder = SchemaBuilder()
    builder.add_text_field(ID, stored=True, fast=True, tokenizer_name="raw", index_option="basic")
    builder.add_text_field(HAS, tokenizer_name="raw", index_option="basic")
    builder.add_bytes_field(BODY, stored=True)
    builder.add_unsigned_field(REVISION, fast=True)
    for name, field in spec.fields.items():
        _add(builder, column(name), field)
    return builder.build()


def opened(folder: str, spec: IndexSpec, *, new: bool) -> Index:
    """The index in `folder`, made where it is `new`. Raises `DataLoss` where it is not, and is not there."""
    if not new and not Index.exists(folder):
        raise DataLoss(f"the index {spec.name!r} is gone from {folder}", hint="build it again in an empty folder")
    index = Index(schema(spec), folder)
    index.register_tokenizer(WORDS, TextAnalyzerBuilder(Tokenizer.whitespace()).build())
    return index


def document(id: str, fields: Mapping[str, Any], body: bytes, revision: int, known: Mapping[str, Field]) -> Document:
    """A document as it is written."""
    made = Document()
    made.add_text(ID, term(id))
    made.add_bytes(BODY, body)
    made.add_unsigned(REVISION, revision)
    for name, value in fields.items():
        _write(made, name, known[name], value)
    return made


def _add(builder: SchemaBuilder, name: str, field: Field) -> None:
    match field.kind:
        case Kind.KEYWORD:
            builder.add_text_field(name, fast=True, tokenizer_name="raw", index_option="basic")
        case Kind.TEXT:
            builder.add_text_field(name, tokenizer_name=WORDS)
        case Kind.INTEGER | Kind.INSTANT:
            builder.add_integer_field(name, indexed=True, fast=True)
        case Kind.DOUBLE:
            builder.add_float_field(name, indexed=True, fast=True)
        case Kind.BOOLEAN:
            builder.add_boolean_field(name, indexed=True, fast=True)
        case Kind.VECTOR | Kind.NESTED:
            pass


def _write(made: Document, name: str, field: Field, value: Any) -> None:
    there = column(name)
    if field.kind is Kind.TEXT:
        found = words(value)
        if found:
            made.add_text(there, " ".join(found))
            made.add_text(HAS, name)
        return
    if field.kind is Kind.VECTOR:
        made.add_text(HAS, name)
        return
    for each in value if field.many else (value,):
        match field.kind:
            case Kind.KEYWORD:
                made.add_text(there, term(each))
            case Kind.DOUBLE:
                made.add_float(there, each)
            case Kind.BOOLEAN:
                made.add_boolean(there, each)
            case _:
                made.add_integer(there, each)
