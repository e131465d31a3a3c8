"""How many HL7 messages a second are acknowledged, in and out, beside python-hl7 and hl7apy."""
