// What attention's products multiply: *units* of 32 bits along their depth. Included by
// attention_tile.h once per instruction set.
//
// With CK_PAIRS 0 a unit is a float; products of operands rounded to bf16 are emulated by rounding
// floats. With CK_PAIRS 1 it is two neighbouring bf16 numbers, whose products the processor adds to
// a sum in f32 (pairs_NAME.h); operands are then rounded whenever they become units. A unit travels
// in a float or a lane of `vf` whichever it is.

#if CK_PAIRS

enum { unit_elements = 2 };

CK_INLINE vf multiply_add(vf a, vf b, vf sum) {
  return pair_dot(sum, vf_units(a), vf_units(b));
}

// The units of one row along its elements: those of `low`, then those of `high`.
CK_INLINE vf units_of_row(vf low, vf high) { return vu_as_float(pairs_of_row(low, high)); }

// The units of neighbouring rows, one for each column.
CK_INLINE vf units_of_columns(vf row, vf next) { return vu_as_float(pairs_of_columns(row, next)); }

#else

enum { unit_elements = 1 };

CK_INLINE vf multiply_add(vf a, vf b, vf sum) { return vf_fma(a, b, sum); }

#endif

// How many units hold `elements` elements.
CK_INLINE ptrdiff_t units_of(ptrdiff_t elements) {
  return (elements + unit_elements - 1) / unit_elements;
}

// A number that becomes a factor in f32, where bf16 products are emulated or single.
CK_INLINE vf rounded_factor(vf x, int rounded) { return rounded ? vf_round_bf16(x) : x; }

// Where element (row, column) lies in a tile of `rows` rows, see attention_tile.h.
CK_INLINE ptrdiff_t place(ptrdiff_t rows, ptrdiff_t row, ptrdiff_t column) {
  return column / CK_PANEL * CK_PANEL * rows + row * CK_PANEL + column % CK_PANEL;
}

// A panel of a row, `low` and `high`, as left operand: to the row's units from element `column` on.
CK_INLINE void store_row(
    float *tile, ptrdiff_t rows, ptrdiff_t row, ptrdiff_t column, vf low, vf high, int rounded) {
#if CK_PAIRS
  (void)rounded;
  vf_store(tile + place(rows, row, column / 2), units_of_row(low, high));
#else
  float *to = tile + place(rows, row, column);
  vf_store(to, rounded_factor(low, rounded));
  vf_store(to + CK_WIDTH, rounded_factor(high, rounded));
#endif
}

// CK_WIDTH columns of `unit_elements` rows as right operand, whose depth the rows are.
CK_INLINE void store_columns(
    float *tile, ptrdiff_t units, ptrdiff_t unit, ptrdiff_t column, const vf *rows, int rounded) {
#if CK_PAIRS
  (void)rounded;
  vf_store(tile + place(units, unit, column), units_of_columns(rows[0], rows[1]));
#else
  vf_store(tile + place(units, unit, column), rounded_factor(rows[0], rounded));
#endif
}

// CK_WIDTH columns from `column` on; those that a row of `columns` has not are 0, and so is all
// where `row` is NULL.
CK_INLINE vf load_columns(const float *row, ptrdiff_t column, ptrdiff_t columns) {
  ptrdiff_t left = columns - column;
  if (left <= 0 || row == NULL) return vf_set(0);
  return load_lanes(row + column, least(left, CK_WIDTH));
}

// The two vectors of a panel.
CK_INLINE void load_panel(
    const float *row, ptrdiff_t column, ptrdiff_t columns, vf *low, vf *high) {
  if (row != NULL && column + CK_PANEL <= columns) {
    *low = vf_load(row + column);
    *high = vf_load(row + column + CK_WIDTH);
  } else {
    *low = load_columns(row, column, columns);
    *high = load_columns(row, column + CK_WIDTH, columns);
  }
}

// CK_WIDTH units of a row from unit number `unit` on.
CK_INLINE vf load_units(const float *row, ptrdiff_t unit, ptrdiff_t columns, int rounded) {
#if CK_PAIRS
  (void)rounded;
  vf low, high;
  load_panel(row, 2 * unit, columns, &low, &high);
  return units_of_row(low, high);
#else
  return rounded_factor(load_columns(row, unit, columns), rounded);
#endif
}
