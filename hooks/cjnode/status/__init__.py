"""How packages stand, as their records, claims and jobs tell together. Submits nothing."""
