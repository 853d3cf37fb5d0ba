"""From the cluster's bytes to shards. ``manifest`` and ``store`` import no heavy library."""
