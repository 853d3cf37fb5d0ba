"""The node half of cjledger: Python >= 3.6, standard library only."""
