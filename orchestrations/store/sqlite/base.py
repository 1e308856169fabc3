"""The backend as Django looks for it."""

from __future__ import annotations

from typing import Any

from django.db.backends.sqlite3 import base

from orchestrations.store.sqlite.gate import Gate, GatedConnection


class DatabaseWrapper(base.DatabaseWrapper):
    """Django's wrapper, whose transactions begin behind the gate. Statements outside of one do not pass it."""

    def get_connection_params(self) -> dict[str, Any]:
        """See Django's; the driver's connection is ours."""
        return {**super().get_connection_params(), "factory": GatedConnection}

    def get_new_connection(self, conn_params: dict[str, Any]) -> GatedConnection:
        """See Django's."""
        connection: GatedConnection = super().get_new_connection(conn_params)
        if not self.is_in_memory_db():
            connection.gate = Gate(str(self.settings_dict["NAME"]))
        return connection

    def _start_transaction_under_autocommit(self) -> None:
        gate: Gate = self.connection.gate
        gate.enter()
        try:
            super()._start_transaction_under_autocommit()  # type: ignore[misc]
        except BaseException:
            gate.leave()
            raise
