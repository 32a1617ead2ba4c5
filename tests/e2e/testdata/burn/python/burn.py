"""Burns CPU in two functions, in a share of 3 to 1."""
import time


def spin_square():
    total = 0
    for i in range(20000):
        total += i * i
    return total


def spin_xor():
    total = 0
    for i in range(20000):
        total ^= i
    return total


def burn_large(until):
    while time.thread_time() < until:
        spin_square()


def burn_small(until):
    while time.thread_time() < until:
        spin_xor()


def main():
    while True:
        burn_large(time.thread_time() + 0.03)
        burn_small(time.thread_time() + 0.01)


main()
