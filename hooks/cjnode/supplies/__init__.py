"""What a package needs besides its code: built environments, data that lies on the cluster."""
