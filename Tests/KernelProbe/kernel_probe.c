#include "CKernelProbe.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// Clang would else fuse a * b + c where the processor can.
#pragma STDC FP_CONTRACT OFF

// MARK: Inputs and hashes

typedef struct {
  const ck_kernels *kernels;
  kernel_probe_report report;
  void *context;
  uint64_t state, hash;
} probe;

static uint64_t draw(probe *p) {
  p->state ^= p->state << 13;
  p->state ^= p->state >> 7;
  p->state ^= p->state << 17;
  return p->state * 0x2545f4914f6cdd1du;
}

// A number in [-scale, scale); multiplying by a power of 2 and by `scale` rounds once each.
static float number(probe *p, float scale) {
  return (float)((int32_t)(draw(p) >> 32)) * 0x1p-31f * scale;
}

static float *numbers(probe *p, ptrdiff_t count, float scale) {
  float *values = malloc(sizeof(float) * (size_t)(count > 0 ? count : 1));
  for (ptrdiff_t i = 0; i < count; i++) values[i] = number(p, scale);
  return values;
}

static float *zeros(ptrdiff_t count) { return calloc((size_t)(count > 0 ? count : 1), sizeof(float)); }

static void take_bytes(probe *p, const void *bytes, size_t count) {
  const unsigned char *b = bytes;
  for (size_t i = 0; i < count; i++) p->hash = (p->hash ^ b[i]) * 0x100000001b3u;
}

static void take(probe *p, const float *values, ptrdiff_t count) {
  for (ptrdiff_t i = 0; i < count; i++) {
    float value = values[i] == values[i] ? values[i] : NAN;
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    if (value != value) bits = 0x7fc00000;
    take_bytes(p, &bits, sizeof bits);
  }
}

static void take_double(probe *p, double value) {
  uint64_t bits;
  memcpy(&bits, &value, sizeof bits);
  if (value != value) bits = 0x7ff8000000000000u;
  take_bytes(p, &bits, sizeof bits);
}

// Each case has inputs of its own, whatever cases there are besides.
static void begin(probe *p, uint64_t number) {
  p->state = 0x9e3779b97f4a7c15u ^ (number * 0xd1342543de82ef95u + 1);
  for (int i = 0; i < 4; i++) draw(p);
  p->hash = 0xcbf29ce484222325u;
}

static void end(probe *p, const char *name) { p->report(p->context, name, p->hash); }

// Widths around every vector's and every sum's, and one of a model.
static const ptrdiff_t widths[] = {1, 3, 8, 15, 16, 17, 31, 32, 33, 64, 71, 581};
enum { width_count = sizeof widths / sizeof widths[0] };

// MARK: Kernels

// Formats in blocks: numbers and bytes of a block, and where its scales in f16 lie.
typedef struct {
  const char *name;
  ck_type type;
  int numbers, bytes, scales[2];  // a second one that is not there: the first
} block_format;

static const block_format block_formats[] = {
    {"Q4_0", ck_q4_0, 32, 18, {0, 0}},         {"Q4_1", ck_q4_1, 32, 20, {0, 2}},
    {"Q5_0", ck_q5_0, 32, 22, {0, 0}},         {"Q5_1", ck_q5_1, 32, 24, {0, 2}},
    {"Q8_0", ck_q8_0, 32, 34, {0, 0}},         {"Q2_K", ck_q2_k, 256, 84, {80, 82}},
    {"Q3_K", ck_q3_k, 256, 110, {108, 108}},   {"Q4_K", ck_q4_k, 256, 144, {0, 2}},
    {"Q5_K", ck_q5_k, 256, 176, {0, 2}},       {"Q6_K", ck_q6_k, 256, 210, {208, 208}},
    {"IQ4_NL", ck_iq4_nl, 32, 18, {0, 0}},     {"IQ4_XS", ck_iq4_xs, 256, 136, {0, 0}},
};
enum { block_format_count = sizeof block_formats / sizeof block_formats[0] };

// Random blocks with scales from 2^-3 to 2^2, at an odd address; the caller frees the byte before.
static unsigned char *random_blocks(probe *p, const block_format *format, int64_t count) {
  unsigned char *bytes = (unsigned char *)malloc((size_t)(count * format->bytes) + 1) + 1;
  for (int64_t i = 0; i < count * format->bytes; i++) bytes[i] = (unsigned char)(draw(p) >> 40);
  for (int64_t i = 0; i < count; i++) {
    for (int j = 0; j < 2; j++) {
      uint64_t bits = draw(p);
      uint16_t scale = (uint16_t)((bits & 0x83ff) | (12 + bits % 6) << 10);
      memcpy(bytes + i * format->bytes + format->scales[j], &scale, sizeof scale);
    }
  }
  return bytes;
}

// Codes of 4 bits and bytes, with their scales apart: rows of 71 numbers, blocks of 64.
static void probe_scales_apart(probe *p) {
  const ck_linear_kernels *k = &p->kernels->linear;
  begin(p, 180);
  unsigned char *codes = malloc(40 * 71);
  float *scales = numbers(p, 64, 1), *y = zeros(71);
  ck_codes c = {.scales = scales, .block = 64, .columns = 71, .nested_block = 256};
  for (int i = 0; i < 16; i++) c.map[i] = number(p, 1);
  for (int i = 0; i < 256; i++) c.nested_map[i] = number(p, 1);
  for (int i = 0; i < 40 * 71; i++) codes[i] = (unsigned char)(draw(p) >> 40);
  for (int nested = 0; nested < 2; nested++) {
    for (int rounding = ck_f32; rounding <= ck_bf16; rounding++) {
      c.nested = nested ? codes : NULL, c.nested_scales = scales, c.nested_offset = 0.3f;
      c.rounding = (ck_type)rounding;
      ck_stored s = {.base = codes, .row_bytes = 71, .type = ck_codes4, .codes = &c};
      for (int64_t row = 0; row < 40; row++) {
        s.element = row % 17;
        k->read(y, &s, row, 71 - s.element);
        take(p, y, 71 - s.element);
        if (nested) continue;
        s.type = ck_int8;
        k->read(y, &s, row, 71 - s.element);
        take(p, y, 71 - s.element);
        s.type = ck_codes4;
      }
    }
  }
  end(p, "codes and bytes with scales apart");
  free(codes), free(scales), free(y);
}

static void probe_blocks(probe *p) {
  const ck_linear_kernels *k = &p->kernels->linear;
  for (int f = 0; f < block_format_count; f++) {
    const block_format *format = &block_formats[f];
    begin(p, 150 + (uint64_t)f);
    // Rows of 768 numbers, heads of 6 rows whose halves lie by turns.
    int64_t blocks = 768 / format->numbers;
    unsigned char *bytes = random_blocks(p, format, 12 * blocks);
    float *y = zeros(768);
    ck_stored s = {
        .base = bytes, .row_bytes = blocks * format->bytes, .type = format->type, .head = 6};
    for (int64_t row = 0; row < 12; row++) {
      s.element = row * 16;
      int64_t count = 768 - s.element - row % 3;
      k->read(y, &s, row, count);
      take(p, y, count);
    }
    char name[64];
    snprintf(name, sizeof name, "read %s", format->name);
    end(p, name);
    free(bytes - 1), free(y);
  }
}

static void probe_stored(probe *p) {
  const ck_linear_kernels *k = &p->kernels->linear;
  static const char *names[] = {"f32", "f16", "bf16"};
  for (int type = 0; type < 3; type++) {
    begin(p, 100 + (uint64_t)type);
    // Every 16-bit pattern, from an odd address.
    ptrdiff_t count = type == ck_f32 ? 1003 : 65536;
    unsigned char *stored = malloc((size_t)count * 4 + 1);
    for (ptrdiff_t i = 0; i < count; i++) {
      float value = number(p, 100);
      uint16_t pattern = (uint16_t)i;
      if (type == ck_f32) memcpy(stored + 1 + 4 * i, &value, 4);
      else memcpy(stored + 1 + 2 * i, &pattern, 2);
    }
    float *wide = zeros(count);
    uint16_t *narrow = calloc((size_t)count, 2);
    char name[64];
    snprintf(name, sizeof name, "expand %s", names[type]);
    k->expand(wide, stored + 1, (ck_type)type, count);
    take(p, wide, count);
    end(p, name);
    snprintf(name, sizeof name, "expand_rounded %s", names[type]);
    k->expand_rounded(wide, stored + 1, (ck_type)type, count);
    take(p, wide, count);
    end(p, name);
    snprintf(name, sizeof name, "narrow %s", names[type]);
    k->narrow(narrow, stored + 1, (ck_type)type, count);
    for (ptrdiff_t i = 0; i < count; i++) {
      uint32_t bits = (uint32_t)narrow[i] << 16;
      float value;
      memcpy(&value, &bits, sizeof value);
      take(p, &value, 1);
    }
    end(p, name);
    free(stored), free(wide), free(narrow);
  }
}

static void probe_linear(probe *p) {
  const ck_linear_kernels *k = &p->kernels->linear;
  begin(p, 200);
  for (int w = 0; w < width_count; w++) {
    ptrdiff_t columns = widths[w], rows = 13;
    float *x = numbers(p, rows * columns, 3), *y = numbers(p, rows * columns, 3);
    float *bias = numbers(p, columns, 1), *sums = numbers(p, columns, 1);
    k->fill_rows(y, columns, bias, rows / 2, columns, 0);
    k->fill_rows(y + rows / 2 * columns, columns, bias, rows - rows / 2, columns, 1);
    k->add_column_sums(sums, x, columns, rows, columns);
    k->add_scaled(y, x, 0.37f, rows * columns);
    take(p, y, rows * columns);
    take(p, sums, columns);
    free(x), free(y), free(bias), free(sums);
  }
  end(p, "fill_rows, add_column_sums, add_scaled");
}

static void probe_losses(probe *p) {
  static const int64_t sizes[] = {1, 2, 31, 64, 129, 2047, 2048, 2049, 5003};
  for (int scale = 0; scale < 3; scale++) {
    begin(p, 300 + (uint64_t)scale);
    for (int i = 0; i < 9; i++) {
      for (int gradient = 0; gradient < 2; gradient++) {
        // Up to logits whose exponentials vanish.
        float *logits = numbers(p, sizes[i], scale == 0 ? 0.01f : scale == 1 ? 5.0f : 120.0f);
        int64_t target = (int64_t)(draw(p) % (uint64_t)sizes[i]);
        int correct = 0;
        float factor = i % 3 == 1 ? 0.7f : 1, cap = i % 3 == 2 ? 9.0f : 0;
        take_double(
            p, p->kernels->head.cross_entropy(
                   logits, sizes[i], target, gradient, factor, cap, &correct));
        take(p, logits, sizes[i]);
        take_bytes(p, &correct, sizeof correct);
        free(logits);
      }
    }
    char name[64];
    snprintf(name, sizeof name, "cross_entropy %d", scale);
    end(p, name);
  }
}

static void probe_optimizers(probe *p) {
  begin(p, 400);
  for (int w = 0; w < width_count; w++) {
    int64_t count = widths[w];
    float *values = numbers(p, count, 1), *first = numbers(p, count, 0.1f), *second = zeros(count);
    for (int step = 1; step <= 4; step++) {
      float *gradients = numbers(p, count, step == 3 ? 1e-20f : 1);
      ck_adamw factors = {
          .gradient_scale = 0.3f, .decay = 0.99999f, .one_minus_beta1 = 0.1f, .beta2 = 0.999f,
          .one_minus_beta2 = 0.001f, .root_of_correction2 = 0.0316f * (float)step,
          .epsilon = 1e-8f, .step_size = 1e-3f};
      p->kernels->optimizer.adamw(values, gradients, first, second, factors, count);
      p->kernels->optimizer.sgd(values, gradients, 0.7f, 0.999f, 0.01f, count);
      free(gradients);
    }
    take(p, values, count), take(p, first, count), take(p, second, count);
    free(values), free(first), free(second);
  }
  end(p, "adamw, sgd");
}

static void probe_norms(probe *p) {
  const ck_norm_kernels *k = &p->kernels->norm;
  for (int is_layer = 0; is_layer < 2; is_layer++) {
    begin(p, 500 + (uint64_t)is_layer);
    for (int w = 0; w < width_count; w++) {
      ptrdiff_t columns = widths[w], rows = 5;
      ck_matrix x = {numbers(p, rows * columns, 4), columns};
      ck_matrix dy = {numbers(p, rows * columns, 1), columns};
      ck_matrix y = {zeros(rows * columns), columns}, dx = {zeros(rows * columns), columns};
      ck_matrix mean = {zeros(rows), 1}, inverse = {zeros(rows), 1};
      float *weight = numbers(p, columns, 1), *bias = numbers(p, columns, 1);
      float *sums = numbers(p, columns, 1);
      for (int adding = 0; adding < 2; adding++) {
        if (is_layer) {
          k->layer(x, weight, bias, 1e-5f, y, mean, inverse, rows, columns);
          k->layer_backward(dy, x, weight, mean, inverse, dx, adding, rows, columns);
        } else {
          float offset = (float)(w % 2);
          k->rms(x, weight, offset, 1e-6f, y, inverse, rows, columns);
          k->rms_backward(dy, x, weight, offset, inverse, dx, adding, rows, columns);
        }
      }
      k->column_sums(dy, x, is_layer ? mean : (ck_matrix){0}, inverse, sums, rows, columns);
      k->column_sums(dy, (ck_matrix){0}, (ck_matrix){0}, (ck_matrix){0}, sums, rows, columns);
      take(p, y.base, rows * columns), take(p, dx.base, rows * columns);
      take(p, mean.base, rows), take(p, inverse.base, rows), take(p, sums, columns);
      free(x.base), free(dy.base), free(y.base), free(dx.base), free(mean.base);
      free(inverse.base), free(weight), free(bias), free(sums);
    }
    end(p, is_layer ? "layer norm" : "rms norm");
  }
  begin(p, 510);
  for (int w = 0; w < width_count; w++) {
    ptrdiff_t half = widths[w], heads = 3, rows = 4, dim = 2 * half + w % 3;
    const int32_t positions[] = {0, 5, 2, 5};
    ck_matrix x = {numbers(p, rows * heads * dim, 2), heads * dim};
    float *cosines = numbers(p, 6 * half, 1), *sines = numbers(p, 6 * half, 1);
    k->rotate(x, positions, cosines, sines, w % 2 ? 1 : -1, rows, heads, dim, half);
    take(p, x.base, rows * heads * dim);
    free(x.base), free(cosines), free(sines);
  }
  end(p, "rotate");
}

static void probe_activations(probe *p) {
  const ck_elementwise_kernels *k = &p->kernels->elementwise;
  static const char *names[] = {"silu", "gelu", "gelu_tanh", "relu", "tanh"};
  for (int kind = 0; kind < 5; kind++) {
    begin(p, 600 + (uint64_t)kind);
    for (int w = 0; w < width_count; w++) {
      ptrdiff_t columns = widths[w], rows = 6, count = rows * columns;
      ck_matrix x = {numbers(p, count, 1), columns}, u = {numbers(p, count, 3), columns};
      ck_matrix dy = {numbers(p, count, 2), columns};
      // From far below 1 to where exponentials vanish and overflow.
      for (ptrdiff_t i = 0; i < count; i++) x.base[i] *= i % 6 == 0 ? 1e-6f : i % 6 == 1 ? 120 : 6;
      ck_matrix y = {zeros(count), columns}, z = {zeros(count), columns};
      ck_rounded_matrix kept = {calloc((size_t)count, 2), columns};
      ck_rounded_matrix kept_up = {calloc((size_t)count, 2), columns};
      ck_activation f = (ck_activation)kind;
      k->activation(f, x, y, rows, columns), take(p, y.base, count);
      k->activation_backward(f, dy, x, y, rows, columns), take(p, y.base, count);
      k->gated(f, x, u, y, rows, columns), take(p, y.base, count);
      k->gated_backward(f, dy, x, u, y, z, rows, columns);
      take(p, y.base, count), take(p, z.base, count);
      k->activation_keeping(f, x, kept, y, rows, columns), take(p, y.base, count);
      take_bytes(p, kept.base, 2 * (size_t)count);
      k->activation_kept(f, kept, y, rows, columns), take(p, y.base, count);
      k->activation_backward_kept(f, dy, kept, y, rows, columns), take(p, y.base, count);
      k->gated_keeping(f, x, u, kept, kept_up, y, rows, columns), take(p, y.base, count);
      take_bytes(p, kept_up.base, 2 * (size_t)count);
      k->gated_kept(f, kept, kept_up, y, rows, columns), take(p, y.base, count);
      k->gated_backward_kept(f, dy, kept, kept_up, y, z, rows, columns);
      take(p, y.base, count), take(p, z.base, count);
      free(x.base), free(u.base), free(dy.base), free(y.base), free(z.base);
      free(kept.base), free(kept_up.base);
    }
    end(p, names[kind]);
  }
}

static void probe_elementwise(probe *p) {
  const ck_elementwise_kernels *k = &p->kernels->elementwise;
  begin(p, 700);
  for (int w = 0; w < width_count; w++) {
    ptrdiff_t columns = widths[w], rows = 7, count = rows * columns;
    ck_matrix x = {numbers(p, count, 2), columns}, y = {numbers(p, count, 2), columns};
    ck_matrix l = {numbers(p, columns, 1), columns}, f = {numbers(p, rows, 1), 1};
    const int32_t keys[] = {3, 1, 4, 1, 5, 9, 2};
    k->add(x, y, 0.3f, rows, columns), take(p, y.base, count);
    k->scale(x, y, 1.7f, rows, columns), take(p, y.base, count);
    k->scale_columns(x, l.base, y, rows, columns), take(p, y.base, count);
    k->scale_rows(x, f, y, rows, columns), take(p, y.base, count);
    k->dropout(x, y, 42, 7, keys, 0, 0x30000000u, 1.25f, rows, columns);
    take(p, y.base, count);
    k->dropout(x, y, 42, 7, NULL, 1ull << 40, 0xc0000000u, 4.0f, rows, columns);
    take(p, y.base, count);
    take_double(p, k->dot(x, y, rows, columns));
    take_double(p, k->dot(x, x, rows, columns));
    free(x.base), free(y.base), free(l.base), free(f.base);
  }
  end(p, "element-wise, dropout, dot");
}

// MARK: Products

// A number that is a bf16 or a half one in `type`, from 2^-3 to 2^3.
static void store_weight(probe *p, unsigned char *to, ck_type type) {
  float value = number(p, 8);
  uint32_t bits;
  memcpy(&bits, &value, sizeof bits);
  uint16_t pattern = type == ck_bf16
                         ? (uint16_t)(bits >> 16)
                         : (uint16_t)((bits >> 31) << 15 | (12 + bits % 6) << 10 | (bits >> 13 & 0x3ff));
  if (type == ck_f32) memcpy(to, &value, sizeof value);
  else memcpy(to, &pattern, sizeof pattern);
}

static void probe_products(probe *p) {
  static const char *names[] = {"f32", "f16", "bf16"};
  static const int64_t sizes[][3] = {  // rows, depth, columns
      {1, 40, 33}, {5, 17, 8}, {13, 352, 50}, {30, 353, 49}, {61, 1100, 97}, {9, 800, 300}, {8, 0, 9}};
  void *scratch = aligned_alloc(64, (ck_product_scratch_bytes + 63) / 64 * 64);
  for (int type = 0; type < 3; type++) {
    begin(p, 1000 + (uint64_t)type);
    for (int i = 0; i < 7 * 16; i++) {
      // Every way that the three matrices may lie, and with and without the rest.
      ck_product q = {
          .rows = sizes[i / 16][0], .depth = sizes[i / 16][1], .columns = sizes[i / 16][2],
          .a_transposed = i & 1, .b_transposed = i >> 1 & 1, .c_transposed = i >> 2 & 1,
          .adding = i >> 3 & 1, .rounds_b = i % 3 == 0, .b = {.type = (ck_type)type},
          .scale = i % 5 ? 1 : 0.37f, .rank = i % 4 == 3 ? 0 : i % 7 * 10 + 1, .right_scale = 1.25f,
          .right_transposed = i % 3 == 1, .scratch = scratch};
      q.a_stride = (q.a_transposed ? q.rows : q.depth) + 3;
      int64_t b_stride = (q.b_transposed ? q.depth : q.columns) + 1;
      q.c_stride = (q.c_transposed ? q.rows : q.columns) + 2;
      q.left_stride = q.rank;
      q.right_stride = q.right_transposed ? q.rank : q.columns;
      int64_t b_count = b_stride * (q.b_transposed ? q.columns : q.depth);
      int64_t c_count = q.c_stride * (q.c_transposed ? q.columns : q.rows);
      int64_t size = type == ck_f32 ? 4 : 2;
      float *a = numbers(p, q.a_stride * (q.a_transposed ? q.depth : q.rows), 2);
      float *c = numbers(p, c_count, 2), *left = numbers(p, q.rows * q.rank, 1);
      float *right = numbers(p, q.columns * q.rank, 1);
      unsigned char *b = malloc((size_t)(b_count * size + 1));
      for (int64_t j = 0; j < b_count; j++) store_weight(p, b + 1 + j * size, (ck_type)type);
      q.b.base = b + 1, q.b.row_bytes = b_stride * size;
      q.a = a, q.c = c, q.left = left, q.right = right;
      ck_products(p->kernels)->multiply(&q);
      take(p, c, c_count);
      free(a), free(b), free(c), free(left), free(right);
    }
    char name[64];
    snprintf(name, sizeof name, "products by %s", names[type]);
    end(p, name);
  }
  free(scratch);
}

// `rows` rows of `depth` numbers in bf16, a 0 behind one of odd length; sets A of the product.
static uint16_t *narrowed_numbers(probe *p, const ck_product_kernels *k, ck_product *q, float scale) {
  float *wide = numbers(p, q->rows * q->depth, scale);
  q->a_stride = q->depth % 2 + q->depth + 2;
  uint16_t *a = calloc((size_t)(q->rows * q->a_stride), sizeof *a);
  for (int64_t row = 0; row < q->rows; row++) {
    k->narrow(a + row * q->a_stride, wide + row * q->depth, q->depth);
  }
  take_bytes(p, a, (size_t)(q->rows * q->a_stride) * sizeof *a);
  free(wide);
  q->a = a;
  return a;
}

// Products with bf16 operands, around the shapes of tiles, and with numbers whose products are subnormal.
static void probe_bf16_products(probe *p, const ck_product_kernels *k) {
  static const char *names[] = {"f32", "f16", "bf16"};
  static const int64_t sizes[][3] = {  // rows, depth, columns
      {1, 40, 33}, {2, 3, 8}, {5, 17, 8}, {13, 352, 50}, {30, 705, 49}, {61, 1430, 97}, {9, 800, 300},
      {8, 0, 9}};
  void *scratch = aligned_alloc(64, (ck_product_scratch_bytes + 63) / 64 * 64);
  for (int type = 0; type < 3; type++) {
    begin(p, 1200 + (uint64_t)type);
    for (int i = 0; i < 8 * 8; i++) {
      ck_product q = {
          .rows = sizes[i / 8][0], .depth = sizes[i / 8][1], .columns = sizes[i / 8][2],
          .b_transposed = i & 1, .c_transposed = i >> 1 & 1, .adding = i >> 2 & 1, .rounds_b = 1,
          .b = {.type = (ck_type)type}, .scale = i % 5 ? 1 : 0.37f, .rank = i % 4 == 3 ? 0 : i % 7 + 1,
          .right_scale = 1.25f, .right_transposed = i % 5 % 2, .scratch = scratch};
      // Rows that all start at the same place in a vector, and others.
      int64_t aligned = i % 3 == 1, b_row = q.b_transposed ? q.depth : q.columns;
      int64_t b_stride = aligned ? (b_row + 31) / 32 * 32 : b_row + 1, b_start = aligned ? 8 : 1;
      q.c_stride = (q.c_transposed ? q.rows : q.columns) + 2;
      q.left_stride = q.rank, q.right_stride = q.right_transposed ? q.rank : q.columns;
      int64_t b_count = b_stride * (q.b_transposed ? q.columns : q.depth);
      int64_t c_count = q.c_stride * (q.c_transposed ? q.columns : q.rows);
      int64_t size = type == ck_f32 ? 4 : 2;
      uint16_t *a = narrowed_numbers(p, k, &q, i % 3 == 2 ? 0x1p-125f : 2);
      float *c = numbers(p, c_count, i % 3 == 2 ? 0x1p-122f : 2), *left = numbers(p, q.rows * q.rank, 1);
      float *right = numbers(p, q.columns * q.rank, 1);
      unsigned char *b = aligned_alloc(64, (size_t)(b_count * size + b_start + 63) / 64 * 64);
      for (int64_t j = 0; j < b_count; j++) store_weight(p, b + b_start + j * size, (ck_type)type);
      q.b.base = b + b_start, q.b.row_bytes = b_stride * size;
      q.c = c, q.left = left, q.right = right;
      k->multiply_bf16(&q);
      take(p, c, c_count);
      free(a), free(b), free(c), free(left), free(right);
    }
    char name[64];
    snprintf(name, sizeof name, "bf16 products by %s", names[type]);
    end(p, name);
  }
  const block_format *format = &block_formats[7];
  begin(p, 1203);
  for (int i = 0; i < 2; i++) {
    int64_t inputs = 768, outputs = 51, blocks = inputs / format->numbers;
    ck_product q = {
        .rows = 13, .depth = i ? inputs : outputs, .columns = i ? outputs : inputs, .b_transposed = i,
        .rounds_b = 1, .scale = 1, .scratch = scratch};
    unsigned char *bytes = random_blocks(p, format, outputs * blocks);
    uint16_t *a = narrowed_numbers(p, k, &q, 2);
    float *c = zeros(q.rows * q.columns);
    q.b = (ck_stored){.base = bytes, .row_bytes = blocks * format->bytes, .type = format->type};
    q.c = c, q.c_stride = q.columns;
    k->multiply_bf16(&q);
    take(p, c, q.rows * q.columns);
    free(bytes - 1), free(a), free(c);
  }
  char name[64];
  snprintf(name, sizeof name, "bf16 products by %s", format->name);
  end(p, name);
  free(scratch);
}

// Products by blocks: the same as by the numbers that they stand for.
static void probe_block_products(probe *p) {
  static const int64_t sizes[][3] = {  // rows, inputs, outputs
      {1, 768, 96}, {13, 256, 49}, {30, 1024, 256}};
  void *scratch = aligned_alloc(64, (ck_product_scratch_bytes + 63) / 64 * 64);
  for (int f = 0; f < block_format_count; f++) {
    const block_format *format = &block_formats[f];
    begin(p, 1100 + (uint64_t)f);
    for (int i = 0; i < 3 * 4; i++) {
      int64_t rows = sizes[i / 4][0], inputs = sizes[i / 4][1], outputs = sizes[i / 4][2];
      ck_product q = {
          .rows = rows, .b_transposed = i & 1, .rounds_b = i >> 1 & 1, .scale = 1,
          .scratch = scratch};
      q.depth = q.b_transposed ? inputs : outputs;
      q.columns = q.b_transposed ? outputs : inputs;
      q.a_stride = q.depth, q.c_stride = q.columns;
      int64_t blocks = inputs / format->numbers;
      unsigned char *bytes = random_blocks(p, format, outputs * blocks);
      float *a = numbers(p, rows * q.depth, 2), *c = zeros(rows * q.columns);
      q.b = (ck_stored){
          .base = bytes, .row_bytes = blocks * format->bytes, .type = format->type,
          .head = outputs % 8 == 0 ? 8 : 0};
      q.a = a, q.c = c;
      ck_products(p->kernels)->multiply(&q);
      take(p, c, rows * q.columns);
      // By the numbers.
      float *wide = zeros(outputs * inputs), *again = zeros(rows * q.columns);
      for (int64_t row = 0; row < outputs; row++) {
        p->kernels->linear.read(wide + row * inputs, &q.b, row, inputs);
      }
      q.b = (ck_stored){.base = wide, .row_bytes = 4 * inputs, .type = ck_f32};
      q.c = again;
      ck_products(p->kernels)->multiply(&q);
      float equal = memcmp(c, again, (size_t)(rows * q.columns) * 4) == 0;
      if (!equal) p->report(p->context, "a product by blocks is not that by their numbers", 0);
      take(p, &equal, 1);
      free(bytes - 1), free(a), free(c), free(wide), free(again);
    }
    char name[64];
    snprintf(name, sizeof name, "products by %s", format->name);
    end(p, name);
  }
  free(scratch);
}

// MARK: Attention

typedef struct {
  const char *name;
  ptrdiff_t heads, key_value_heads, dim, window, prefix;
  int32_t queries[3], keys[3];
  int rounded, gated;
  float spread;  // of queries and keys; large ones let weights vanish and maxima move
  float cap;     // of the scores
} attention_case;

static const attention_case attention_cases[] = {
    {"attention", 4, 2, 64, 0, 0, {130, 70, 1}, {130, 70, 1}, 0, 0, 1},
    {"attention, groups of 3, 80 wide, cached keys", 3, 1, 80, 0, 0, {40, 1, 33}, {140, 65, 33}, 0, 0, 1},
    {"attention, 17 wide, window 20", 2, 2, 17, 20, 0, {150, 90, 5}, {150, 90, 70}, 0, 0, 1},
    {"attention, weights that vanish", 2, 1, 32, 0, 0, {100, 100, 100}, {100, 100, 100}, 0, 0, 9},
    {"attention, prefix of 70", 4, 2, 16, 0, 70, {99, 3, 1}, {99, 3, 1}, 0, 0, 2},
    {"attention, prefix and window", 4, 1, 24, 30, 5, {60, 100, 1}, {60, 100, 1}, 0, 0, 1},
    {"attention, rounded", 4, 2, 64, 0, 0, {97, 64, 1}, {97, 64, 90}, 1, 0, 1},
    {"attention, capped, prefix and window", 4, 2, 40, 30, 5, {60, 100, 1}, {60, 130, 9}, 0, 0, 3, 4},
    {"attention, capped and rounded", 4, 2, 64, 0, 0, {97, 64, 1}, {97, 64, 90}, 1, 0, 2, 9},
    {"gated attention", 6, 2, 48, 0, 10, {100, 0, 0}, {0, 0, 0}, 0, 1, 1},
};

static void probe_attention(probe *p, const ck_attention_kernels *k, attention_case c) {
  int32_t query_offsets[4] = {0}, key_offsets[4] = {0};
  ptrdiff_t sequences = c.gated ? 1 : 3;
  for (int i = 0; i < 3; i++) {
    query_offsets[i + 1] = query_offsets[i] + c.queries[i];
    key_offsets[i + 1] = key_offsets[i] + c.keys[i];
  }
  ptrdiff_t rows = query_offsets[3], keys = key_offsets[3], group = c.heads / c.key_value_heads;
  ptrdiff_t wide = c.heads * c.dim, narrow = c.key_value_heads * c.dim;
  ck_matrix d_sequence[3];
  double gate_sums[8] = {0};
  // Two pieces of scratch memory: keys are packed anew for each tile with the smaller one.
  for (int roomy = 0; roomy < 2; roomy++) {
    ck_attention a = {
        .query = {numbers(p, rows * wide, c.spread), wide},
        .key = {numbers(p, keys * narrow, c.spread), narrow},
        .value = {numbers(p, keys * narrow, 1), narrow},
        .prefix_key = {numbers(p, c.prefix * narrow, c.spread), narrow},
        .prefix_value = {numbers(p, c.prefix * narrow, 1), narrow},
        .prefix_count = c.prefix, .query_offsets = query_offsets, .key_offsets = key_offsets,
        .sequence_count = sequences, .heads = c.heads, .key_value_heads = c.key_value_heads,
        .head_dim = c.dim, .window = c.window, .scale = 0.25f, .soft_cap = c.cap,
        .rounded = c.rounded,
        .scratch_floats = roomy ? 512 * 1024 : ck_attention_scratch(c.dim),
        .out = {c.gated ? numbers(p, rows * wide, 1) : zeros(rows * wide), wide},
        .log_sum_exp = {zeros(rows * c.heads), c.heads}, .gated = c.gated, .gate = 0.7f,
        .d_out = {numbers(p, rows * wide, 1), wide},
        .d_query = {zeros(rows * wide), wide}, .d_key = {zeros(keys * narrow), narrow},
        .d_value = {zeros(keys * narrow), narrow},
        .d_prefix_key = {numbers(p, c.prefix * narrow, 1), narrow},
        .d_prefix_value = {numbers(p, c.prefix * narrow, 1), narrow}, .gate_sums = gate_sums};
    float *scratch = zeros(a.scratch_floats);
    ptrdiff_t positions = ck_attention_positions(group);
    for (ptrdiff_t s = 0; s < sequences; s++) {
      ptrdiff_t tiles = (c.queries[s] + positions - 1) / positions;
      ptrdiff_t key_tiles = (c.keys[s] + ck_attention_keys - 1) / ck_attention_keys;
      for (ptrdiff_t head = 0; head < c.key_value_heads; head++) {
        k->forward(&a, s, head, 0, tiles, scratch);
      }
      for (ptrdiff_t head = 0; head < c.key_value_heads; head++) {
        for (ptrdiff_t t = 0; t < tiles; t++) k->backward_queries(&a, s, head, t, scratch);
        for (ptrdiff_t t = 0; t < key_tiles; t++) k->backward_keys(&a, s, head, t, scratch);
      }
    }
    take(p, a.out.base, rows * wide), take(p, a.log_sum_exp.base, rows * c.heads);
    take(p, a.d_query.base, rows * wide);
    take(p, a.d_key.base, keys * narrow), take(p, a.d_value.base, keys * narrow);
    for (int i = 0; i < 3; i++) {
      ck_matrix *m = i == 0 ? &a.d_query : i == 1 ? &a.d_key : &a.d_value;
      d_sequence[i] = *m;
      m->base = zeros(i == 0 ? rows * wide : keys * narrow);
    }
    for (ptrdiff_t s = 0; s < sequences && !c.gated; s++) {
      for (ptrdiff_t head = 0; head < c.key_value_heads; head++) {
        k->backward_sequence(&a, s, head, scratch);
      }
    }
    take(p, a.d_query.base, rows * wide);
    take(p, a.d_key.base, keys * narrow), take(p, a.d_value.base, keys * narrow);
    ptrdiff_t prefix_tiles = (c.prefix + k->prefix_tile - 1) / k->prefix_tile;
    for (ptrdiff_t t = 0; t < prefix_tiles; t++) {
      for (ptrdiff_t head = 0; head < c.key_value_heads; head++) {
        k->backward_prefix(&a, head, t, scratch);
      }
    }
    take(p, a.d_prefix_key.base, c.prefix * narrow);
    take(p, a.d_prefix_value.base, c.prefix * narrow);
    for (int i = 0; i < 8; i++) take_double(p, gate_sums[i]);
    float *owned[] = {a.query.base, a.key.base, a.value.base, a.prefix_key.base,
                      a.prefix_value.base, a.out.base, a.log_sum_exp.base, a.d_out.base,
                      a.d_query.base, a.d_key.base, a.d_value.base, a.d_prefix_key.base,
                      a.d_prefix_value.base, d_sequence[0].base, d_sequence[1].base,
                      d_sequence[2].base, scratch};
    for (size_t i = 0; i < sizeof owned / sizeof owned[0]; i++) free(owned[i]);
  }
  end(p, c.name);
}

void kernel_probe(const ck_kernels *kernels, kernel_probe_report report, void *context) {
  probe p = {.kernels = kernels, .report = report, .context = context};
  probe_stored(&p);
  probe_blocks(&p);
  probe_scales_apart(&p);
  probe_linear(&p);
  probe_losses(&p);
  probe_optimizers(&p);
  probe_norms(&p);
  probe_activations(&p);
  probe_elementwise(&p);
  probe_products(&p);
  probe_block_products(&p);
  for (size_t i = 0; i < sizeof attention_cases / sizeof attention_cases[0]; i++) {
    begin(&p, 800 + i);
    // The table's own kernels emulate bf16 by rounding; those of an instruction are another matter.
    probe_attention(&p, ck_f32_attention(kernels), attention_cases[i]);
  }
}

void kernel_probe_bf16(
    const ck_product_kernels *products, const ck_attention_kernels *attention,
    kernel_probe_report report, void *context) {
  probe p = {.report = report, .context = context};
  probe_bf16_products(&p, products);
  for (size_t i = 0; i < sizeof attention_cases / sizeof attention_cases[0]; i++) {
    begin(&p, 800 + i);
    probe_attention(&p, attention, attention_cases[i]);
  }
}

void kernel_probe_real(kernel_probe_report report, void *context) {
  probe p = {.report = report, .context = context};
  begin(&p, 900);
  for (int i = 0; i < 20000; i++) {
    double x = (double)(int64_t)draw(&p) * 0x1p-63, y = (double)(int64_t)draw(&p) * 0x1p-63;
    take_double(&p, ck_real_exp(750 * x)), take_double(&p, ck_real_expm1(40 * x));
    take_double(&p, ck_real_log(fabs(x) * 1e6)), take_double(&p, ck_real_sin(1e9 * x));
    take_double(&p, ck_real_cos(1e5 * x)), take_double(&p, ck_real_tanh(20 * x * y));
    take_double(&p, ck_real_pow(1000 * fabs(x), 100 * y));
  }
  end(&p, "elementary functions");
}
