"""HTML for people. Pages are made of fragments: one presenter and one partial per live region, used by the page, by the
answer to an action and by every refresh alike, so that the three cannot disagree.

It reads through `client.queries` and acts through `control.Operations`; it knows neither the store nor the sockets.
"""
