"""The base of every table, and the column types that all of them share."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, ClassVar
from uuid import UUID

from sqlalchemy import BigInteger, DateTime, Identity, MetaData, Text, text
from sqlalchemy.dialects.postgresql import UUID as PgUUID
from sqlalchemy.orm import DeclarativeBase, mapped_column

SCHEMA = "payments"

NAMES = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}
"""Constraint names are part of the schema: errors are told apart by them, migrations drop them."""


class Base(DeclarativeBase):
    """Every table lives in the schema `payments`, named in full: no search path is relied on."""

    metadata = MetaData(schema=SCHEMA, naming_convention=NAMES)
    type_annotation_map: ClassVar[dict[Any, Any]] = {
        str: Text(),
        datetime: DateTime(timezone=True),
    }


BigId = Annotated[int, mapped_column(BigInteger, Identity(always=True), primary_key=True)]
"""A number for internal order; never shown to a caller, because it tells how many there are."""

RandomId = Annotated[
    UUID,
    mapped_column(PgUUID(as_uuid=True), primary_key=True, server_default=text("gen_random_uuid()")),
]
"""An id that may be shown: it cannot be guessed."""

Moment = Annotated[datetime, mapped_column(DateTime(timezone=True), nullable=False)]
Created = Annotated[
    datetime,
    mapped_column(DateTime(timezone=True), nullable=False, server_default=text("now()")),
]
