"""Workers: wakes, bursts, activities, sweeping. The only package that knows RQ and Redis.

A queue job is a hint that its queue has work, never which: it starts a burst, which claims what is due, of many
instances at once. An RQ job for each turn or activity, the obvious way, could never pass RQ's own rate of empty jobs.
Losing, doubling or delaying a hint costs time and nothing else; the sweeper finds in the database what is due.
"""
