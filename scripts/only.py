"""An import-linter contract that lists what modules may import, instead of what they may not."""

from collections.abc import Set
from typing import cast

from grimp import ImportGraph
from importlinter import Contract, ContractCheck, fields, output


class OnlyContract(Contract):
    """Modules within `importers`, but for those within `apart`, import only from `allowed`.

    Without `outside = true` this concerns first-party code alone; with it, the standard library
    and third-party packages have to be named too. Direct imports are enough to look at: what is
    imported has a contract of its own.
    """

    importers = fields.SetField(subfield=fields.StringField())
    apart = fields.SetField(subfield=fields.StringField(), default=frozenset())
    allowed = fields.SetField(subfield=fields.StringField(), default=frozenset())
    outside = fields.BooleanField(default=False)

    def check(self, graph: ImportGraph, verbose: bool) -> ContractCheck:
        """Collect every import that leaves the list, with the line that makes it."""
        importers = cast(set[str], self.importers)
        apart = cast(set[str], self.apart)
        allowed = importers | cast(set[str], self.allowed)
        outside = cast(bool, self.outside)
        refused = [
            detail
            for module in sorted(graph.modules)
            if _within(module, importers) and not _within(module, apart)
            for imported in sorted(graph.find_modules_directly_imported_by(module))
            if outside or not graph.is_module_squashed(imported)
            if not _within(imported, allowed)
            for detail in graph.get_import_details(importer=module, imported=imported)
        ]
        missing = sorted(importers - graph.modules)
        return ContractCheck(
            kept=not refused and not missing, metadata={"refused": refused, "missing": missing}
        )

    def render_broken_contract(self, check: ContractCheck) -> None:
        """Name each offending line."""
        for module in check.metadata["missing"]:
            output.print_error(f"{module} does not exist; correct the contract.")
        for detail in check.metadata["refused"]:
            place = f"{detail['importer']}:{detail['line_number']}"
            output.print_error(f"{place} may not import {detail['imported']}")


def _within(module: str, packages: Set[str]) -> bool:
    return any(module == package or module.startswith(f"{package}.") for package in packages)
