// The row of a position in a layer's cache, as KvSlots::row() gives it: in a slot's ring (sliding layers) or in a page
// (global layers). The kernel binds `pages` [slots, PAGES_PER_SLOT].
fn kv_row(slot: u32, position: u32) -> u32 {
  if (RING > 0u) { return slot * RING + position % max(RING, 1u); }
  return pages[slot * PAGES_PER_SLOT + position / PAGE_ROWS] * PAGE_ROWS + position % PAGE_ROWS;
}
