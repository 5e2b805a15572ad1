"""Tests on real models run where these were fetched to: see `make test-real`."""

import os

FOLDER = "KCOMPILE_REAL_MODELS"

collect_ignore = [] if FOLDER in os.environ else ["test_real_models.py"]
