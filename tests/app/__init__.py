"""A Django app whose `durable` module registers the tests' functions, so that real worker processes have them."""
