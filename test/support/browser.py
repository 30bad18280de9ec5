# SPDX-License-Identifier: Apache-2.0
"""A headless Chromium, driven over its own pipe: no other package, no port, no network."""

from __future__ import annotations

import base64
import fcntl
import json
import os
import select
import shutil
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import Any

CHROMIUM = (
    os.environ.get("CHROMIUM")
    or shutil.which("chromium")
    or shutil.which("chromium-browser")
    or shutil.which("google-chrome")
)
"""The browser that the tests use; None where there is none."""

_OPTIONS = (
    "--headless=new",
    "--no-sandbox",  # containers run as root
    "--disable-dev-shm-usage",
    "--hide-scrollbars",
    "--no-first-run",
    "--remote-debugging-pipe",
)
_NO_GRAPHICS = ("--disable-gpu",)
_WEBGL = ("--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader")  # slow
_TIMEOUT_S = 60.0
_DRAWN = "new Promise(f => requestAnimationFrame(() => setTimeout(() => f(1), 50)))"


class Browser:
    """One tab. What is said on its console, and every exception, is in ``said``.

    ``asked`` is every address that the page loaded or tried to.
    """

    def __init__(
        self, profile: Path, width: int = 1000, height: int = 1400, webgl: bool = False
    ) -> None:
        command, self._write = os.pipe()
        self._read, answer = os.pipe()

        def as_3_and_4() -> None:
            high = [fcntl.fcntl(fd, fcntl.F_DUPFD, 20) for fd in (command, answer)]
            os.dup2(high[0], 3)
            os.dup2(high[1], 4)

        options = [*_OPTIONS, *(_WEBGL if webgl else _NO_GRAPHICS)]
        options += [f"--user-data-dir={profile}", f"--window-size={width},{height}"]
        self._process = subprocess.Popen(
            [str(CHROMIUM), *options, "about:blank"],
            close_fds=False,
            preexec_fn=as_3_and_4,  # noqa: PLW1509 - no threads here that could be in its way
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(command)
        os.close(answer)
        self.said: list[str] = []
        self.asked: list[str] = []
        self._number, self._rest, self._session = 0, b"", ""
        self._loaded = False
        targets = self._call("Target.getTargets")["targetInfos"]
        page = next(each["targetId"] for each in targets if each["type"] == "page")
        attached = self._call("Target.attachToTarget", targetId=page, flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Runtime", "Log", "Page", "Network"):
            self._call(f"{domain}.enable")

    def __enter__(self) -> Browser:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        try:
            self._call("Browser.close")
            self._process.wait(10.0)
        except (OSError, EOFError, TimeoutError, subprocess.TimeoutExpired):
            self._process.kill()
            self._process.wait()
        os.close(self._write)
        os.close(self._read)

    def size(self, width: int, height: int) -> None:
        """Show pages opened from now on as a screen of so many px does."""
        self._call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=width < 600,
        )

    def script(self, on: bool) -> None:
        """Switch JavaScript off, or on again, for pages opened from now on."""
        self._call("Emulation.setScriptExecutionDisabled", value=not on)

    def open(self, address: str) -> None:
        """Open a page and wait until it is there, drawn."""
        self._loaded = False
        self._call("Page.navigate", url=address)
        end = time.monotonic() + _TIMEOUT_S
        while not self._loaded:
            self._next(end)

    def run(self, expression: str) -> Any:
        """Return the value of a JavaScript expression."""
        told = self._call(
            "Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in told, told["exceptionDetails"]
        return told["result"].get("value")

    def mouse(self, kind: str, x: float, y: float, buttons: int = 0, clicks: int = 0) -> None:
        """Do as a mouse would: ``mouseMoved``, ``mousePressed`` or ``mouseReleased``."""
        button = "left" if kind != "mouseMoved" or buttons else "none"
        about = {"button": button, "buttons": buttons, "clickCount": clicks}
        self._call("Input.dispatchMouseEvent", type=kind, x=x, y=y, **about)

    def drag(self, x: float, y: float, to_x: float) -> None:
        """Press, move to the side in steps, and release."""
        self.mouse("mouseMoved", x, y)
        self.mouse("mousePressed", x, y, 1, 1)
        for step in range(1, 6):
            self.mouse("mouseMoved", x + (to_x - x) * step / 5, y, 1)
        self.mouse("mouseReleased", to_x, y, 0, 1)
        self.run(_DRAWN)

    def double_click(self, x: float, y: float) -> None:
        """Click twice."""
        for clicks in (1, 2):
            self.mouse("mousePressed", x, y, 1, clicks)
            self.mouse("mouseReleased", x, y, 0, clicks)
        self.run(_DRAWN)

    def picture(self, path: Path, whole: bool = True) -> None:
        """Save a PNG of the whole page, or of what the window shows."""
        told = self._call("Page.captureScreenshot", captureBeyondViewport=whole)
        if whole:
            size = self._call("Page.getLayoutMetrics")["cssContentSize"]
            clip = {"x": 0, "y": 0, "width": size["width"], "height": size["height"], "scale": 1}
            told = self._call("Page.captureScreenshot", captureBeyondViewport=True, clip=clip)
        path.write_bytes(base64.b64decode(told["data"]))

    def print(self, path: Path) -> None:
        """Save a PDF of the page, as it is printed."""
        told = self._call("Page.printToPDF", preferCSSPageSize=True, printBackground=False)
        path.write_bytes(base64.b64decode(told["data"]))

    def _call(self, method: str, **parameters: Any) -> dict[str, Any]:
        self._number += 1
        message: dict[str, Any] = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._write, json.dumps(message).encode() + b"\0")
        end = time.monotonic() + _TIMEOUT_S
        while True:
            told = self._next(end)
            if told.get("id") == self._number:
                assert "error" not in told, (method, told["error"])
                return dict(told["result"])

    def _next(self, end: float) -> dict[str, Any]:
        """Return the browser's next message; note what it says about the page."""
        while b"\0" not in self._rest:
            if not select.select([self._read], [], [], max(0.0, end - time.monotonic()))[0]:
                raise TimeoutError("Chromium does not answer")
            block = os.read(self._read, 1 << 20)
            if not block:
                raise EOFError("Chromium is gone")
            self._rest += block
        line, self._rest = self._rest.split(b"\0", 1)
        told: dict[str, Any] = json.loads(line)
        what, about = told.get("method"), told.get("params", {})
        if what == "Runtime.consoleAPICalled":
            self.said.append(json.dumps(about["args"]))
        elif what == "Runtime.exceptionThrown":
            self.said.append(json.dumps(about["exceptionDetails"]))
        elif what == "Log.entryAdded":
            self.said.append(json.dumps(about["entry"]))
        elif what == "Network.requestWillBeSent":
            self.asked.append(about["request"]["url"])
        elif what == "Page.loadEventFired":
            self._loaded = True
        return told
