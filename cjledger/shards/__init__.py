"""Parquet shards and the tables in them: ``parquet`` is the door to pyarrow, ``frames`` the one to polars."""
