"""Source text of encoders and decoders, from the tables of `fields`: `codec` compiles it at import.

The generated code is what one would write by hand for speed: one pass, no call for a field, and where the strings among
integers are empty, as they nearly always are, all of them in one call. What it calls when a value is refused, and the
readers and writers of rows, are names that `codec` gives it; so are `unpack_N` and `pack_CODES`, methods of a Struct.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Iterator
from typing import Any

from protocols.smpp.constants import CommandStatus
from protocols.smpp.fields import FieldFormat, Kind

_CODES = {1: "B", 2: "H", 4: "I"}
_STRUCT_NAME = re.compile(r"\b(?:unpack_(\d+)|pack_([BHIx]+))\b")


def decoder_source(formats: tuple[FieldFormat, ...], *, is_response: bool) -> str:
    """The source of decode(buffer, position, end, command_status, sequence_number): buffer[position:end] is a body.

    One comparison at the end finds an overrun of the integers, because positions only grow and a stray read stays
    inside the buffer or raises IndexError. A response may come without its body.
    """
    last = formats[-1].name if formats else "end"
    may_be_bare = is_response and len(formats) > 1
    strings = sum(form.kind is Kind.C_OCTETS for form in formats)
    # The last string, when it is the last field, is read as far as it goes and cannot overrun.
    is_open_ended = bool(formats) and formats[-1].kind is Kind.C_OCTETS
    lines = [
        "def decode(buffer, position, end, command_status, sequence_number):",
        *(["    if position == end:", "        return bare(command_status, sequence_number)"] if may_be_bare else ()),
        "    pdu = new(cls)",
        "    pdu.command_status = command_status",
        "    pdu.sequence_number = sequence_number",
        *(f"    {line}" for line in _usual_lines(formats)),
        *(["    find = buffer.find"] if strings > is_open_ended else ()),
        "    try:",
        *(f"        {line}" for line in _decoder_lines("pdu", formats, is_last_liberal=True)),
        "    except (IndexError, StructError):",
        f"        refuse_length({last!r})" if formats else "        raise",
        *([] if is_open_ended else ["    if position > end:", f"        refuse_length({last!r})"]),
        "    pdu.tlvs = buffer[position:end] if position < end else b''",
        "    return pdu",
    ]
    return "\n".join(lines)


def usual_pattern(formats: tuple[FieldFormat, ...]) -> re.Pattern[bytes] | None:
    """What the body of a well-formed message looks like, its rare strings empty; None where that is not worth it.

    One match is quicker than a search for each string. What does not match is read field by field, which finds out
    whether it is unusual or wrong. A group for each string and for each run of integers, rare strings left out.
    """
    if not _has_usual_form(formats):
        return None
    parts: list[bytes] = []
    run = 0
    for index, form in enumerate(formats):
        if form.kind is Kind.C_OCTETS:
            parts += [b"(" + b"." * run + b")"] if run else []
            run = 0
            parts.append(b"\\0" if form.is_rare and index else b"([^\\0]{0,%d})\\0" % (form.accepted - 1))
        else:
            run += 1
    return re.compile(b"".join([*parts, b"(" + b"." * run + b")"]), re.DOTALL)


def _has_usual_form(formats: tuple[FieldFormat, ...]) -> bool:
    """True for octets and strings, some of them rare, that end with a counted text: submit_sm and deliver_sm."""
    return (
        any(form.is_rare for form in formats)
        and formats[-1].kind is Kind.COUNTED_OCTETS
        and all(form.kind is Kind.C_OCTETS or (form.kind is Kind.INTEGER and form.size == 1) for form in formats[:-1])
    )


def _usual_lines(formats: tuple[FieldFormat, ...]) -> Iterator[str]:
    """Take a body that looks as usual apart in one match, and return."""
    if not _has_usual_form(formats):
        return
    groups: list[str] = []
    run: list[str] = []
    for index, form in enumerate(formats):
        if form.kind is not Kind.C_OCTETS:
            run.append("size" if form is formats[-1] else f"pdu.{form.name}")
            continue
        groups += [f"({', '.join(run)},)"] if run else []
        run = []
        if not form.is_rare or not index:
            groups.append(f"pdu.{form.name}")
    groups.append(f"({', '.join(run)},)")
    rare = [f"pdu.{form.name}" for form in formats[1:] if form.is_rare]
    yield "found = usual(buffer, position, end)"
    yield "if found is not None:"
    yield f"    {', '.join(groups)} = found.groups()"
    yield "    text = found.end()"
    yield "    stop = text + size"
    yield "    if stop <= end:"
    yield f"        {' = '.join(rare)} = b''"
    yield f"        pdu.{formats[-1].name} = buffer[text:stop]"
    yield "        pdu.tlvs = buffer[stop:end] if stop < end else b''"
    yield "        return pdu"


def row_decoder_source(formats: tuple[FieldFormat, ...]) -> str:
    """The source of decode(buffer, position, end), which gives a row and the position after it.

    Like the fields of a PDU it may run over the end by a few octets, which the PDU's own check finds.
    """
    lines = [
        "def decode(buffer, position, end):",
        "    row = new(cls)",
        "    find = buffer.find",
        *(f"    {line}" for line in _decoder_lines("row", formats, is_last_liberal=False)),
        "    return row, position",
    ]
    return "\n".join(lines)


def _decoder_lines(target: str, formats: tuple[FieldFormat, ...], *, is_last_liberal: bool) -> Iterator[str]:
    if not formats:
        yield "pass"
    start = 0
    while start < len(formats):
        stop = _end_of_run(formats, start)
        if stop:
            yield from _run_lines(target, formats[start:stop])
        else:
            stop = start + 1
            while stop < len(formats) and not _end_of_run(formats, stop):
                stop += 1
            is_tail = is_last_liberal and stop == len(formats)
            yield from _plain_lines(target, formats[start:stop], formats[-1] if is_tail else None)
        start = stop


def _end_of_run(formats: tuple[FieldFormat, ...], start: int) -> int:
    """The end of a run from start on: integers of an octet, rare strings, and perhaps the count of octets. 0: none."""
    stop = start
    while stop < len(formats) and (
        formats[stop].is_rare or (formats[stop].kind is Kind.INTEGER and formats[stop].size == 1)
    ):
        stop += 1
    if not any(form.is_rare for form in formats[start:stop]):
        return 0
    return stop + 1 if stop < len(formats) and formats[stop].kind is Kind.COUNTED_OCTETS else stop


def _run_lines(target: str, formats: tuple[FieldFormat, ...]) -> Iterator[str]:
    """All octets of the run at once, which is right when no rare string begins in it; else one by one."""
    counted = formats[-1] if formats[-1].kind is Kind.COUNTED_OCTETS else None
    rare = [form.name for form in formats if form.is_rare]
    octets = [form.name if form.is_rare else "size" if form is counted else f"{target}.{form.name}" for form in formats]
    yield f"{', '.join(octets)} = unpack_{len(formats)}(buffer, position)"
    yield f"if {' or '.join(rare)}:"
    for line in _plain_lines(target, formats, None):
        yield f"    {line}"
    yield "else:"
    yield f"    {' = '.join(f'{target}.{name}' for name in rare)} = b''"
    yield f"    position += {len(formats)}"
    if counted is not None:
        yield "    stop = position + size"
        yield "    if stop > end:"
        yield f"        refuse_text({counted.name!r}, {int(counted.status)}, position, end)"
        yield f"    {target}.{counted.name} = buffer[position:stop]"
        yield "    position = stop"


def _plain_lines(target: str, formats: tuple[FieldFormat, ...], liberal: FieldFormat | None) -> Iterator[str]:
    """Field by field. liberal: the last field of the PDU, when it is among them."""
    offset = 0  # octets of integers since `position` was last moved
    for form in formats:
        at = f"position + {offset}" if offset else "position"
        if form.kind is Kind.INTEGER:
            yield f"{target}.{form.name} = " + (
                f"buffer[{at}]" if form.size == 1 else f"from_bytes(buffer[{at}:{at} + {form.size}], 'big')"
            )
            offset += form.size
        elif form.kind is Kind.COUNTED_OCTETS:
            yield f"stop = {at} + 1 + buffer[{at}]"
            yield "if stop > end:"
            yield f"    refuse_text({form.name!r}, {int(form.status)}, {at} + 1, end)"
            yield f"{target}.{form.name} = buffer[{at} + 1:stop]"
            yield "position = stop"
            offset = 0
        elif form.kind is Kind.COUNTED_ROWS:
            yield f"{target}.{form.name}, position = read_{form.name}(buffer, {at}, end)"
            offset = 0
        else:
            if offset:
                yield f"position += {offset}"
                offset = 0
            if form is liberal:
                yield from _last_string_lines(target, form, is_first=len(formats) == 1)
            else:
                yield from _string_lines(target, form)
    if offset:
        yield f"position += {offset}"


def _string_lines(target: str, form: FieldFormat) -> Iterator[str]:
    if not form.is_rare:
        yield "stop = find(0, position, end)"
        yield f"if not -1 < stop - position < {form.accepted}:"
        yield f"    refuse_string({form.name!r}, {int(form.status)}, buffer, position, end)"
        yield f"{target}.{form.name} = buffer[position:stop]"
        yield "position = stop + 1"
        return
    yield "if buffer[position]:"
    yield "    stop = find(0, position, end)"
    yield f"    if not 0 < stop - position < {form.accepted}:"
    yield f"        refuse_string({form.name!r}, {int(form.status)}, buffer, position, end)"
    yield f"    {target}.{form.name} = buffer[position:stop]"
    yield "    position = stop + 1"
    yield "else:"
    yield f"    {target}.{form.name} = b''"
    yield "    position += 1"


def _last_string_lines(target: str, form: FieldFormat, *, is_first: bool) -> Iterator[str]:
    """The last mandatory string may lack its NUL, or be missing: some peers do that, and nothing is ambiguous.

    is_first: it is the only field, so nothing before it can have run over the end.
    """
    if not is_first:
        yield "if position > end:"
        yield f"    refuse_length({form.name!r})"
    yield "stop = buffer.find(0, position, end)"
    yield "if stop < 0:"
    yield "    stop = end"
    yield f"if stop - position >= {form.accepted}:"
    yield f"    refuse_string({form.name!r}, {int(form.status)}, buffer, position, end)"
    yield f"{target}.{form.name} = buffer[position:stop]"
    yield "position = stop + 1"


def encoder_source(formats: tuple[FieldFormat, ...]) -> str:
    """The source of encode(pdu): one join of the strings and of the packed runs of integers between them."""
    return _encoder_source("pdu", "", formats, ("pdu.tlvs",))


def row_encoder_source(flag: int | None, formats: tuple[FieldFormat, ...]) -> str:
    """The source of encode(row): its flag, when it has one, and its fields."""
    return _encoder_source("row", "" if flag is None else str(int(flag)), formats, ())


def _encoder_source(target: str, flag: str, formats: tuple[FieldFormat, ...], tail: tuple[str, ...]) -> str:
    if not formats:
        return f"def encode({target}):\n    return {target}.tlvs"
    rare = [form for form in formats if form.is_rare]
    usual = [form for form in formats if not form.is_rare and form.kind is not Kind.INTEGER]
    lines = [f"def encode({target}):"]
    lines += [f"    {form.name} = {target}.{form.name}" for form in formats if form.kind is not Kind.INTEGER]
    if usual:
        lines += [f"    if {' or '.join(_misfit(form) for form in usual)}:", f"        refuse_value({target})"]
    lines += ["    try:"]
    if rare:
        lines += [
            f"        if {' or '.join(form.name for form in rare)}:",
            f"            if {' or '.join(_misfit(form) for form in rare)}:",
            f"                refuse_value({target})",
            f"            return join(({_parts(target, flag, formats, tail, has_rare=True)}))",
        ]
    lines += [
        f"        return join(({_parts(target, flag, formats, tail, has_rare=False)}))",
        "    except (StructError, TypeError):",
        f"        refuse_value({target})",
    ]
    return "\n".join(lines)


def _misfit(form: FieldFormat) -> str:
    """An expression that is true when the value in the variable of that name can not be sent."""
    if form.kind is Kind.C_OCTETS:
        return f"len({form.name}) >= {form.size} or 0 in {form.name}"
    if form.kind is Kind.COUNTED_OCTETS:
        return f"len({form.name}) > {form.size}"
    return f"not {form.rows_min} <= len({form.name}) <= {form.size}"


def _parts(target: str, flag: str, formats: tuple[FieldFormat, ...], tail: tuple[str, ...], *, has_rare: bool) -> str:
    """What is to be joined: strings, and between them integers packed with the NUL of the string before them."""
    parts: list[str] = []
    run: list[str] = [flag] if flag else []
    codes = "B" if flag else ""

    def end_run() -> None:
        nonlocal codes
        if codes == "x":
            parts.append("NUL")
        elif codes:
            parts.append(f"pack_{codes}({', '.join(run)})")
        run.clear()
        codes = ""

    for form in formats:
        if form.kind is Kind.INTEGER:
            run.append(f"{target}.{form.name}")
            codes += _CODES[form.size]
        elif form.kind is Kind.C_OCTETS:
            if has_rare or not form.is_rare:
                end_run()
                parts.append(form.name)
            codes += "x"
        else:
            run.append(f"len({form.name})")
            codes += "B"
            end_run()
            parts.append(form.name if form.kind is Kind.COUNTED_OCTETS else f"write_{form.name}({form.name})")
    end_run()
    return ", ".join((*parts, *tail)) + ","


def rows_decoder_source(form: FieldFormat) -> str:
    """The source of read(buffer, position, end): the rows of a field and the position after them.

    read_row: of the one class that a row may be. readers: by flag, when there are several.
    """
    lines = [
        "def read(buffer, position, end):",
        "    count = buffer[position]",
        f"    if position < end and not {form.rows_min} <= count <= {form.accepted}:",
        f"        refuse_count({form.name!r}, {int(form.status)}, count)",
        "    position += 1",
        "    rows = []",
        "    for _ in range(count):",
        "        if position >= end:",
        f"            refuse_length({form.name!r})",
    ]
    if len(form.rows) > 1:
        lines += [
            "        read_row = readers.get(buffer[position])",
            "        if read_row is None:",
            f"            refuse_flag({form.name!r}, {int(CommandStatus.ESME_RINVDESTFLAG)}, buffer[position])",
            "        row, position = read_row(buffer, position + 1, end)",
        ]
    else:
        lines += ["        row, position = read_row(buffer, position, end)"]
    lines += ["        rows.append(row)", "    return tuple(rows), position"]
    return "\n".join(lines)


def struct_methods(source: str) -> dict[str, Callable[..., Any]]:
    """The methods of a Struct that this source calls, by the names under which it does."""
    methods: dict[str, Callable[..., Any]] = {}
    for match in _STRUCT_NAME.finditer(source):
        count, codes = match.groups()
        methods[match[0]] = struct.Struct(f">{count}B").unpack_from if count else struct.Struct(f">{codes}").pack
    return methods
