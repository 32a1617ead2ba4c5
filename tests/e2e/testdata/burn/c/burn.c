// Burns CPU in two functions, in a share of 3 to 1, and can do it in system calls.
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static volatile uint64_t sink;

static double cpu_seconds(void) {
  struct timespec t;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

__attribute__((noinline)) void spin_square(void) {
  for (uint64_t i = 0; i < 200000; i++) sink += i * i;
}

__attribute__((noinline)) void spin_xor(void) {
  for (uint64_t i = 0; i < 200000; i++) sink ^= i;
}

__attribute__((noinline)) void burn_large(double until) {
  while (cpu_seconds() < until) spin_square();
  sink++; // no tail call
}

__attribute__((noinline)) void burn_small(double until) {
  while (cpu_seconds() < until) spin_xor();
  sink++;
}

__attribute__((noinline)) void burn_kernel(double until) {
  static char buffer[1 << 20];
  int zero = open("/dev/zero", O_RDONLY);
  while (cpu_seconds() < until)
    if (read(zero, buffer, sizeof buffer) < 0) exit(1);
  close(zero);
  sink++;
}

int main(int argc, char **argv) {
  int kernel = argc > 1 && !strcmp(argv[1], "kernel");
  for (;;) {
    double now = cpu_seconds();
    if (kernel) {
      burn_kernel(now + 0.04);
    } else {
      burn_large(now + 0.03);
      burn_small(cpu_seconds() + 0.01);
    }
  }
}
