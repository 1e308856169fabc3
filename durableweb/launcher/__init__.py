"""One command, everything: what `make run` executes (`python -m durableweb.launcher`).

It prepares DURABLE_HOME, starts the embedded Valkey unless REDIS_URL names another, migrates, makes the demo accounts,
starts the web server and the worker supervisor, and watches them: what crashes is started again, and what was started
here never outlives this process. Under systemd or in containers the parts are run one by one instead; this package
holds nothing that they need.
"""
