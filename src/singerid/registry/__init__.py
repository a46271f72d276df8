"""Who is enrolled: singers, the vectors of their recordings, and how they are asked.

A registry is a folder (or an object store) of two LanceDB tables: `exemplars`, one row a
recording that somebody was enrolled with, and `clips`, how they sound. `Registry` is all that
others need; `docs/registry.md` tells what survives what.

| module | |
|---|---|
| `place` | where the registry is |
| `names` | what a singer may be called |
| `exemplar` | the records that go in and come out |
| `listening` | from a file to an exemplar |
| `tables` | the two tables: opening, filters, the lock of writers |
| `enrolling` | what is new is written at once |
| `roll` | singers and their centroids, kept in memory |
| `listing` | singers as they are listed |
| `index` | nearest exemplars, by the vector index where there is one |
| `agreement` | outliers, two voices under one name |
| `dedupe` | one voice under two names |
| `exchange` | from and to the files of other commands |
| `reembed` | another encoder |
| `questions`, `registry` | `Registry` |
"""

from singerid.registry.dedupe import Finding
from singerid.registry.exemplar import Enrollment, Exemplar, Hit, SingerInfo
from singerid.registry.names import NameTakenError, NotEnrolledError, RegistryError
from singerid.registry.registry import Registry

__all__ = [
    "Enrollment",
    "Exemplar",
    "Finding",
    "Hit",
    "NameTakenError",
    "NotEnrolledError",
    "Registry",
    "RegistryError",
    "SingerInfo",
]
