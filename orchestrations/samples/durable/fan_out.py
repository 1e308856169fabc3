"""Fan-out/fan-in: count the lines and bytes of every file below a folder, many files at a time."""

import os
from typing import Any

from orchestrations import OrchestrationContext, activity, orchestrator

SKIPPED = {".git"}


@orchestrator
async def E2_CountTree(context: OrchestrationContext, root: str) -> dict[str, int]:
    """Return `{"files", "lines", "bytes"}` of all regular files below `root`, `.git` folders left out."""
    files = await context.call_activity(E2_ListFiles, root)
    context.set_custom_status({"files": len(files)})
    counts = await context.task_all([context.call_activity(E2_CountFile, path) for path in files])
    return {
        "files": len(files),
        "lines": sum(count["lines"] for count in counts),
        "bytes": sum(count["bytes"] for count in counts),
    }


@activity
def E2_ListFiles(root: str) -> list[str]:
    """Return the paths of all regular files below `root`, sorted; links are not followed."""
    if not os.path.isdir(root):
        raise NotADirectoryError(f"'{root}' is not a folder.")
    found = []
    for folder, folders, names in os.walk(root):
        folders[:] = sorted(set(folders) - SKIPPED)
        paths = (os.path.join(folder, name) for name in names)
        found += [path for path in paths if os.path.isfile(path) and not os.path.islink(path)]
    return sorted(found)


@activity
def E2_CountFile(path: str) -> dict[str, Any]:
    """Return the file's number of newlines and bytes, as `wc` counts them."""
    lines = size = 0
    with open(path, "rb") as file:
        while chunk := file.read(1024 * 1024):
            lines += chunk.count(b"\n")
            size += len(chunk)
    return {"lines": lines, "bytes": size}
