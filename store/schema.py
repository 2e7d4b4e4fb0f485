"""The schema: all tables, in one metadata. Importing this module is what makes the metadata complete."""

from sqlmodel import SQLModel

from store import access, audit, billed, books, invoice_rows, refused_usage, usage

METADATA = SQLModel.metadata
# `books` brings along every noun that it holds.
OWNERS = (access, audit, billed, books, invoice_rows, refused_usage, usage)
