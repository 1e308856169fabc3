"""What a person may do: one policy function, and operations that commit together with their audit row.

Surfaces (pages, sockets, later the HTTP API with keys) call this package; it calls `client`. It alone decides:
templates hide and disable, but whoever posts by hand meets the same answer. The invariant it guards: no operation
without a permission, and none without a row that says who did it.
"""
