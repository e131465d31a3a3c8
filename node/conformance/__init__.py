"""The DICOM Conformance Statement and IHE integration statement of a node, out of its own tables."""
