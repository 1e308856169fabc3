"""The browser for the tests in pages: Chromium or Chrome of the system, else what Playwright can install."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
ARGUMENTS = [
    "--no-sandbox",  # the tests may run as root, where Chromium refuses to start with it
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
ADVICE = "install Chromium (Debian: apt-get install chromium) or name a browser's program in DURABLE_TEST_BROWSER"


def find_browser() -> str:
    """Return the path of a browser's program, or an empty text where only Playwright's own could be used."""
    named = os.environ.get("DURABLE_TEST_BROWSER", "")
    if named:
        return named
    return next((found for name in NAMES if (found := shutil.which(name))), "")


def ensure_browser() -> str:
    """Return the path of a browser; empty means the one that Playwright installed. Never does without."""
    found = find_browser()
    if found:
        return found
    command = [sys.executable, "-m", "playwright", "install", "chromium"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    except subprocess.TimeoutExpired:
        raise RuntimeError(f"The browser tests need Chromium, and Playwright took too long; {ADVICE}.") from None
    if done.returncode:
        reason = (done.stderr.strip() or done.stdout.strip()).splitlines()[-1:]
        raise RuntimeError(f"The browser tests need Chromium, and Playwright could not get it ({reason}); {ADVICE}.")
    return ""
