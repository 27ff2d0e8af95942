"""Known answers of Philox4x32-10 (used by generate.py).

The vectors are the three "philox4x32 10" lines of tests/kat_vectors in Random123 (D. E. Shaw Research). The
function is written from the paper, J. K. Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011,
and must reproduce them: a slip in copying would show.
"""
# counter, key, output
VECTORS = [
    ("00000000 00000000 00000000 00000000", "00000000 00000000", "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
    ("ffffffff ffffffff ffffffff ffffffff", "ffffffff ffffffff", "408f276d 41c83b0e a20bc7c6 6d5451fd"),
    ("243f6a88 85a308d3 13198a2e 03707344", "a4093822 299f31d0", "d16cfe09 94fdcceb 5001e420 24126ea1"),
]
MULTIPLIER = 0xD2511F53, 0xCD9E8D57
WEYL = 0x9E3779B9, 0xBB67AE85
MASK = 0xFFFFFFFF


def philox4x32(counter, key, rounds=10):
    c0, c1, c2, c3 = counter
    k0, k1 = key
    for _ in range(rounds):
        p0, p1 = MULTIPLIER[0] * c0, MULTIPLIER[1] * c2
        c0, c1, c2, c3 = (p1 >> 32) ^ c1 ^ k0, p1 & MASK, (p0 >> 32) ^ c3 ^ k1, p0 & MASK
        k0, k1 = (k0 + WEYL[0]) & MASK, (k1 + WEYL[1]) & MASK
    return c0, c1, c2, c3


def words(text):
    return tuple(int(w, 16) for w in text.split())


def file_text():
    rows = []
    for counter, key, out in VECTORS:
        assert philox4x32(words(counter), words(key)) == words(out)
        fields = [f'"{name}": {list(words(text))}' for name, text in
                  (("counter", counter), ("key", key), ("out", out))]
        rows.append("  {" + ", ".join(fields) + "}")
    return ('{"op": "philox4x32", "rounds": 10,\n'
            ' "source": "Random123 tests/kat_vectors, philox4x32 10",\n "vectors": [\n'
            + ",\n".join(rows) + "\n ]}\n")
