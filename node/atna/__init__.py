"""Audit messages for a hospital's audit record repository (IHE ATNA; DICOM PS3.15 A.5, A.6)."""
