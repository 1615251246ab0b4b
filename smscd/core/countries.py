"""The country that a telephone number belongs to, by the longest calling code or range that it starts with.

A plain table of ITU-T E.164 calling codes, and of the ranges inside those that several countries share. In +1 what no
other country is listed for is the United States, which gets most of the new area codes; islands whose mobile numbers
cannot be told from the mainland's (Aland, Saint Barthelemy, Christmas Island) count as the mainland.
"""

from __future__ import annotations

from typing import Final

from smscd.core.prefix_table import PrefixTable

UNKNOWN: Final = ""
"""No country: a code that nobody has, a satellite or global network (+870, +881, +882, +883), no number at all."""

_WHOLE_CODES: Final = (
    "US 1 RU 7 EG 20 ZA 27 GR 30 NL 31 BE 32 FR 33 ES 34 HU 36 IT 39 RO 40 CH 41 AT 43 GB 44 DK 45 SE 46 NO 47 PL 48 "
    "DE 49 PE 51 MX 52 CU 53 AR 54 BR 55 CL 56 CO 57 VE 58 MY 60 AU 61 ID 62 PH 63 NZ 64 SG 65 TH 66 JP 81 KR 82 VN 84 "
    "CN 86 TR 90 IN 91 PK 92 AF 93 LK 94 MM 95 IR 98 SS 211 MA 212 DZ 213 TN 216 LY 218 GM 220 SN 221 MR 222 ML 223 "
    "GN 224 CI 225 BF 226 NE 227 TG 228 BJ 229 MU 230 LR 231 SL 232 GH 233 NG 234 TD 235 CF 236 CM 237 CV 238 ST 239 "
    "GQ 240 GA 241 CG 242 CD 243 AO 244 GW 245 IO 246 SH 247 SC 248 SD 249 RW 250 ET 251 SO 252 DJ 253 KE 254 TZ 255 "
    "UG 256 BI 257 MZ 258 ZM 260 MG 261 RE 262 ZW 263 NA 264 MW 265 LS 266 BW 267 SZ 268 KM 269 SH 290 ER 291 AW 297 "
    "FO 298 GL 299 GI 350 PT 351 LU 352 IE 353 IS 354 AL 355 MT 356 CY 357 FI 358 BG 359 LT 370 LV 371 EE 372 MD 373 "
    "AM 374 BY 375 AD 376 MC 377 SM 378 VA 379 UA 380 RS 381 ME 382 XK 383 HR 385 SI 386 BA 387 MK 389 CZ 420 SK 421 "
    "LI 423 FK 500 BZ 501 GT 502 SV 503 HN 504 NI 505 CR 506 PA 507 PM 508 HT 509 GP 590 BO 591 GY 592 EC 593 GF 594 "
    "PY 595 MQ 596 SR 597 UY 598 CW 599 TL 670 NF 672 BN 673 NR 674 PG 675 TO 676 SB 677 VU 678 FJ 679 PW 680 WF 681 "
    "CK 682 NU 683 WS 685 KI 686 NC 687 TV 688 PF 689 TK 690 FM 691 MH 692 KP 850 HK 852 MO 853 KH 855 LA 856 BD 880 "
    "TW 886 MV 960 LB 961 JO 962 SY 963 IQ 964 KW 965 SA 966 YE 967 OM 968 PS 970 AE 971 IL 972 BH 973 QA 974 BT 975 "
    "MN 976 NP 977 TJ 992 TM 993 AZ 994 GE 995 KG 996 UZ 998"
)
_RANGES: Final = (
    ("CA", "1", "204 226 236 249 250 257 263 273 289 306 343 354 365 367 368 382 403 416 418 428 431 437 438 450 468"),
    ("CA", "1", "474 506 514 519 548 579 581 584 587 600 604 613 622 633 639 647 672 683 705 709 742 753 778 780 782"),
    ("CA", "1", "807 819 825 867 873 879 902 905 942"),
    ("AG", "1", "268"),
    ("AI", "1", "264"),
    ("AS", "1", "684"),
    ("BB", "1", "246"),
    ("BM", "1", "441"),
    ("BS", "1", "242"),
    ("DM", "1", "767"),
    ("DO", "1", "809 829 849"),
    ("GD", "1", "473"),
    ("GU", "1", "671"),
    ("JM", "1", "658 876"),
    ("KN", "1", "869"),
    ("KY", "1", "345"),
    ("LC", "1", "758"),
    ("MP", "1", "670"),
    ("MS", "1", "664"),
    ("PR", "1", "787 939"),
    ("SX", "1", "721"),
    ("TC", "1", "649"),
    ("TT", "1", "868"),
    ("VC", "1", "784"),
    ("VG", "1", "284"),
    ("VI", "1", "340"),
    ("KZ", "7", "6 7"),
    ("VA", "39", "06698"),
    ("GG", "44", "1481 7781 7839 79111 79117"),
    ("IM", "44", "1624 74576 7524 7624 7924"),
    ("JE", "44", "1534 7509 77003 77007 77008 7797 7829 7937"),
    ("SJ", "47", "79"),
    ("CC", "61", "89162"),
    ("CX", "61", "89164"),
    ("EH", "212", "5288 5289"),
    ("YT", "262", "268 269 639 709"),
    ("AX", "358", "18"),
    ("BQ", "599", "3 4 7"),
)


def _every_prefix() -> dict[str, str]:
    words = _WHOLE_CODES.split()
    prefixes = dict(zip(words[1::2], words[::2], strict=True))
    for country, code, starts in _RANGES:
        prefixes.update((code + start, country) for start in starts.split())
    return prefixes


PREFIXES: Final = _every_prefix()
"""Country (ISO 3166-1 alpha-2; XK for Kosovo) by calling code or range."""

PREFIX_DIGITS_MAX: Final = max(map(len, PREFIXES))
"""Digits that are enough to tell the country of a number; those after them change nothing."""

_TABLE: Final = PrefixTable(PREFIXES.items())


def country_of(digits: str) -> str:
    """The ISO 3166-1 alpha-2 country of an international number, `UNKNOWN` when no country has its code.

    digits: E.164 without "+", or as much of it as there is.
    """
    return _TABLE.find(digits.encode()) or UNKNOWN
