"""What results say and how it is coded: versioned TOML, read by node.dicom.template at start.

report.toml (the structured report), cine.toml, summary.toml (with reference ranges),
equipment.toml, concepts.toml (field -> code, site, unit).
"""
