// Kernels of attention: see attention_body.h and attention_backward_body.h.
#pragma once

#include "ck_matrix.h"

// Everything a call of attention knows; its blocks share it.
//
// N query heads share K key/value heads, D floats a head; sequence s has the query rows
// query_offsets[s] ..< query_offsets[s + 1] and likewise its key rows. Its queries are the last of
// its keys, and see the keys up to their own, the last `window` of them where it is not 0. The
// prefix stands in front of every sequence, as keys before its first; gated rows are seen by all.
typedef struct {
  ck_matrix query, key, value;                // [Tq, N D], [Tk, K D], [Tk, K D]
  ck_matrix prefix_key, prefix_value;         // [P, K D]
  ptrdiff_t prefix_count;                     // P
  const int32_t *_Nullable query_offsets, *_Nullable key_offsets;
  ptrdiff_t sequence_count;
  ptrdiff_t heads, key_value_heads, head_dim, window;
  float scale;
  float soft_cap;            // scores are soft_cap tanh(score / soft_cap) where it is not 0
  int rounded;               // Products have operands rounded to bf16, and sums in f32.
  ptrdiff_t scratch_floats;  // of a block, at least ck_attention_scratch
  ck_matrix out, log_sum_exp;                 // [Tq, N D], [Tq, N]
  // Gated: out += gate * attention, log_sum_exp is not kept, backward computes it again.
  int gated;
  float gate;
  // Backward.
  ck_matrix d_out, d_query, d_key, d_value, d_prefix_key, d_prefix_value;
  double *_Nullable gate_sums;                // [K]; sum of d_out * attention, head by head
} ck_attention;

// Query rows (positions times heads of a group) and keys of a tile. 96 rows are whole strips of 6
// for groups of 1, 2, 3, 4, 6, 8 and 16 heads; with D = 64 a pair of tiles is 180 KiB, which
// second-level caches hold.
enum { ck_attention_rows = 96, ck_attention_keys = 64 };

// Positions in a query tile, of `group` heads each (at most ck_attention_rows).
static inline ptrdiff_t ck_attention_positions(ptrdiff_t group) {
  return ck_attention_rows / group;
}

// Floats of scratch memory that a block needs at least. With more of it the keys of a sequence are
// packed once for all its queries.
static inline ptrdiff_t ck_attention_scratch(ptrdiff_t head_dim) {
  ptrdiff_t padded = (head_dim + 31) / 32 * 32;
  return padded * (4 * ck_attention_rows + 7 * ck_attention_keys) +
         4 * ck_attention_rows * ck_attention_keys + 20 * ck_attention_rows;
}

typedef struct {
  // Keys of a tile of prefix gradients.
  ptrdiff_t prefix_tile;
  // out and log_sum_exp of query tiles first_tile ..< end_tile.
  void (*_Nonnull forward)(
      const ck_attention *_Nonnull a, ptrdiff_t sequence, ptrdiff_t head, ptrdiff_t first_tile,
      ptrdiff_t end_tile, float *_Nonnull scratch);
  // d_query of one query tile.
  void (*_Nonnull backward_queries)(
      const ck_attention *_Nonnull a, ptrdiff_t sequence, ptrdiff_t head, ptrdiff_t tile,
      float *_Nonnull scratch);
  // d_key and d_value of one key tile.
  void (*_Nonnull backward_keys)(
      const ck_attention *_Nonnull a, ptrdiff_t sequence, ptrdiff_t head, ptrdiff_t tile,
      float *_Nonnull scratch);
  // All three of a sequence, to the bit what the two above give, with five products for seven.
  void (*_Nonnull backward_sequence)(
      const ck_attention *_Nonnull a, ptrdiff_t sequence, ptrdiff_t head,
      float *_Nonnull scratch);
  // d_prefix_key and d_prefix_value (added to) of one tile of prefix_tile keys, and, for tile 0 of
  // gated attention, gate_sums[head].
  void (*_Nonnull backward_prefix)(
      const ck_attention *_Nonnull a, ptrdiff_t head, ptrdiff_t tile, float *_Nonnull scratch);
} ck_attention_kernels;
