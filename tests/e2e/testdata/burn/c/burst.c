// Burns as many milliseconds of CPU as it is told and ends.
#include <stdint.h>
#include <stdlib.h>
#include <time.h>

// Copies of the program with another text here are other executables.
const char variant[] = "variant-0000000000";

static volatile uint64_t sink;

static double cpu_seconds(void) {
  struct timespec t;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

__attribute__((noinline)) void burst_work(void) {
  for (uint64_t i = 0; i < 100000; i++) sink += i * i;
}

int main(int argc, char **argv) {
  double until = (argc > 1 ? atof(argv[1]) : 10) / 1000;
  while (cpu_seconds() < until) burst_work();
  return variant[0] == 0;
}
