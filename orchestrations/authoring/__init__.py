"""What users write against, under the names of Azure's Python package: a thin face over `engine.turn`. Pure.

Functions are found by name in one registry for each process; a name that comes from a payload is only ever looked up
there, never imported.
"""
