"""The regions of one instance's page, but for its history."""

from __future__ import annotations

from orchestrations.control.actors import Actor
from orchestrations.control.permissions import Permission
from orchestrations.web import actions
from orchestrations.web.fragments.kinds import Facts, Kind
from orchestrations.web.page_data import PageData
from orchestrations.web.presenters import contents, summaries
from orchestrations.web.regions import Region


class _OfInstance(Kind):
    """Shows something that changes with every revision."""

    def tag(self, data: PageData, region: Region, actor: Actor) -> object | None:
        """Change with execution and revision."""
        version = data.version(region.instance_id)
        return version and (version.execution_id, version.revision, version.is_deferred)


class Summary(_OfInstance):
    """The head of the page: name, status, times, and why it waits."""

    template = "orchestrations/instances/_summary.html"

    def present(self, data: PageData, region: Region, actor: Actor) -> Facts | None:
        """Show the instance's facts, no payload."""
        instance = data.instance(region.instance_id)
        return {"view": summaries.summary(region.hub, instance)} if instance else None


class Actions(Kind):
    """The buttons and forms."""

    template = "orchestrations/instances/_actions.html"

    def present(self, data: PageData, region: Region, actor: Actor) -> Facts | None:
        """Show what this actor may do, and why not the rest."""
        instance = data.instance(region.instance_id)
        return {"view": actions.present(region.hub, instance, actor)} if instance else None

    def tag(self, data: PageData, region: Region, actor: Actor) -> object | None:
        """Change with the buttons, not with every revision: a form that somebody fills in is not replaced in vain."""
        found = data.instance(region.instance_id)
        if found is None:
            return None
        events = [wait for wait in found.waiting if wait.kind == "event"]
        return found.execution_id, found.status.value, bool(found.blocked), events, sorted(actor.roles)


class Data(Kind):
    """Input, output and failure."""

    template = "orchestrations/instances/_data.html"
    permission = Permission.PAYLOADS_READ

    def present(self, data: PageData, region: Region, actor: Actor) -> Facts | None:
        """Show the payloads, cut."""
        instance = data.detail(region.instance_id)
        if instance is None:
            return None
        stored = {"input": instance.input_json, "output": instance.output_json}
        views = {name: contents.payload(region.hub, instance.instance_id, name, text) for name, text in stored.items()}
        failures = contents.failures(instance.failure)
        return {**views, "failures": failures, "is_final": instance.status.is_terminal}

    def tag(self, data: PageData, region: Region, actor: Actor) -> object | None:
        """Change with the execution, and with every revision once there is an outcome."""
        version = data.version(region.instance_id)
        return version and (version.execution_id, version.revision if version.status.is_terminal else 0)


class Children(Kind):
    """The sub-orchestrations."""

    template = "orchestrations/instances/_children.html"

    def present(self, data: PageData, region: Region, actor: Actor) -> Facts:
        """Show them with their statuses."""
        return {"children": summaries.children(region.hub, data.children(region.instance_id))}

    def tag(self, data: PageData, region: Region, actor: Actor) -> object:
        """Change with each, and with any status."""
        return [(child.instance_id, child.status.value) for child in data.children(region.instance_id)]

    def watched_ids(self, data: PageData, region: Region) -> frozenset[str]:
        """Depend on the instance and on them."""
        children = data.children(region.instance_id)
        return frozenset({region.instance_id, *(child.instance_id for child in children)})


class Audit(Kind):
    """Who did what."""

    template = "orchestrations/instances/_audit.html"
    permission = Permission.AUDIT_READ

    def present(self, data: PageData, region: Region, actor: Actor) -> Facts:
        """Show the last entries."""
        return {"entries": summaries.audit(data.audit(region.instance_id))}

    def tag(self, data: PageData, region: Region, actor: Actor) -> object:
        """Change with each entry."""
        return data.audit(region.instance_id)
