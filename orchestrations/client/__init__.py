"""Trusted access from Python: no user, no permission. It speaks only to the store and returns frozen values.

`client` writes, under the names of Azure Durable Functions; `queries` reads. What a person may do goes through
`control`, which calls this package.
"""
