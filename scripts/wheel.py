"""Takes the compiled modules along into a wheel, which is then one for this Python and machine."""

import sys
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class CompiledHook(BuildHookInterface[Any]):
    """Adds what is compiled; refuses what is older than its source."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Hatchling calls this before it builds; an editable install finds all of it in place."""
        sys.path.insert(0, self.root)
        from kit import compiled

        root = Path(self.root)
        if version == "editable" or not compiled.require_current(root):
            return
        taken = [compiled.MANIFEST, *compiled.found(root)]
        build_data["force_include"] |= {str(root / path): str(path) for path in taken}
        build_data["pure_python"] = False
        build_data["infer_tag"] = True
