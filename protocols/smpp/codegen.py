"""Source text of encoders and decoders, from the tables of `fields`: `codec` compiles it at import.

The generated code is what one would write by hand for speed: one pass, no call for a field. What it calls when a value
is refused, and the readers and writers of rows, are names that `codec` gives it.
"""

from __future__ import annotations

from collections.abc import Iterator

from protocols.smpp.constants import CommandStatus
from protocols.smpp.fields import FieldFormat, Kind

_CODES = {1: "B", 2: "H", 4: "I"}


def decoder_source(formats: tuple[FieldFormat, ...], *, is_response: bool) -> str:
    """The source of decode(buffer, position, end, command_status, sequence_number): buffer[position:end] is a body.

    One comparison at the end finds an overrun of the integers, because positions only grow and a stray read stays
    inside the buffer or raises IndexError. A response may come without its body.
    """
    last = formats[-1].name if formats else "end"
    may_be_bare = is_response and len(formats) > 1
    lines = [
        "def decode(buffer, position, end, command_status, sequence_number):",
        *(["    if position == end:", "        return bare(command_status, sequence_number)"] if may_be_bare else ()),
        "    pdu = new(cls)",
        "    pdu.command_status = command_status",
        "    pdu.sequence_number = sequence_number",
        "    find = buffer.find",
        "    try:",
        *(f"        {line}" for line in _decoder_lines("pdu", formats, is_last_liberal=True)),
        "    except IndexError:",
        f"        refuse_length({last!r})" if formats else "        raise",
        "    if position > end:",
        f"        refuse_length({last!r})",
        "    pdu.tlvs = buffer[position:end] if position < end else b''",
        "    return pdu",
    ]
    return "\n".join(lines)


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
    offset = 0  # octets of integers since `position` was last moved
    if not formats:
        yield "pass"
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
            if is_last_liberal and form is formats[-1]:
                yield from _last_string_lines(target, form)
            else:
                yield from _string_lines(target, form)
    if offset:
        yield f"position += {offset}"


def _string_lines(target: str, form: FieldFormat) -> Iterator[str]:
    yield "if buffer[position]:"
    yield "    stop = find(0, position, end)"
    yield f"    if not 0 < stop - position < {form.accepted}:"
    yield f"        refuse_string({form.name!r}, {int(form.status)}, buffer, position, end)"
    yield f"    {target}.{form.name} = buffer[position:stop]"
    yield "    position = stop + 1"
    yield "else:"
    yield f"    {target}.{form.name} = b''"
    yield "    position += 1"


def _last_string_lines(target: str, form: FieldFormat) -> Iterator[str]:
    """The last mandatory string may lack its NUL, or be missing: some peers do that, and nothing is ambiguous."""
    yield "if position > end:"
    yield f"    refuse_length({form.name!r})"
    yield "stop = find(0, position, end)"
    yield "if stop < 0:"
    yield "    stop = end"
    yield f"if stop - position >= {form.accepted}:"
    yield f"    refuse_string({form.name!r}, {int(form.status)}, buffer, position, end)"
    yield f"{target}.{form.name} = buffer[position:stop]"
    yield "position = stop + 1 if stop < end else end"


def encoder_source(formats: tuple[FieldFormat, ...]) -> str:
    """The source of encode(pdu): one join of the strings and of the packed runs of integers between them."""
    return _encoder_source("pdu", "", formats, ("pdu.tlvs",))


def row_encoder_source(flag: int | None, formats: tuple[FieldFormat, ...]) -> str:
    """The source of encode(row): its flag, when it has one, and its fields."""
    return _encoder_source("row", "" if flag is None else str(int(flag)), formats, ())


def _encoder_source(target: str, flag: str, formats: tuple[FieldFormat, ...], tail: tuple[str, ...]) -> str:
    setup: list[str] = []
    checks: list[str] = []
    parts: list[str] = []
    run: list[str] = [flag] if flag else []
    codes = "B" if flag else ""

    def end_run() -> None:
        nonlocal codes
        if run:
            parts.append(f"pack('>{codes}', {', '.join(run)})")
            run.clear()
            codes = ""

    for form in formats:
        name = form.name
        if form.kind is Kind.INTEGER:
            run.append(f"{target}.{name}")
            codes += _CODES[form.size]
            continue
        setup.append(f"{name} = {target}.{name}")
        if form.kind is Kind.C_OCTETS:
            checks.append(f"len({name}) >= {form.size} or 0 in {name}")
            end_run()
            parts += [name, "NUL"]
            continue
        run.append(f"len({name})")
        codes += "B"
        end_run()
        if form.kind is Kind.COUNTED_OCTETS:
            checks.append(f"len({name}) > {form.size}")
            parts.append(name)
        else:
            checks.append(f"not {form.rows_min} <= len({name}) <= {form.size}")
            parts.append(f"write_{name}({name})")
    end_run()
    if not formats:
        return "def encode(pdu):\n    return pdu.tlvs"
    lines = [f"def encode({target}):", *(f"    {line}" for line in setup)]
    if checks:
        lines += [f"    if {' or '.join(checks)}:", f"        refuse_value({target})"]
    lines += [
        "    try:",
        f"        return join(({', '.join((*parts, *tail))},))",
        "    except (StructError, TypeError):",
        f"        refuse_value({target})",
    ]
    return "\n".join(lines)


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
