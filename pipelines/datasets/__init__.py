"""Readers of real cohorts: UK Biobank, MIMIC-IV-ECG, PTB-XL, other WFDB and DICOM folders.

Each gives an iterator of `Recording` and, for every file or row it left out, of `Refused`.
"""
