"""The ORM and the transactions: the only writer.

Its one job is to make decisions true. What may happen to an instance comes in through `inbox.deliver`; what a turn has
decided goes in through `turns.commit_turns`; both are one transaction, fenced by leases with epochs. Nothing here knows
RQ, Redis or Channels: two signals, sent after COMMIT, tell the runtime that there is work and the pages that something
has changed. A lost signal costs time, never work, for `Instance.due_at` was in the same transaction.
"""
