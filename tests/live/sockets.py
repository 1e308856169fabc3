"""A WebSocket client for tests, over ASGI. (Channels' own one needs Daphne to be installed.)"""

from __future__ import annotations

import json
from typing import Any

from asgiref.testing import ApplicationCommunicator

PATIENCE = 5.0
_Communicator: Any = ApplicationCommunicator  # it has no types


class Socket(_Communicator):  # type: ignore[misc]
    """One connection to an ASGI application."""

    def __init__(self, application: Any, path: str, headers: list[tuple[bytes, bytes]]) -> None:
        scope = {"type": "websocket", "path": path, "query_string": b"", "headers": headers, "subprotocols": []}
        super().__init__(application, scope)

    async def connect(self) -> bool:
        """Shake hands; False if the application refuses."""
        await self.send_input({"type": "websocket.connect"})
        answer = await self.receive_output(PATIENCE)
        return bool(answer["type"] == "websocket.accept")

    async def say(self, *, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        """Send a frame."""
        await self.send_input({"type": "websocket.receive", "text": text_data, "bytes": bytes_data})

    async def say_json(self, message: Any) -> None:
        """Send a text frame of JSON."""
        await self.say(text_data=json.dumps(message))

    async def hear(self) -> dict[str, Any]:
        """Return the next message."""
        output = await self.receive_output(PATIENCE)
        assert output["type"] == "websocket.send", output
        message: dict[str, Any] = json.loads(output["text"])
        return message

    async def close_code(self) -> int:
        """Return the code with which the application ends the connection, whatever it says before."""
        while True:
            output = await self.receive_output(PATIENCE)
            if output["type"] == "websocket.close":
                return int(output["code"])

    async def leave(self) -> None:
        """End the connection from this side."""
        await self.send_input({"type": "websocket.disconnect", "code": 1000})
        await self.wait(PATIENCE)
