"""Passes: functions `Graph -> Graph`, imported as `kcompile.passes`."""
