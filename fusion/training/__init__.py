"""A fusion network is trained on pairs: settings, crops, epochs, and the files that are left."""
