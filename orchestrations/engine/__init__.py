"""The pure core: history in, decisions out. No clock, no randomness, no I/O, no framework.

A `Turn` drives one orchestrator body over the history of one execution and over new messages; `plan` turns what it
decided into what must become true in one transaction. A decision *is* the history event that will record it
(TaskScheduled, TimerCreated …): a second family of classes for actions was tried on paper and only doubled the names.
"""
