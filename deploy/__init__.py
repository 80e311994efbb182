"""Everything about running Tender: wiring, the embedded stack, images and dashboards."""
