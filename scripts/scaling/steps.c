// What ranks of a data-parallel run do in a step, as far as a network is concerned: each computes its micro-batches,
// and all reduce the exponents of the gradients' grid (a maximum), the gradients in pieces of 4 MiB (sums), and the
// step's totals (a sum). Under SimGrid's SMPI time is simulated; under a real MPI the same program is measured.
//
//   steps GRADIENTS TENSORS STEPS SECONDS SPREAD [SEED]
//
// GRADIENTS and TENSORS are numbers that train and the tensors that they are in; SECONDS and SPREAD the mean time of
// a rank's passes in a step and its relative standard deviation, log-normal. Rank 0 prints a line: ranks, seconds of
// a step, and of them from the last rank's arrival at the reduction to the end, the mean of all steps.
#include <math.h>
#include <mpi.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#ifdef SMPI
#include <smpi/smpi.h>
#else
#define SMPI_SHARED_MALLOC malloc
#define SMPI_SHARED_FREE free
#include <time.h>
#include <unistd.h>
#endif

enum { piece = 1 << 19, extra = 2, totals = 16 };

static void compute(double seconds) {
#ifdef SMPI
  smpi_execute(seconds);
#else
  if (seconds > 0) usleep((useconds_t)(1e6 * seconds));
#endif
}

// A number between 0 and 1 that follows from three others (SplitMix64's finaliser).
static double uniform(uint64_t seed, uint64_t rank, uint64_t draw) {
  uint64_t z = seed * 0x9e3779b97f4a7c15u + rank * 0xbf58476d1ce4e5b9u + draw * 0x94d049bb133111ebu;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  z ^= z >> 31;
  return (double)((z >> 11) + 1) * 0x1p-53;
}

int main(int argc, char **argv) {
  MPI_Init(&argc, &argv);
  int rank, ranks;
  MPI_Comm_rank(MPI_COMM_WORLD, &rank);
  MPI_Comm_size(MPI_COMM_WORLD, &ranks);
  if (argc < 6) {
    if (rank == 0) fprintf(stderr, "usage: steps GRADIENTS TENSORS STEPS SECONDS SPREAD [SEED]\n");
    MPI_Abort(MPI_COMM_WORLD, 64);
  }
  const long gradients = atol(argv[1]);
  const int tensors = atoi(argv[2]), steps = atoi(argv[3]);
  const double seconds = atof(argv[4]), spread = atof(argv[5]);
  const uint64_t seed = argc > 6 ? strtoull(argv[6], NULL, 10) : 1;
  const long room = gradients < piece ? gradients : piece;
  // In a simulation nobody reads the numbers: all ranks have the same memory.
  int64_t *sums = SMPI_SHARED_MALLOC(sizeof(int64_t) * (room > totals ? room : totals));
  int64_t *total = malloc(sizeof(int64_t) * totals);
  int32_t *exponents = malloc(sizeof(int32_t) * (tensors + extra));
  for (int i = 0; i < tensors + extra; i++) exponents[i] = 1;
  for (int i = 0; i < totals; i++) total[i] = 1;
#ifndef SMPI
  for (long i = 0; i < room; i++) sums[i] = 1;
#endif
  const double deviation = sqrt(log(1 + spread * spread)), pi = 3.14159265358979323846;
  double all = 0, reducing = 0;
  for (int step = 0; step <= steps; step++) {
    MPI_Barrier(MPI_COMM_WORLD);
    const double start = MPI_Wtime();
    const double normal =
        sqrt(-2 * log(uniform(seed, rank, 2 * step))) * cos(2 * pi * uniform(seed, rank, 2 * step + 1));
    compute(seconds * exp(deviation * normal - deviation * deviation / 2));
    const double arrival = MPI_Wtime();
    MPI_Allreduce(MPI_IN_PLACE, exponents, tensors + extra, MPI_INT32_T, MPI_MAX, MPI_COMM_WORLD);
    for (long first = 0; first < gradients; first += piece) {
      const long count = gradients - first < piece ? gradients - first : piece;
      MPI_Allreduce(MPI_IN_PLACE, sums, (int)count, MPI_INT64_T, MPI_SUM, MPI_COMM_WORLD);
    }
    MPI_Allreduce(MPI_IN_PLACE, total, totals, MPI_INT64_T, MPI_SUM, MPI_COMM_WORLD);
    double times[2] = {MPI_Wtime() - start, arrival - start}, most[2];
    MPI_Allreduce(times, most, 2, MPI_DOUBLE, MPI_MAX, MPI_COMM_WORLD);
    // The first one opens connections.
    if (step > 0) all += most[0], reducing += most[0] - most[1];
  }
  if (rank == 0) printf("%d %.6f %.6f\n", ranks, all / steps, reducing / steps);
  SMPI_SHARED_FREE(sums);
  free(total);
  free(exponents);
  MPI_Finalize();
  return 0;
}
