"""A CardioSoft XML of known numbers, in the structure that UK Biobank's field 20205 has."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

LEADS = ("I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6")


def counts_of(place: int, n_samples: int) -> list[int]:
    """Counts that differ from lead to lead and from sample to sample."""
    return [(place + 1) * 100 - 3 * sample for sample in range(n_samples)]


def cardiosoft_xml(
    *,
    leads: Sequence[str] = LEADS,
    counts: Mapping[str, Sequence[object]] | None = None,
    n_samples: int = 5000,
    declared_samples: int | None = None,
    declared_leads: int | None = None,
    sample_rate: str = '<SampleRate units="Hz">500</SampleRate>',
    resolution: str = '<Resolution units="uVperLsb">5</Resolution>',
    doctype: str = "",
    patient: str = "",
) -> bytes:
    """The bytes of a file. counts: by lead name, where they differ from `counts_of`."""
    waveforms = "\n".join(
        f'<WaveformData lead="{name}">'
        + ",".join(map(str, (counts or {}).get(name, counts_of(place, n_samples))))
        + "</WaveformData>"
        for place, name in enumerate(leads)
    )
    text = f"""<?xml version="1.0" encoding="ISO8859-1"?>
{doctype}<CardiologyXML>
<ObservationType>RestECG</ObservationType>
<PatientInfo><PID>secret-1</PID><Name><FamilyName>M\xfcller</FamilyName></Name>{patient}
</PatientInfo>
<FilterSetting><CubicSpline>Yes</CubicSpline><Filter50Hz>Yes</Filter50Hz>
<Filter60Hz>No</Filter60Hz><LowPass units="Hz">100</LowPass></FilterSetting>
<RestingECGMeasurements>
<VentricularRate units="BPM">61</VentricularRate><PQInterval units="ms">158</PQInterval>
<QRSDuration units="ms">92</QRSDuration><PAxis units="degrees"></PAxis>
<RAxis units="degrees">-12</RAxis><RRInterval>984</RRInterval>
<MedianSamples><NumberOfLeads>12</NumberOfLeads><SampleRate units="Hz">500</SampleRate>
<Resolution units="uVperLsb">5</Resolution><WaveformData lead="I">1,2,3</WaveformData>
</MedianSamples></RestingECGMeasurements>
<StripData><NumberOfLeads>{declared_leads or len(leads)}</NumberOfLeads>{sample_rate}
<ChannelSampleCountTotal>{declared_samples or n_samples}</ChannelSampleCountTotal>{resolution}
{waveforms}
</StripData>
</CardiologyXML>
"""
    return text.encode("iso8859-1")
