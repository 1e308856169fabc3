"""Django's SQLite backend with a gate before the write lock: `ENGINE = "orchestrations.store.sqlite"`."""
