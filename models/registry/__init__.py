"""Model versions on disk: files, manifest, champion."""
