"""How hypothesis runs here: no deadline per example, since a busy machine is no defect."""

import hypothesis

# A failure prints the blob that reproduces it.
hypothesis.settings.register_profile("tender", deadline=None, print_blob=True)
hypothesis.settings.load_profile("tender")
