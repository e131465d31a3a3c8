"""How many ECGs a second are acknowledged, beside Orthanc and DCMTK."""
