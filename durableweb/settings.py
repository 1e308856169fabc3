"""Django's settings, made from the environment and from what DURABLE_HOME holds.

`make run` prepares a home and records in it how it was started; every command with the same DURABLE_HOME then finds
the same key, database and queue. A variable that is set now counts before a recorded one. Nothing here has an insecure
default: without a key there is no start, and DEBUG is off until asked for. The product's own settings (DURABLE_…) are
listed with their defaults in `orchestrations/conf.py`.
"""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path
from typing import Any

from django.core.exceptions import ImproperlyConfigured

from durableweb import databases, logs, own_apps, product, startup
from durableweb.environment import Environment, check_secret_key, refuse
from durableweb.home import read_private

BASE_DIR = Path(__file__).resolve().parent.parent
HOME = startup.find_home(os.environ)
ENVIRONMENT = Environment({**HOME.recorded_environment(), **os.environ})

startup.extend_path(ENVIRONMENT.text("PYTHONPATH"))

# --- what this process is -------------------------------------------------------------------------------------------
PORT = ENVIRONMENT.whole("PORT", 8000, low=1, high=65535)
BIND = ENVIRONMENT.text("BIND", "127.0.0.1")
PUBLIC_ORIGINS = ENVIRONMENT.origins("PUBLIC_ORIGINS")
DEBUG = ENVIRONMENT.flag("DEBUG", default=False)
IS_LOOPBACK = BIND in {"127.0.0.1", "localhost", "::1"}

if DEBUG and not IS_LOOPBACK:
    refuse("DEBUG", "on", f"must be off when the server listens on {BIND}, where others can reach it")
if not IS_LOOPBACK and not PUBLIC_ORIGINS:
    refuse("BIND", BIND, "may leave this machine only behind a TLS proxy: name its https:// origin in PUBLIC_ORIGINS")


def _secret_key() -> str:
    given = ENVIRONMENT.text("SECRET_KEY")
    if given:
        return check_secret_key(given, "The environment variable SECRET_KEY")
    kept = read_private(HOME.secret_key_file)
    if not kept:
        named = "which DURABLE_HOME names" if ENVIRONMENT.text("DURABLE_HOME") else "as DURABLE_HOME is not set"
        running = ", ".join(str(home.path) for home in startup.list_running()) or "none"
        raise ImproperlyConfigured(
            f"There is no secret key in {HOME.path}, {named}. Set DURABLE_HOME to the home of a copy (running now: "
            f"{running}), or start one with `make run`, or set SECRET_KEY to at least 50 random characters."
        )
    return check_secret_key(kept, str(HOME.secret_key_file))


SECRET_KEY = _secret_key()

# --- parts ----------------------------------------------------------------------------------------------------------
INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django_htmx",
    "channels",
    "django_rq",
    "orchestrations",
]
if ENVIRONMENT.flag("DURABLE_SAMPLES", default=False):
    INSTALLED_APPS.append("orchestrations.samples")

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "durableweb.static_files.StaticFilesMiddleware",
    "csp.middleware.CSPMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
]
ROOT_URLCONF = "durableweb.urls"
ASGI_APPLICATION = "durableweb.asgi.application"
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]
USE_TZ = True
TIME_ZONE = "UTC"
LANGUAGE_CODE = "en"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
LOGGING = logs.configuration(ENVIRONMENT.text("LOG_LEVEL", "INFO"))

# --- stores ---------------------------------------------------------------------------------------------------------
DATABASE_URL = ENVIRONMENT.url("DATABASE_URL", f"sqlite:///{HOME.database_file}", schemes=databases.SCHEMES)
DATABASES = {"default": databases.database(DATABASE_URL)}

REDIS_URL = ENVIRONMENT.url("REDIS_URL", HOME.redis_url, schemes={"redis", "rediss", "unix"})
"""Empty where no queue is configured: work is then accepted and waits, and pages poll."""

QUEUE_NAMES = ENVIRONMENT.queues("DURABLE_QUEUES", ["main.default"])
RQ_QUEUES: dict[str, dict[str, Any]] = {
    name: {"URL": REDIS_URL or f"unix://{HOME.redis_socket}", "SERIALIZER": "rq.serializers.JSONSerializer"}
    for name in QUEUE_NAMES
}
RQ_SHOW_ADMIN_LINK = False
CHANNEL_LAYERS: dict[str, dict[str, Any]] = {
    "default": (
        {
            "BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer",
            "CONFIG": {"hosts": [{"address": REDIS_URL}], "prefix": product.channel_prefix(REDIS_URL)},
        }
        if REDIS_URL
        else {"BACKEND": "channels.layers.InMemoryChannelLayer"}
    ),
}

# --- the product's own settings: every DURABLE_… of the environment that conf.py knows -------------------------------
globals().update(product.settings(ENVIRONMENT))
OWN_ADDRESS = f"http://{f'[{BIND}]' if ':' in BIND else BIND}:{PORT}"
DURABLE_ADDRESS = ENVIRONMENT.text("DURABLE_ADDRESS", PUBLIC_ORIGINS[0] if PUBLIC_ORIGINS else OWN_ADDRESS)

# --- who may ask, and from where ------------------------------------------------------------------------------------
LOOPBACK_NAMES = ["127.0.0.1", "localhost", "[::1]"]
OWN_ORIGINS = [f"http://{name}:{PORT}" for name in LOOPBACK_NAMES] + PUBLIC_ORIGINS
ALLOWED_HOSTS = LOOPBACK_NAMES + [product.host_of(origin) for origin in PUBLIC_ORIGINS]
ALLOWED_HOSTS += ENVIRONMENT.items("ALLOWED_HOSTS")
CSRF_TRUSTED_ORIGINS = OWN_ORIGINS
WEBSOCKET_ORIGINS = OWN_ORIGINS

IS_SECURE = bool(PUBLIC_ORIGINS)
# browsers share cookies between the ports of a host, and two copies may run side by side on this machine
COOKIE_SUFFIX = "" if IS_SECURE else f"_{PORT}"
COOKIE_PREFIX = "__Host-" if IS_SECURE else ""
SESSION_COOKIE_NAME = f"{COOKIE_PREFIX}durable_session{COOKIE_SUFFIX}"
SESSION_COOKIE_SECURE = IS_SECURE
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = "Lax"
SESSION_COOKIE_AGE = 12 * 60 * 60
CSRF_FAILURE_VIEW = "orchestrations.web.views.session.csrf_failure"
CSRF_COOKIE_NAME = f"{COOKIE_PREFIX}durable_csrf{COOKIE_SUFFIX}"
CSRF_COOKIE_SECURE = IS_SECURE
CSRF_COOKIE_HTTPONLY = True
CSRF_COOKIE_SAMESITE = "Lax"
LOGIN_URL = "/sign-in/"
LOGIN_REDIRECT_URL = "/"
LOGOUT_REDIRECT_URL = "/sign-in/"
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 12}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]

if IS_SECURE:
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    SECURE_HSTS_SECONDS = 365 * 24 * 60 * 60
SECURE_CONTENT_TYPE_NOSNIFF = True
SECURE_CROSS_ORIGIN_OPENER_POLICY = "same-origin"
# not `no-referrer`: under it browsers send `Origin: null` with plain form posts, which the CSRF check has to refuse
SECURE_REFERRER_POLICY = "same-origin"
X_FRAME_OPTIONS = "DENY"
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": ["'none'"],
        "script-src": ["'self'"],
        "style-src": ["'self'"],
        "img-src": ["'self'", "data:"],
        "font-src": ["'self'"],
        "connect-src": ["'self'"],
        "manifest-src": ["'self'"],
        "form-action": ["'self'"],
        "base-uri": ["'none'"],
        "frame-ancestors": ["'none'"],
        "object-src": ["'none'"],
    },
}

# --- what a request may carry ---------------------------------------------------------------------------------------
BODY_LIMIT = product.payload_limit(globals()) + 64 * 1024
DATA_UPLOAD_MAX_MEMORY_SIZE = BODY_LIMIT
FILE_UPLOAD_MAX_MEMORY_SIZE = BODY_LIMIT

# --- static files: served by this process from where they lie, so there is no step that collects them ----------------
STATIC_URL = "/static/"
STATICFILES_DIRS = [BASE_DIR / "static"]
STATICFILES_FINDERS = [
    "django.contrib.staticfiles.finders.FileSystemFinder",
    "django.contrib.staticfiles.finders.AppDirectoriesFinder",
]
if importlib.util.find_spec("orchestrations.web.assets"):
    STATICFILES_FINDERS.append("orchestrations.web.assets.PackageFinder")
WHITENOISE_USE_FINDERS = True
WHITENOISE_AUTOREFRESH = DEBUG
WHITENOISE_ALLOW_ALL_ORIGINS = False

# --- one's own functions: last, for this imports the apps' packages ---------------------------------------------------
_own, DURABLE_MODULES = own_apps.configure(ENVIRONMENT.items("DURABLE_APPS"), INSTALLED_APPS)
INSTALLED_APPS += _own  # type: ignore[arg-type]  # Django takes an app's configuration as well as its name
