"""Runs for as many seconds as it is told, in a stack as deep as that of a server,
and prints how many iterations it has finished and its CPU time in nanoseconds."""
import sys
import time


def work():
    total = 0
    for i in range(2000):
        total += i * i
    return total


def deep(levels):
    return deep(levels - 1) if levels > 0 else work()


def main():
    end = time.monotonic() + float(sys.argv[1])
    iterations = 0
    while time.monotonic() < end:
        deep(30)
        iterations += 1
    print(iterations, time.process_time_ns())


main()
