"""Settings of the tests: the product's own, pointed at servers that `tests.servers` starts for this run.

Addresses are known before anything runs, so importing this starts nothing. Variables: DURABLE_TEST_DATABASE (`sqlite`,
the default, or `postgres`), DURABLE_ALWAYS_REPLAY.
"""

import os

from tests import servers

os.environ.update(servers.environment())

from durableweb.settings import *  # noqa: F403
from durableweb.settings import DATABASES, INSTALLED_APPS

if "orchestrations.samples" not in INSTALLED_APPS:
    INSTALLED_APPS.append("orchestrations.samples")

# a file, never memory: races need a second connection, and the profile of the file is what we promise
DATABASES["default"]["TEST"] = {"NAME": servers.test_database_name()}
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
