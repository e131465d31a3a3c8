"""DICOM Conformance Statement and IHE integration statement, out of the program's own tables."""
