"""Files that mean harm, by subject: what each does, to which reader, and the reason that must be given.

Small ones that a person can read lie in `../corpus`, as do the fuzzer's finds; the others are made here.
"""

from tests.hostile.attacks import archives, exports, photos, pickles, styles, svg, weights

ATTACKS = {
    name: attack
    for subject in (svg, styles, photos, pickles, archives, weights, exports)
    for name, attack in subject.ATTACKS.items()
}
"""By "reader: what it does"."""
