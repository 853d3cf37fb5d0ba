"""The record of a task that completed and left nothing but rows, made without the parser's help.

Measured on 100,000 records: 1.9 µs a line, 11 µs by way of a Record and json.
"""

from typing import Sequence

from cjnode.files import canonical
from cjnode.program.reproduce import Task
from cjnode.records.blocks import Output
from cjnode.worker.attempt import Setting, stamp
from cjnode.worker.outputs import clean


class Line:
    """What the records of one element have in common; the same bytes as ``record_to_line`` makes."""

    def __init__(self, setting: Setting) -> None:
        remarks = clean("; ".join(list(setting.remarks) + setting.workplace.remarks))
        common = (setting.host, setting.job, setting.element, remarks)
        host, job, element, note = (_escaped(value) for value in common)
        self._form = (
            '{"task":%%d,"attempt":%%d,"state":"COMPLETED","exit_code":0,"signal":0,"started":"%%s","ended":"%%s",'
            '"seconds":%%r,"host":%s,"job":%s,"element":%s,"max_rss_mb":%%r,"cpu_s":%%r,"seed":%%d,"error":"",'
            '"note":%s,"environment":%s,"outputs":[%%s]}\n'
        ) % (host, job, element, note, _escaped(setting.observed.id))

    def of(
        self,
        task: Task,
        attempt: int,
        wall: float,
        seconds: float,
        max_rss_mb: float,
        cpu_s: float,
        kept: Sequence[Output],
    ) -> bytes:
        """The record's line with its newline. ``wall`` is when the attempt began; paths need no escapes."""
        outputs = ",".join('{"path":"%s","offset":%d,"bytes":%d,"sha256":"%s"}' % each for each in kept)
        return (
            self._form
            % (
                task.task,
                attempt,
                stamp(wall),
                stamp(wall + seconds),
                round(seconds, 6),
                max_rss_mb,
                cpu_s,
                task.seed,
                outputs,
            )
        ).encode("utf-8")


def _escaped(value: object) -> str:
    return canonical(value).decode("utf-8").replace("%", "%%")
