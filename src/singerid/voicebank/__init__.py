"""Voices as WORLD sees them, ready to be sung anew: analysis, files, reading."""
