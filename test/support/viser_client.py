# SPDX-License-Identifier: Apache-2.0
"""What a browser with the page open sends to its server, without the browser."""

from __future__ import annotations

import dataclasses
from types import TracebackType
from typing import Any

import msgspec.msgpack
import viser
from viser import _messages as messages
from websockets.sync.client import connect
from websockets.typing import Subprotocol

GIZMO = "/goal/gizmo"


class ViserClient:
    """One open page, which drags the goal."""

    def __init__(self, port: int, **options: Any) -> None:
        self._socket = connect(
            f"ws://127.0.0.1:{port}",
            subprotocols=[Subprotocol(f"viser-v{viser.__version__}")],
            max_size=None,
            max_queue=None,
            **options,
        )
        place = (0.0, 0.0, 0.0)
        camera = messages.ViewerCameraMessage(
            (1.0, 0.0, 0.0, 0.0), place, 1.0, 0.01, 100.0, 100, 100, place, (0.0, 0.0, 1.0)
        )
        self._send(camera)  # the server counts who has sent one

    def __enter__(self) -> ViserClient:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self._socket.close()

    def grab(self) -> None:
        self._send(messages.TransformControlsDragStartMessage(GIZMO))

    def drag(self, *position: float) -> None:
        self._send(
            messages.TransformControlsUpdateMessage(GIZMO, (1.0, 0.0, 0.0, 0.0), position)  # type: ignore[arg-type]
        )

    def release(self) -> None:
        self._send(messages.TransformControlsDragEndMessage(GIZMO))

    def _send(self, message: Any) -> None:
        fields = {"type": type(message).__name__}
        for field in dataclasses.fields(message):
            if field.init:
                fields[field.name] = getattr(message, field.name)
        self._socket.send(msgspec.msgpack.encode(fields))
