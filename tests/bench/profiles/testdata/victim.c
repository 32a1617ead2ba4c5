// Runs for as many seconds as it is told, in a stack as deep as that of a server,
// and prints how many iterations it has finished and its CPU time in nanoseconds.
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static volatile uint64_t sink;

static double seconds(clockid_t clock) {
  struct timespec t;
  clock_gettime(clock, &t);
  return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

__attribute__((noinline)) static void work(void) {
  for (uint64_t i = 0; i < 20000; i++) sink += i * i;
}

__attribute__((noinline)) static void deep(int levels) {
  if (levels > 0) {
    deep(levels - 1);
  } else {
    work();
  }
  sink++; // no tail call
}

int main(int argc, char **argv) {
  double end = seconds(CLOCK_MONOTONIC) + (argc > 1 ? atof(argv[1]) : 1);
  uint64_t iterations = 0;
  for (; seconds(CLOCK_MONOTONIC) < end; iterations++) deep(30);
  printf("%" PRIu64 " %.0f\n", iterations, seconds(CLOCK_PROCESS_CPUTIME_ID) * 1e9);
}
