"""One listing's book: a ring ladder around the touch, a table of far levels behind it.

Coordinates: `s` is 0 for bids, 1 for asks; `x` is the price in ticks, mirrored for asks, so that larger is better
on both sides and every function here serves both. The ladder covers [low_x, low_x + LADDER); x lives in slot
x mod LADDER, so moving the window moves no memory. `low_x` is a multiple of WORD, so that no occupancy word
straddles the two ends of the window.
"""

import numpy as np

from .jit import bit_length, kernel, routine
from .schema import FAR, LADDER, NO_X, WORD

LADDER_U = np.uint64(LADDER)
SLOT_MASK = LADDER - 1
FAR_MASK = FAR - 1
FAR_MAX = FAR * 3 // 4
DEPTH_SLOTS = LADDER * 3 // 4  # room below the best when the window is centred


@kernel
def highest_bit(word):
    """Index of the highest set bit of word > 0."""
    return bit_length(word) - 1


@kernel
def level_at_or_below(books, listing_id, s, x, low_x):
    """The best occupied x' with low_x <= x' <= x, or NO_X. x must lie below the window's upper end."""
    while x >= low_x:
        slot = x & SLOT_MASK
        bit = slot & (WORD - 1)
        word = books.words[listing_id, s, slot // WORD] & ((2 << bit) - 1)
        if word != 0:
            return x - bit + highest_bit(word)
        x -= bit + 1
    return NO_X


@kernel
def lots_at(books, listing_id, s, x):
    """Lots at an x inside the window."""
    return books.lots[listing_id, s, x & SLOT_MASK]


@kernel
def is_inside(book, s, x):
    """Does the ladder cover x?"""
    return np.uint64(x - book.low_x[s]) < LADDER_U


@kernel
def known_lots(books, book, listing_id, s, x):
    """Lots at any x, as far as the window reaches; 0 outside it."""
    lots = lots_at(books, listing_id, s, x)  # any x has a slot: read first, then choose, and nothing is guessed
    return lots if is_inside(book, s, x) else 0


@kernel
def set_slot(books, listing_id, s, x, lots):
    slot = x & SLOT_MASK
    books.lots[listing_id, s, slot] = lots
    bit = slot & (WORD - 1)
    word = books.words[listing_id, s, slot // WORD]
    books.words[listing_id, s, slot // WORD] = (word & ~(1 << bit)) | ((1 if lots > 0 else 0) << bit)


@kernel
def apply_inside(books, book, listing_id, s, x, lots):
    """Set the lots resting at an x that the ladder covers (0 removes the level)."""
    set_slot(books, listing_id, s, x, lots)
    best_x = book.best_x[s]
    if x > best_x:
        if lots > 0:
            book.best_x[s] = x
    elif ((x - best_x) | lots) == 0:  # the best level is gone: one branch, rarely taken
        book.best_x[s] = level_at_or_below(books, listing_id, s, x, book.low_x[s])


@kernel
def apply_level(books, book, listing_id, s, x, lots):
    """Set the lots resting at any x."""
    if is_inside(book, s, x):
        apply_inside(books, book, listing_id, s, x, lots)
    else:
        apply_outside(books, book, listing_id, s, x, lots)


@routine
def apply_outside(books, book, listing_id, s, x, lots):
    if lots > 0 and x > book.best_x[s]:
        is_ladder_empty = book.best_x[s] == NO_X
        recentre(books, book, listing_id, s, x)
        set_slot(books, listing_id, s, x, lots)
        book.best_x[s] = x
        if is_ladder_empty:  # its levels left earlier in this packet: a far one may be better than x
            recentre_on_best(books, book, listing_id, s)
    elif lots > 0:
        put_far(books, book, listing_id, s, x, lots)
    else:
        take_far(books, book, listing_id, s, x)


@kernel
def settle(books, book, listing_id):
    """After a packet: bring the window back under a touch that ran away from its middle."""
    for s in range(2):
        best_x = book.best_x[s]
        is_thin = best_x != NO_X and best_x - book.low_x[s] < LADDER // 4
        is_empty = best_x == NO_X and book.far_count[s] > 0
        if is_thin or is_empty:
            recentre_on_best(books, book, listing_id, s)


@routine
def recentre_on_best(books, book, listing_id, s):
    best_x = book.best_x[s]
    for i in range(FAR):
        level = books.far[listing_id, s, i]
        if level.lots > 0 and level.price_ticks > best_x:
            best_x = level.price_ticks
    recentre(books, book, listing_id, s, best_x)
    book.best_x[s] = level_at_or_below(books, listing_id, s, book.low_x[s] + LADDER - 1, book.low_x[s])


@routine
def recentre(books, book, listing_id, s, best_x):
    """Move the window so that best_x has DEPTH_SLOTS below it; levels swap between ladder and far table."""
    old_low_x = book.low_x[s]
    new_low_x = (best_x - DEPTH_SLOTS) // WORD * WORD
    book.low_x[s] = new_low_x
    x = level_at_or_below(books, listing_id, s, old_low_x + LADDER - 1, old_low_x)
    while x != NO_X:
        if not new_low_x <= x < new_low_x + LADDER:
            lots = lots_at(books, listing_id, s, x)
            set_slot(books, listing_id, s, x, 0)
            put_far(books, book, listing_id, s, x, lots)
        x = level_at_or_below(books, listing_id, s, x - 1, old_low_x)
    merge_far(books, book, listing_id, s)


@routine
def merge_far(books, book, listing_id, s):
    """Bring every far level that the window now covers into the ladder."""
    low_x = book.low_x[s]
    for i in range(FAR):
        while True:  # deleting may shift another level into this slot
            level = books.far[listing_id, s, i]
            if level.lots == 0 or not low_x <= level.price_ticks < low_x + LADDER:
                break
            set_slot(books, listing_id, s, level.price_ticks, level.lots)
            delete_far_slot(books, book, listing_id, s, i)


@kernel
def far_home(x):
    return ((x & 0x7FFFFFFF) * 40503 >> 7) & FAR_MASK


@routine
def put_far(books, book, listing_id, s, x, lots):
    i = far_home(x)
    while books.far[listing_id, s, i].lots > 0 and books.far[listing_id, s, i].price_ticks != x:
        i = (i + 1) & FAR_MASK
    level = books.far[listing_id, s, i]
    if level.lots == 0:
        if book.far_count[s] >= FAR_MAX:
            book.overflow_count += 1
            book.truncated_x[s] = max(book.truncated_x[s], x)
            return
        book.far_count[s] += 1
    level.price_ticks = x
    level.lots = lots


@routine
def take_far(books, book, listing_id, s, x):
    i = far_home(x)
    while books.far[listing_id, s, i].lots > 0:
        if books.far[listing_id, s, i].price_ticks == x:
            delete_far_slot(books, book, listing_id, s, i)
            return
        i = (i + 1) & FAR_MASK


@routine
def delete_far_slot(books, book, listing_id, s, hole):
    """Remove a far level and close the gap, so that no search ends too early (Knuth 6.4, algorithm R)."""
    book.far_count[s] -= 1
    i = hole
    while True:
        i = (i + 1) & FAR_MASK
        level = books.far[listing_id, s, i]
        if level.lots == 0:
            break
        home = far_home(level.price_ticks)
        if (i - home) & FAR_MASK >= (i - hole) & FAR_MASK:
            moved = books.far[listing_id, s, hole]
            moved.price_ticks = level.price_ticks
            moved.lots = level.lots
            hole = i
    emptied = books.far[listing_id, s, hole]
    emptied.price_ticks = 0
    emptied.lots = 0


@routine
def clear(books, book, listing_id):
    """Empty both sides: what a snapshot does first."""
    for s in range(2):
        low_x = book.low_x[s]
        x = level_at_or_below(books, listing_id, s, low_x + LADDER - 1, low_x)
        while x != NO_X:
            set_slot(books, listing_id, s, x, 0)
            x = level_at_or_below(books, listing_id, s, x - 1, low_x)
        for i in range(FAR):
            level = books.far[listing_id, s, i]
            level.price_ticks = 0
            level.lots = 0
        book.far_count[s] = 0
        book.best_x[s] = NO_X
        book.truncated_x[s] = NO_X


@kernel
def centre(book, s, best_x):
    """Choose the window of an empty side before its first levels arrive."""
    book.low_x[s] = (best_x - DEPTH_SLOTS) // WORD * WORD
