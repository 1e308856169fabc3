"""Routes by noun; actions are nouns below their object. An instance id holds no slash, so `<str:…>` takes it whole."""

from django.urls import path

from orchestrations.web.views import assets, instance_actions, instances, session, starts

INSTANCE = "hubs/<str:hub>/instances/<str:instance_id>"

urlpatterns = [
    path("", instances.home, name="home"),
    path("sign-in/", session.with_password, name="sign-in"),
    path("sign-in/<str:token>/", session.with_link, name="sign-in-link"),
    path("sign-out/", session.end, name="sign-out"),
    path("live/status/", session.live_status, name="live-status"),
    path("live/regions/<str:key>/", instances.show_region, name="region"),
    path("assets/icons.svg", assets.icons, name="icons"),
    path("hubs/<str:hub>/", instances.home, name="hub"),
    path("hubs/<str:hub>/instances/", starts.list_or_start, name="instance-list"),
    path(f"{INSTANCE}/", instances.show, name="instance-detail"),
    path(f"{INSTANCE}/history/", instances.show_history, name="instance-history"),
    path(f"{INSTANCE}/history/<int:sequence>/", instances.show_event, name="instance-event"),
    path(f"{INSTANCE}/payloads/<str:name>/", instances.show_payload, name="instance-payload"),
    path(f"{INSTANCE}/events/", instance_actions.raise_event, name="instance-event-create"),
    path(f"{INSTANCE}/suspension/", instance_actions.suspension, name="instance-suspension"),
    path(f"{INSTANCE}/terminations/", instance_actions.terminate, name="instance-termination-create"),
    path(f"{INSTANCE}/terminations/new/", instance_actions.termination_form, name="instance-termination-new"),
    path(f"{INSTANCE}/decisions/", instance_actions.decide, name="instance-decision-create"),
]
