"""The ASGI application: body limit → HTTP by Django in a fixed number of threads, WebSockets by Channels.

Sockets are accepted from our exact origins only: Channels' own validator of allowed hosts compares the host alone,
and an origin is scheme, host and port.
"""

from __future__ import annotations

import os

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "durableweb.settings")
django.setup(set_prefix=False)

# these need Django to be ready
from channels.auth import AuthMiddlewareStack  # noqa: E402
from channels.routing import ProtocolTypeRouter, URLRouter  # noqa: E402
from channels.security.websocket import OriginValidator  # noqa: E402
from django.conf import settings  # noqa: E402

from durableweb.handler import PooledHandler  # noqa: E402
from durableweb.limits import BodyLimit  # noqa: E402
from orchestrations.live.routing import websocket_urlpatterns  # noqa: E402

websocket_application = OriginValidator(
    AuthMiddlewareStack(URLRouter(websocket_urlpatterns)),
    settings.WEBSOCKET_ORIGINS,
)
application = BodyLimit(
    ProtocolTypeRouter({"http": PooledHandler(), "websocket": websocket_application}),
    settings.BODY_LIMIT,
)
