"""WFDB records, the format of PhysioNet, through its library."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
import wfdb
from numpy.typing import NDArray

from node.dicom.waveform import MILLIVOLTS_PER_UNIT, WINDOW_S
from node.domain.ecg import ECGRecord, Lead, Subject
from node.domain.errors import InputError, UnusableData
from pipelines.datasets.leads import lead_named, twelve_leads
from pipelines.datasets.recording import Recording, Refused, files_below

_UNREADABLE: Final = (  # what wfdb raises on files that are not a record
    AttributeError,
    IndexError,
    KeyError,
    OSError,
    OverflowError,
    TypeError,
    ValueError,
)
_COMMENT: Final = re.compile(r"\s*(age|sex)\s*:\s*([\w.]+)\s*", re.IGNORECASE)
_GAIN: Final = re.compile(r"[0-9.]+(?:[eE][+-]?[0-9]+)?")


def read_wfdb_folder(
    folder: Path, subject_of: Callable[[Path], str]
) -> Iterator[Recording | Refused]:
    """Every record below a folder, in the order of its header's path.

    subject_of: the subject of a header's path. A record does not say it, and one subject often has
    several, so the caller must know how the data set names its files.
    """
    for path in files_below(folder):
        if path.suffix != ".hea":
            continue
        try:
            ecg, subject = read_wfdb(path)
        except InputError as error:
            yield Refused.because(path, error)
        else:
            yield Recording(subject_id=subject_of(path), source=path, subject=subject, ecg=ecg)


def read_wfdb(path: Path) -> tuple[ECGRecord, Subject]:
    """One record, its first 30 s when it is longer, and what its comments say of the subject.

    path: the header, with or without `.hea`. Leads are found by name; invalid samples are NaN.
    Raises UnusableData (no such record, cut short, checksum, several segments, a missing lead, no
    calibration or sampling frequency, a unit out of uV, mV, V, leads at several rates).
    Source: WFDB header(5) and signal(5).
    """
    name = path.with_suffix("") if path.suffix == ".hea" else path
    try:
        header = wfdb.rdheader(str(name))
        if isinstance(header, wfdb.MultiRecord):
            raise UnusableData("a record of several segments; join them first")
        _check_stated(name.with_suffix(".hea"))
        leads = _leads(header)
        n_samples = _samples_wanted(header)
        record = wfdb.rdrecord(
            str(name), sampto=n_samples, channels=list(leads.values()), physical=False
        )
        if n_samples is None or n_samples == header.sig_len:
            _check_sums(record, [header.checksum[index] for index in leads.values()])
        millivolts = _millivolts(record)
    except _UNREADABLE as error:
        raise UnusableData("not a WFDB record, or its signal file is missing or cut short") from (
            error
        )
    columns = {lead: millivolts[:, place] for place, lead in enumerate(leads)}
    return twelve_leads(columns, float(header.fs)), _subject(header.comments)


def _check_stated(path: Path) -> None:
    """Refuse what the library fills in by default: 250 Hz, and 200 counts a millivolt."""
    lines = [line for line in path.read_text("utf-8").splitlines() if line.strip()]
    record, *signals = [line.split() for line in lines if not line.lstrip().startswith("#")]
    if len(record) < 3:
        raise UnusableData("the header states no sampling frequency; it is not guessed")
    for number, signal in enumerate(signals[: int(record[1].split("/")[0])], start=1):
        stated = _GAIN.match(signal[2]) if len(signal) > 2 else None
        if stated is None or float(stated[0]) == 0:
            raise UnusableData(f"signal {number} states no gain: it is not calibrated")


def _leads(header: Any) -> dict[Lead, int]:
    """Where the standard leads are. Other channels are left out."""
    found: dict[Lead, int] = {}
    for index, name in enumerate(header.sig_name):
        lead = lead_named(name)
        if lead is None:
            continue
        if lead in found:
            raise UnusableData(f"lead {lead.value} comes twice")
        if header.units[index] not in MILLIVOLTS_PER_UNIT:
            raise UnusableData(f"lead {lead.value} is not in uV, mV or V; it is not guessed")
        if header.samps_per_frame[index] != 1:
            raise UnusableData(f"lead {lead.value} is sampled at another rate than the record")
        found[lead] = index
    if not found:
        raise UnusableData("no channel is one of the twelve standard leads")
    return found


def _samples_wanted(header: Any) -> int | None:
    """The samples to read, None for all when the header does not say how many there are."""
    if not math.isfinite(header.fs) or header.fs <= 0:
        raise UnusableData("the sampling frequency is not above 0")
    if header.sig_len is None:
        return None
    return min(int(header.sig_len), round(WINDOW_S * float(header.fs)))


def _check_sums(record: Any, declared: list[int | None]) -> None:
    """Refuse samples that are not those the header was written for (16-bit sum, header(5))."""
    for name, found, wanted in zip(record.sig_name, record.calc_checksum(), declared, strict=True):
        if wanted is not None and (found - wanted) % 65536:
            raise UnusableData(f"lead {name}: the samples do not have the header's checksum")


def _millivolts(record: Any) -> NDArray[np.float64]:
    """(n_samples, n_leads)."""
    factors = [MILLIVOLTS_PER_UNIT[unit] for unit in record.units]
    physical: NDArray[np.float64] = record.dac() * np.array(factors)
    return physical


def _subject(comments: list[str]) -> Subject:
    """Age and sex as PTB, PTB-XL and the PhysioNet challenges write them."""
    stated = {
        match[1].lower(): match[2] for line in comments if (match := _COMMENT.fullmatch(line))
    }
    sex = {"male": "M", "m": "M", "female": "F", "f": "F"}.get(stated.get("sex", "").lower())
    try:
        age = float(stated.get("age", "nan"))
    except ValueError:
        age = math.nan
    return Subject(age_years=age if 0 <= age <= 130 else None, sex=sex)
