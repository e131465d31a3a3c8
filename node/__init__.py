"""CardioNode: 12-lead ECG in, synthetic cardiac MR and phenotype estimates out."""
