// Units of f32: one element each. What product_body.h asks of a type of operands.

enum { per_unit_f32 = 1 };

CK_INLINE vf accumulate_f32(vf sum, vu a, vu b) {
  return vf_fma(vu_as_float(a), vu_as_float(b), sum);
}

// CK_WIDTH elements as floats, rounded to bf16 where asked; those beyond `count` are 0 and not read.
CK_INLINE vf load_floats(const char *source, ck_type type, int rounded, int64_t count) {
  switch (type) {
    case ck_f32: {
      vf v = load_some(source, count);
      return rounded ? vf_round_bf16(v) : v;
    }
    case ck_f16: {
      vf v = vf_from_half(load_some_halves(source, count));
      return rounded ? vf_round_bf16(v) : v;
    }
    case ck_bf16: return vf_from_bf16(load_some_halves(source, count));
    default: break;
  }
  __builtin_unreachable();
}

// CK_WIDTH neighbouring columns at one unit of the depth, which is one stored row.
CK_INLINE vu load_columns_f32(
    const char *row, const char *next, ck_type type, int rounded, int64_t count) {
  (void)next;
  return vf_units(load_floats(row, type, rounded, count));
}

// Two vectors of columns at once: no faster here.
CK_INLINE int pack_two_f32(
    uint32_t *target, const char *row, const char *next, ck_type type) {
  (void)target, (void)row, (void)next, (void)type;
  return 0;
}

// Units of a stored row that a square takes: twice as many where each lane loads two bf16 numbers,
// which halves the shuffles.
CK_INLINE int64_t square_units_f32(ck_type type) {
  return type == ck_bf16 ? 2 * CK_WIDTH : CK_WIDTH;
}

// CK_WIDTH columns, which are stored rows, as the units of a square: for bf16, two in each lane.
CK_INLINE void load_square(
    vu square[CK_WIDTH], const char *b, int64_t row_bytes, ck_type type, int rounded, int64_t columns,
    int64_t elements) {
#pragma clang loop unroll(full)
  for (int i = 0; i < CK_WIDTH; i++) {
    const char *row = b + i * row_bytes;
    if (i >= columns) {
      square[i] = vu_set(0);
    } else if (type != ck_bf16) {
      square[i] = vf_units(load_floats(row, type, rounded, elements));
    } else if (elements >= 2 * CK_WIDTH) {
      square[i] = vu_load(row);
    } else {
      square[i] = vu_set(0);
      memcpy(&square[i], row, (size_t)elements * 2);
    }
  }
  transpose(square);
}

// Packs CK_WIDTH columns, which are stored rows, by the units of a square, or by as few as
// `elements` fill; columns beyond `columns` become 0. `step` are the units from one to the next.
CK_INLINE void pack_square_f32(
    uint32_t *target, int64_t step, const char *b, int64_t row_bytes, ck_type type, int rounded,
    int64_t columns, int64_t elements) {
  // The rows of the square below, which come from memory.
#pragma clang loop unroll(full)
  for (int i = 0; i < CK_WIDTH; i++) __builtin_prefetch(b + (i + CK_WIDTH) * row_bytes);
  vu rows[CK_WIDTH];
  load_square(rows, b, row_bytes, type, rounded, columns, elements);
#pragma clang loop unroll(full)
  for (int i = 0; i < CK_WIDTH; i++) {
    if (type != ck_bf16) {
      if (i < elements) vu_store(target + i * step, rows[i]);
    } else {
      if (2 * i < elements) vu_store(target + 2 * i * step, rows[i] << 16);
      if (2 * i + 1 < elements) vu_store(target + (2 * i + 1) * step, rows[i] & 0xffff0000u);
    }
  }
}
