// The products of one to four rows, as when generating, with a matrix whose rows carry the depth.
//
// A number of it is used once a row, so that a panel would be written and read for nothing: squares are
// transposed in registers and multiplied there. Sums go as ck_product.h says, so that a row has the
// same bits as among many.

enum { few_rows = 4 };

// Adds `elements` of the depth, at most a square's, to the sums.
CK_INLINE void add_square(
    vf sums[few_rows], int ROWS, const float *a, int64_t a_stride, const char *b, int64_t row_bytes,
    ck_type type, int rounded, int64_t columns, int64_t elements) {
  vu square[CK_WIDTH];
  load_square(square, b, row_bytes, type, rounded, columns, elements);
#pragma clang loop unroll(full)
  for (int i = 0; i < CK_WIDTH; i++) {
    if (type != ck_bf16) {
      if (i >= elements) continue;
#pragma clang loop unroll(full)
      for (int row = 0; row < ROWS; row++) {
        sums[row] = vf_fma(vf_set(a[row * a_stride + i]), vu_as_float(square[i]), sums[row]);
      }
      continue;
    }
#pragma clang loop unroll(full)
    for (int half = 0; half < 2; half++) {
      if (2 * i + half >= elements) continue;
      vf x = vu_as_float(half == 0 ? square[i] << 16 : square[i] & 0xffff0000u);
#pragma clang loop unroll(full)
      for (int row = 0; row < ROWS; row++) {
        sums[row] = vf_fma(vf_set(a[row * a_stride + 2 * i + half]), x, sums[row]);
      }
    }
  }
}

// Adds the low-rank term of CK_WIDTH columns to the sums.
CK_INLINE void add_term(
    vf sums[few_rows], int ROWS, const ck_product *p, int64_t column, int64_t columns) {
  for (int64_t k = 0; k < p->rank; k++) {
    vf right;
    if (p->right_transposed) {
      float numbers[CK_WIDTH] = {0};
      for (int64_t i = 0; i < columns && i < CK_WIDTH; i++) {
        numbers[i] = p->right[(column + i) * p->right_stride + k];
      }
      right = vf_load(numbers);
    } else {
      right = load_some(p->right + k * p->right_stride + column, columns);
    }
    right = right * vf_set(p->right_scale);
#pragma clang loop unroll(full)
    for (int row = 0; row < ROWS; row++) {
      sums[row] = vf_fma(vf_set(p->left[row * p->left_stride + k]), right, sums[row]);
    }
  }
}

CK_INLINE void multiply_rows_as(
    const ck_product *p, int ROWS, int decodes, ck_type type, int rounded) {
  const ck_stored *stored = &p->b;
  int64_t step = part_units(p->depth), square = type == ck_bf16 ? 2 * CK_WIDTH : CK_WIDTH;
  int64_t size = element_bytes(type), row_bytes = stored->row_bytes;
  const float *a = p->a;
  for (int64_t column = 0; column < p->columns; column += CK_WIDTH) {
    int64_t columns = p->columns - column;
    const char *first =
        decodes ? NULL
                : (const char *)stored->base + (stored->row + column) * row_bytes
                      + stored->element * size;
    for (int64_t start = 0; start == 0 || start < p->depth; start += step) {
      int64_t end = p->depth - start < step ? p->depth : start + step;
      vf sums[few_rows];
#pragma clang loop unroll(full)
      for (int row = 0; row < ROWS; row++) sums[row] = vf_set(0);
      if (decodes) {
        float decoded[CK_WIDTH][decoded_run];
        ck_stored piece = *stored;
        for (int64_t from = start; from < end; from += decoded_run) {
          int64_t elements = end - from < decoded_run ? end - from : decoded_run;
          piece.element = stored->element + from;
          for (int64_t i = 0; i < CK_WIDTH && i < columns; i++) {
            // The rows below, which come from memory.
            prefetch_stored(
                stored->type, stored_row(stored, column + CK_WIDTH + i), piece.element, elements);
            read_stored(decoded[i], &piece, column + i, elements);
          }
          for (int64_t u = 0; u < elements; u += square) {
            add_square(
                sums, ROWS, a + from + u, p->a_stride, (const char *)(decoded[0] + u),
                sizeof decoded[0], type, rounded, columns, elements - u);
          }
        }
      } else {
        int64_t u = start;
        for (; u + square <= end && columns >= CK_WIDTH; u += square) {
          // The rows below, which come from memory.
#pragma clang loop unroll(full)
          for (int i = 0; i < CK_WIDTH; i++) {
            __builtin_prefetch(first + u * size + (i + CK_WIDTH) * row_bytes);
          }
          add_square(
              sums, ROWS, a + u, p->a_stride, first + u * size, row_bytes, type, rounded, CK_WIDTH,
              square);
        }
        for (; u < end; u += square) {
          add_square(
              sums, ROWS, a + u, p->a_stride, first + u * size, row_bytes, type, rounded, columns,
              end - u);
        }
      }
      if (end >= p->depth) add_term(sums, ROWS, p, column, columns);
      vf scale = vf_set(p->scale);
#pragma clang loop unroll(full)
      for (int row = 0; row < ROWS; row++) {
        float *c = p->c + row * p->c_stride + column;
        store_some(
            c,
            p->adding || start > 0 ? vf_fma(scale, sums[row], load_some(c, columns))
                                   : scale * sums[row],
            columns);
      }
    }
  }
}

// Whether these products are for it.
CK_INLINE int takes_few_rows(const ck_product *p) {
  return p->rows <= few_rows && p->b_transposed && !p->a_transposed && !p->c_transposed;
}

static void multiply_few_rows(const ck_product *p) {
#define CK_ROWS(decodes, type, rounded)                                  \
  switch (p->rows) {                                                     \
    case 1: multiply_rows_as(p, 1, decodes, type, rounded); return;      \
    case 2: multiply_rows_as(p, 2, decodes, type, rounded); return;      \
    case 3: multiply_rows_as(p, 3, decodes, type, rounded); return;      \
    case 4: multiply_rows_as(p, 4, decodes, type, rounded); return;      \
    default: return;                                                     \
  }
  switch (p->b.head == 0 ? p->b.type : ck_q4_0) {
    case ck_bf16: CK_ROWS(0, ck_bf16, 0)
    case ck_f16:
      if (p->rounds_b) { CK_ROWS(0, ck_f16, 1) }
      CK_ROWS(0, ck_f16, 0)
    case ck_f32:
      if (p->rounds_b) { CK_ROWS(0, ck_f32, 1) }
      CK_ROWS(0, ck_f32, 0)
    default:
      if (p->rounds_b) { CK_ROWS(1, ck_f32, 1) }
      CK_ROWS(1, ck_f32, 0)
  }
#undef CK_ROWS
}
