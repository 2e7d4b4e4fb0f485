"""The books, in PostgreSQL: tables, queries, migrations. Rows never leave this room."""
