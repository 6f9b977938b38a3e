// Pairs of bf16 numbers in a unit of 32 bits, by Arm's BF16 extension. What product_units_bf16.h and
// attention_units.h ask of an instruction set.

#define CK_PAIR_BLOCKS 1

// Adds to each lane the products of two neighbouring numbers: their sum is rounded, and then added.
CK_INLINE vf pair_dot(vf sum, vu a, vu b) {
  return (vf)vbfdotq_f32((float32x4_t)sum, (bfloat16x8_t)a, (bfloat16x8_t)b);
}

// A row's floats, those of `low` and then those of `high`, as its units.
CK_INLINE vu pairs_of_row(vf low, vf high) {
  return (vu)vcvtq_high_bf16_f32(vcvtq_low_bf16_f32((float32x4_t)low), (float32x4_t)high);
}

// The units of two rows as units of their columns: the first half of them, and the second.
CK_INLINE void pairs_in_turn(vu row, vu next, vu *first, vu *second) {
  *first = (vu)vzip1q_u16((uint16x8_t)row, (uint16x8_t)next);
  *second = (vu)vzip2q_u16((uint16x8_t)row, (uint16x8_t)next);
}

// Two rows' floats as a unit for each column.
CK_INLINE vu pairs_of_columns(vf row, vf next) {
  vu both = pairs_of_row(row, next);
  return (vu)vzip1q_u16((uint16x8_t)both, (uint16x8_t)vextq_u16((uint16x8_t)both, (uint16x8_t)both, 4));
}

// Two units of two rows, or of two columns.
CK_INLINE vu pair_block(const uint32_t *row, const uint32_t *next) {
  return (vu)vcombine_u32(vld1_u32(row), vld1_u32(next));
}

// The first two columns of two units, and the last two, as such blocks.
CK_INLINE void units_in_turn(vu unit, vu next, vu *first, vu *second) {
  *first = (vu)vzip1q_u32((uint32x4_t)unit, (uint32x4_t)next);
  *second = (vu)vzip2q_u32((uint32x4_t)unit, (uint32x4_t)next);
}

// Adds to the elements (0, 0), (0, 1), (1, 0), (1, 1) what two rows and two columns give: BFMMLA, which
// is defined as pair_dot by the first unit and then by the second.
CK_INLINE vf pair_blocks_dot(vf sums, vu rows, vu columns) {
  return (vf)vbfmmlaq_f32((float32x4_t)sums, (bfloat16x8_t)rows, (bfloat16x8_t)columns);
}

// Two blocks beside each other as rows.
CK_INLINE void block_rows(vf left, vf right, vf *row, vf *next) {
  *row = (vf)vzip1q_f64((float64x2_t)left, (float64x2_t)right);
  *next = (vf)vzip2q_f64((float64x2_t)left, (float64x2_t)right);
}
