"""What a kind of live region is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar

from orchestrations.control.actors import Actor
from orchestrations.control.permissions import Permission
from orchestrations.web.page_data import PageData
from orchestrations.web.regions import Region

EVERY = frozenset({"*"})
"""Watched ids of a region that any change in the hub may touch."""

Facts = dict[str, Any]


class Kind(ABC):
    """A kind of region: who may see it, its template, what that shows, and when it has to be shown again."""

    template: ClassVar[str]
    permission: ClassVar[Permission] = Permission.INSTANCES_READ

    @abstractmethod
    def present(self, data: PageData, region: Region, actor: Actor) -> Facts | None:
        """Return what the template shows; None where it is gone."""

    @abstractmethod
    def tag(self, data: PageData, region: Region, actor: Actor) -> object | None:
        """Return a value that changes whenever what `present` returns does, and costs less; None as it does."""

    def watched_ids(self, data: PageData, region: Region) -> frozenset[str]:
        """Return the ids of the instances whose changes may change the region."""
        return frozenset({region.instance_id})
