"""Everything about running Tender: wiring, the embedded stack, images and dashboards."""

import sys

from kit import compiled

# Before anything that may be compiled is imported; whatever runs Tender passes here.
try:
    COMPILED = compiled.require_current()
except compiled.Stale as stale:
    sys.exit(str(stale))
