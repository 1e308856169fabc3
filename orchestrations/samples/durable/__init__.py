"""Importing this registers the samples' functions."""

from orchestrations.samples.durable import approval, fan_out, hello, monitor

__all__ = ["approval", "fan_out", "hello", "monitor"]
