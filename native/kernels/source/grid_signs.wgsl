// grid_signs: the eight signs that seven stored bits stand for, 1 for minus. The number of minuses is even.
fn grid_signs(stored: u32) -> u32 { return stored | ((countOneBits(stored) & 1u) << 7u); }
