"""Health first, then the dashboard's pages."""

from django.urls import include, path

from durableweb import health

urlpatterns = [
    path("healthz/live", health.live, name="health-live"),
    path("healthz/ready", health.ready, name="health-ready"),
    path("", include("orchestrations.web.urls")),
]
