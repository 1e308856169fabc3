"""The verbs of `manage.py durable`, one file each: `add_arguments`, and `run`, which returns an exit code."""
