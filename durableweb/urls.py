"""Health first, then the dashboard's pages."""

from django.urls import include, path

from durableweb import health

urlpatterns = [
    path("healthz/live", health.live, name="health-live"),
    path("healthz/ready", health.ready, name="health-ready"),
    path("", include("orchestrations.web.urls")),
]

handler400 = "orchestrations.web.views.errors.bad_request"
handler403 = "orchestrations.web.views.errors.permission_denied"
handler404 = "orchestrations.web.views.errors.page_not_found"
handler500 = "orchestrations.web.views.errors.server_error"
