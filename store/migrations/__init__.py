"""Migrations: how the schema came about, one file per step below `versions`. `store.migrate` runs them."""
