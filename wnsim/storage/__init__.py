"""Files of a results folder: tables and manifests, journals of a running simulation, locks."""
