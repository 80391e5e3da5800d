// The row of a position in a layer's cache: a ring's in a sliding layer, a page's in a global one (KvSlots::row()).
// The kernel binds `pages`, [slots, PAGES_PER_SLOT].
fn kv_row(slot: u32, position: u32) -> u32 {
  if (RING > 0u) { return slot * RING + position % max(RING, 1u); }
  return pages[slot * PAGES_PER_SLOT + position / PAGE_ROWS] * PAGE_ROWS + position % PAGE_ROWS;
}
