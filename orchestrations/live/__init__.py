"""Sockets, for freshness only: hints say that a region may have changed, and a beat proves it every ten seconds.

No command comes in and no content goes out; what a socket says may be lost, doubled or late without effect but time.
Content came over the socket in the rival design, which then needs order, replay and rendering per viewer.
"""
