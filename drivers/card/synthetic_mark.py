"""How a virtual card says that nobody real stands behind it: one question no real card answers this way.

A recorder asks it before it keeps anything in clear. Real cards know neither class nor object and refuse.
"""

QUESTION = bytes.fromhex("80CA5A5500")
ANSWER = b"mpos-agent: synthetic, nobody"
