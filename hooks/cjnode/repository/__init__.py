"""The cluster's bare repository: packages come in as commits and are expanded to files."""
