"""The national language tables of 3GPP TS 23.038 annex A, as data: locking shift (A.3) and single shift (A.2).

A locking shift table takes the place of the default alphabet, a single shift table that of its extension. Rows are as
the annex prints them, sixteen septets to a line: a character by itself, or its code point in four hexadecimal digits;
SP, LF, CR, FF and ESC by name; -- where the table is empty.

Deviation: Kannada's 0x24 is U+0CA1. The annex prints U+0CAA, which is 0x3D already; phones read it as we do.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final

EMPTY: Final = "\ufffe"
"""Stands in a table where it has no character; what codecs.charmap_decode reads as undefined."""


class Language(IntEnum):
    """National language identifiers (3GPP TS 23.038 section 6.2.1.2.4), the value of elements 0x24 and 0x25."""

    TURKISH = 1
    SPANISH = 2
    PORTUGUESE = 3
    BENGALI = 4
    GUJARATI = 5
    HINDI = 6
    KANNADA = 7
    MALAYALAM = 8
    ORIYA = 9
    PUNJABI = 10
    TAMIL = 11
    TELUGU = 12
    URDU = 13


_NAMED: Final = {"SP": " ", "LF": "\n", "CR": "\r", "FF": "\f", "ESC": "\x1b", "--": EMPTY}


def _character(token: str) -> str:
    return token if len(token) == 1 else _NAMED.get(token) or chr(int(token, 16))


def _table(rows: str) -> str:
    return "".join(map(_character, rows.split()))


def _extension(*places: str) -> dict[int, str]:
    pairs = (place.split(":", 1) for place in " ".join(places).split())
    return {int(septet, 16): _character(token) for septet, token in pairs}


_SYMBOLS: Final = r"0A:FF 14:^ 28:{ 29:} 2F:\ 3C:[ 3D:~ 3E:] 40:|"
"""In every extension."""

_INDIC_SYMBOLS: Final = r"""
00:@ 01:£ 02:$ 03:¥ 04:¿ 05:" 06:¤ 07:% 08:& 09:' 0B:*
0C:+ 0E:- 0F:/ 10:< 11:= 12:> 13:¡ 15:¡ 16:_ 17:# 18:*
41:A 42:B 43:C 44:D 45:E 46:F 47:G 48:H 49:I 4A:J 4B:K 4C:L 4D:M 4E:N 4F:O
50:P 51:Q 52:R 53:S 54:T 55:U 56:V 57:W 58:X 59:Y 5A:Z 65:20AC
"""
"""What the locking tables of annex A.3.4 to A.3.13 have no place for. `*` and `¡` stand there twice."""

LOCKING: Final[dict[int, str]] = {
    Language.TURKISH: _table(
        r"""
    @ £ $ ¥ 20AC é ù 0131 ò Ç LF 011E 011F CR Å å
    0394 _ 03A6 0393 039B 03A9 03A0 03A8 03A3 0398 039E ESC 015E 015F ß É
    SP ! " # ¤ % & ' ( ) * + , - . /
    0 1 2 3 4 5 6 7 8 9 : ; < = > ?
    0130 A B C D E F G H I J K L M N O
    P Q R S T U V W X Y Z Ä Ö Ñ Ü §
    ç a b c d e f g h i j k l m n o
    p q r s t u v w x y z ä ö ñ ü à
"""
    ),
    Language.PORTUGUESE: _table(
        r"""
    @ £ $ ¥ ê é ú í ó ç LF Ô ô CR Á á
    0394 _ ª Ç À 221E ^ \ 20AC Ó | ESC Â â Ê É
    SP ! " # º % & ' ( ) * + , - . /
    0 1 2 3 4 5 6 7 8 9 : ; < = > ?
    Í A B C D E F G H I J K L M N O
    P Q R S T U V W X Y Z Ã Õ Ú Ü §
    ~ a b c d e f g h i j k l m n o
    p q r s t u v w x y z ã õ ` ü à
"""
    ),
    Language.BENGALI: _table(
        r"""
    0981 0982 0983 0985 0986 0987 0988 0989 098A 098B LF 098C -- CR -- 098F
    0990 -- -- 0993 0994 0995 0996 0997 0998 0999 099A ESC 099B 099C 099D 099E
    SP ! 099F 09A0 09A1 09A2 09A3 09A4 ) ( 09A5 09A6 , 09A7 . 09A8
    0 1 2 3 4 5 6 7 8 9 : ; -- 09AA 09AB ?
    09AC 09AD 09AE 09AF 09B0 -- 09B2 -- -- -- 09B6 09B7 09B8 09B9 09BC 09BD
    09BE 09BF 09C0 09C1 09C2 09C3 09C4 -- -- 09C7 09C8 -- -- 09CB 09CC 09CD
    09CE a b c d e f g h i j k l m n o
    p q r s t u v w x y z 09D7 09DC 09DD 09F0 09F1
"""
    ),
    Language.GUJARATI: _table(
        r"""
    0A81 0A82 0A83 0A85 0A86 0A87 0A88 0A89 0A8A 0A8B LF 0A8C 0A8D CR -- 0A8F
    0A90 0A91 -- 0A93 0A94 0A95 0A96 0A97 0A98 0A99 0A9A ESC 0A9B 0A9C 0A9D 0A9E
    SP ! 0A9F 0AA0 0AA1 0AA2 0AA3 0AA4 ) ( 0AA5 0AA6 , 0AA7 . 0AA8
    0 1 2 3 4 5 6 7 8 9 : ; -- 0AAA 0AAB ?
    0AAC 0AAD 0AAE 0AAF 0AB0 -- 0AB2 0AB3 -- 0AB5 0AB6 0AB7 0AB8 0AB9 0ABC 0ABD
    0ABE 0ABF 0AC0 0AC1 0AC2 0AC3 0AC4 0AC5 -- 0AC7 0AC8 0AC9 -- 0ACB 0ACC 0ACD
    0AD0 a b c d e f g h i j k l m n o
    p q r s t u v w x y z 0AE0 0AE1 0AE2 0AE3 0AF1
"""
    ),
    Language.HINDI: _table(
        r"""
    0901 0902 0903 0905 0906 0907 0908 0909 090A 090B LF 090C 090D CR 090E 090F
    0910 0911 0912 0913 0914 0915 0916 0917 0918 0919 091A ESC 091B 091C 091D 091E
    SP ! 091F 0920 0921 0922 0923 0924 ) ( 0925 0926 , 0927 . 0928
    0 1 2 3 4 5 6 7 8 9 : ; 0929 092A 092B ?
    092C 092D 092E 092F 0930 0931 0932 0933 0934 0935 0936 0937 0938 0939 093C 093D
    093E 093F 0940 0941 0942 0943 0944 0945 0946 0947 0948 0949 094A 094B 094C 094D
    0950 a b c d e f g h i j k l m n o
    p q r s t u v w x y z 0972 097B 097C 097E 097F
"""
    ),
    Language.KANNADA: _table(
        r"""
    -- 0C82 0C83 0C85 0C86 0C87 0C88 0C89 0C8A 0C8B LF 0C8C -- CR 0C8E 0C8F
    0C90 -- 0C92 0C93 0C94 0C95 0C96 0C97 0C98 0C99 0C9A ESC 0C9B 0C9C 0C9D 0C9E
    SP ! 0C9F 0CA0 0CA1 0CA2 0CA3 0CA4 ) ( 0CA5 0CA6 , 0CA7 . 0CA8
    0 1 2 3 4 5 6 7 8 9 : ; -- 0CAA 0CAB ?
    0CAC 0CAD 0CAE 0CAF 0CB0 0CB1 0CB2 0CB3 -- 0CB5 0CB6 0CB7 0CB8 0CB9 0CBC 0CBD
    0CBE 0CBF 0CC0 0CC1 0CC2 0CC3 0CC4 -- 0CC6 0CC7 0CC8 -- 0CCA 0CCB 0CCC 0CCD
    0CD5 a b c d e f g h i j k l m n o
    p q r s t u v w x y z 0CD6 0CE0 0CE1 0CE2 0CE3
"""
    ),
    Language.MALAYALAM: _table(
        r"""
    -- 0D02 0D03 0D05 0D06 0D07 0D08 0D09 0D0A 0D0B LF 0D0C -- CR 0D0E 0D0F
    0D10 -- 0D12 0D13 0D14 0D15 0D16 0D17 0D18 0D19 0D1A ESC 0D1B 0D1C 0D1D 0D1E
    SP ! 0D1F 0D20 0D21 0D22 0D23 0D24 ) ( 0D25 0D26 , 0D27 . 0D28
    0 1 2 3 4 5 6 7 8 9 : ; -- 0D2A 0D2B ?
    0D2C 0D2D 0D2E 0D2F 0D30 0D31 0D32 0D33 0D34 0D35 0D36 0D37 0D38 0D39 -- 0D3D
    0D3E 0D3F 0D40 0D41 0D42 0D43 0D44 -- 0D46 0D47 0D48 -- 0D4A 0D4B 0D4C 0D4D
    0D57 a b c d e f g h i j k l m n o
    p q r s t u v w x y z 0D60 0D61 0D62 0D63 0D79
"""
    ),
    Language.ORIYA: _table(
        r"""
    0B01 0B02 0B03 0B05 0B06 0B07 0B08 0B09 0B0A 0B0B LF 0B0C -- CR -- 0B0F
    0B10 -- -- 0B13 0B14 0B15 0B16 0B17 0B18 0B19 0B1A ESC 0B1B 0B1C 0B1D 0B1E
    SP ! 0B1F 0B20 0B21 0B22 0B23 0B24 ) ( 0B25 0B26 , 0B27 . 0B28
    0 1 2 3 4 5 6 7 8 9 : ; -- 0B2A 0B2B ?
    0B2C 0B2D 0B2E 0B2F 0B30 -- 0B32 0B33 -- 0B35 0B36 0B37 0B38 0B39 0B3C 0B3D
    0B3E 0B3F 0B40 0B41 0B42 0B43 0B44 -- -- 0B47 0B48 -- -- 0B4B 0B4C 0B4D
    0B56 a b c d e f g h i j k l m n o
    p q r s t u v w x y z 0B57 0B60 0B61 0B62 0B63
"""
    ),
    Language.PUNJABI: _table(
        r"""
    0A01 0A02 0A03 0A05 0A06 0A07 0A08 0A09 0A0A -- LF -- -- CR -- 0A0F
    0A10 -- -- 0A13 0A14 0A15 0A16 0A17 0A18 0A19 0A1A ESC 0A1B 0A1C 0A1D 0A1E
    SP ! 0A1F 0A20 0A21 0A22 0A23 0A24 ) ( 0A25 0A26 , 0A27 . 0A28
    0 1 2 3 4 5 6 7 8 9 : ; -- 0A2A 0A2B ?
    0A2C 0A2D 0A2E 0A2F 0A30 -- 0A32 0A33 -- 0A35 0A36 -- 0A38 0A39 0A3C --
    0A3E 0A3F 0A40 0A41 0A42 -- -- -- -- 0A47 0A48 -- -- 0A4B 0A4C 0A4D
    0A51 a b c d e f g h i j k l m n o
    p q r s t u v w x y z 0A70 0A71 0A72 0A73 0A74
"""
    ),
    Language.TAMIL: _table(
        r"""
    -- 0B82 0B83 0B85 0B86 0B87 0B88 0B89 0B8A -- LF -- -- CR 0B8E 0B8F
    0B90 -- 0B92 0B93 0B94 0B95 -- -- -- 0B99 0B9A ESC -- 0B9C -- 0B9E
    SP ! 0B9F -- -- -- 0BA3 0BA4 ) ( -- -- , -- . 0BA8
    0 1 2 3 4 5 6 7 8 9 : ; 0BA9 0BAA -- ?
    -- -- 0BAE 0BAF 0BB0 0BB1 0BB2 0BB3 0BB4 0BB5 0BB6 0BB7 0BB8 0BB9 -- --
    0BBE 0BBF 0BC0 0BC1 0BC2 -- -- -- 0BC6 0BC7 0BC8 -- 0BCA 0BCB 0BCC 0BCD
    0BD0 a b c d e f g h i j k l m n o
    p q r s t u v w x y z 0BD7 0BF0 0BF1 0BF2 0BF9
"""
    ),
    Language.TELUGU: _table(
        r"""
    0C01 0C02 0C03 0C05 0C06 0C07 0C08 0C09 0C0A 0C0B LF 0C0C -- CR 0C0E 0C0F
    0C10 -- 0C12 0C13 0C14 0C15 0C16 0C17 0C18 0C19 0C1A ESC 0C1B 0C1C 0C1D 0C1E
    SP ! 0C1F 0C20 0C21 0C22 0C23 0C24 ) ( 0C25 0C26 , 0C27 . 0C28
    0 1 2 3 4 5 6 7 8 9 : ; -- 0C2A 0C2B ?
    0C2C 0C2D 0C2E 0C2F 0C30 0C31 0C32 0C33 -- 0C35 0C36 0C37 0C38 0C39 -- 0C3D
    0C3E 0C3F 0C40 0C41 0C42 0C43 0C44 -- 0C46 0C47 0C48 -- 0C4A 0C4B 0C4C 0C4D
    0C55 a b c d e f g h i j k l m n o
    p q r s t u v w x y z 0C56 0C60 0C61 0C62 0C63
"""
    ),
    Language.URDU: _table(
        r"""
    0627 0622 0628 067B 0680 067E 06A6 062A 06C2 067F LF 0679 067D CR 067A 067C
    062B 062C 0681 0684 0683 0685 0686 0687 062D 062E 062F ESC 068C 0688 0689 068A
    SP ! 068F 068D 0630 0631 0691 0693 ) ( 0699 0632 , 0696 . 0698
    0 1 2 3 4 5 6 7 8 9 : ; 069A 0633 0634 ?
    0635 0636 0637 0638 0639 0641 0642 06A9 06AA 06AB 06AF 06B3 06B1 0644 0645 0646
    06BA 06BB 06BC 0648 06C4 06D5 06C1 06BE 0621 06CC 06D0 06D2 064D 0650 064F 0657
    0654 a b c d e f g h i j k l m n o
    p q r s t u v w x y z 0655 0651 0653 0656 0670
"""
    ),
}
"""By language identifier: 128 characters by septet. Spanish has none."""

SINGLE_SHIFT: Final[dict[int, dict[int, str]]] = {
    Language.TURKISH: _extension(
        _SYMBOLS,
        r"""
    47:011E 49:0130 53:015E 63:ç 65:20AC 67:011F 69:0131 73:015F
""",
    ),
    Language.SPANISH: _extension(
        _SYMBOLS,
        r"""
    09:ç 41:Á 49:Í 4F:Ó 55:Ú 61:á 65:20AC 69:í 6F:ó 75:ú
""",
    ),
    Language.PORTUGUESE: _extension(
        _SYMBOLS,
        r"""
    05:ê 09:ç 0B:Ô 0C:ô 0E:Á 0F:á 12:03A6 13:0393 15:03A9 16:03A0 17:03A8 18:03A3 19:0398 1F:Ê 41:À 49:Í
    4F:Ó 55:Ú 5B:Ã 5C:Õ 61:Â 65:20AC 69:í 6F:ó 75:ú 7B:ã 7C:õ 7F:â
""",
    ),
    Language.BENGALI: _extension(
        _SYMBOLS,
        _INDIC_SYMBOLS,
        r"""
    19:09E6 1A:09E7 1C:09E8 1D:09E9 1E:09EA 1F:09EB 20:09EC 21:09ED 22:09EE 23:09EF 24:09DF 25:09E0
    26:09E1 27:09E2 2A:09E3 2B:09F2 2C:09F3 2D:09F4 2E:09F5 30:09F6 31:09F7 32:09F8 33:09F9 34:09FA
""",
    ),
    Language.GUJARATI: _extension(
        _SYMBOLS,
        _INDIC_SYMBOLS,
        r"""
    19:0964 1A:0965 1C:0AE6 1D:0AE7 1E:0AE8 1F:0AE9 20:0AEA 21:0AEB 22:0AEC 23:0AED 24:0AEE 25:0AEF
""",
    ),
    Language.HINDI: _extension(
        _SYMBOLS,
        _INDIC_SYMBOLS,
        r"""
    19:0964 1A:0965 1C:0966 1D:0967 1E:0968 1F:0969 20:096A 21:096B 22:096C 23:096D 24:096E 25:096F
    26:0951 27:0952 2A:0953 2B:0954 2C:0958 2D:0959 2E:095A 30:095B 31:095C 32:095D 33:095E 34:095F
    35:0960 36:0961 37:0962 38:0963 39:0970 3A:0971
""",
    ),
    Language.KANNADA: _extension(
        _SYMBOLS,
        _INDIC_SYMBOLS,
        r"""
    19:0964 1A:0965 1C:0CE6 1D:0CE7 1E:0CE8 1F:0CE9 20:0CEA 21:0CEB 22:0CEC 23:0CED 24:0CEE 25:0CEF
    26:0CDE 27:0CF1 2A:0CF2
""",
    ),
    Language.MALAYALAM: _extension(
        _SYMBOLS,
        _INDIC_SYMBOLS,
        r"""
    19:0964 1A:0965 1C:0D66 1D:0D67 1E:0D68 1F:0D69 20:0D6A 21:0D6B 22:0D6C 23:0D6D 24:0D6E 25:0D6F
    26:0D70 27:0D71 2A:0D72 2B:0D73 2C:0D74 2D:0D75 2E:0D7A 30:0D7B 31:0D7C 32:0D7D 33:0D7E 34:0D7F
""",
    ),
    Language.ORIYA: _extension(
        _SYMBOLS,
        _INDIC_SYMBOLS,
        r"""
    19:0964 1A:0965 1C:0B66 1D:0B67 1E:0B68 1F:0B69 20:0B6A 21:0B6B 22:0B6C 23:0B6D 24:0B6E 25:0B6F
    26:0B5C 27:0B5D 2A:0B5F 2B:0B70 2C:0B71
""",
    ),
    Language.PUNJABI: _extension(
        _SYMBOLS,
        _INDIC_SYMBOLS,
        r"""
    19:0964 1A:0965 1C:0A66 1D:0A67 1E:0A68 1F:0A69 20:0A6A 21:0A6B 22:0A6C 23:0A6D 24:0A6E 25:0A6F
    26:0A59 27:0A5A 2A:0A5B 2B:0A5C 2C:0A5E 2D:0A75
""",
    ),
    Language.TAMIL: _extension(
        _SYMBOLS,
        _INDIC_SYMBOLS,
        r"""
    19:0964 1A:0965 1C:0BE6 1D:0BE7 1E:0BE8 1F:0BE9 20:0BEA 21:0BEB 22:0BEC 23:0BED 24:0BEE 25:0BEF
    26:0BF3 27:0BF4 2A:0BF5 2B:0BF6 2C:0BF7 2D:0BF8 2E:0BFA
""",
    ),
    Language.TELUGU: _extension(
        _SYMBOLS,
        _INDIC_SYMBOLS,
        r"""
    1C:0C66 1D:0C67 1E:0C68 1F:0C69 20:0C6A 21:0C6B 22:0C6C 23:0C6D 24:0C6E 25:0C6F 26:0C58 27:0C59
    2A:0C78 2B:0C79 2C:0C7A 2D:0C7B 2E:0C7C 30:0C7D 31:0C7E 32:0C7F
""",
    ),
    Language.URDU: _extension(
        _SYMBOLS,
        _INDIC_SYMBOLS,
        r"""
    19:0600 1A:0601 1C:06F0 1D:06F1 1E:06F2 1F:06F3 20:06F4 21:06F5 22:06F6 23:06F7 24:06F8 25:06F9
    26:060C 27:060D 2A:060E 2B:060F 2C:0610 2D:0611 2E:0612 30:0613 31:0614 32:061B 33:061F 34:0640
    35:0652 36:0658 37:066B 38:066C 39:0672 3A:0673 3B:06CD 3F:06D4
""",
    ),
}
"""By language identifier: what an escape before a septet means."""
